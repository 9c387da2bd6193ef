"""Subcommands that give results away or look after them. Imports nothing heavy."""

from __future__ import annotations

from experiments.cli.subcommand import CARE, LANGUAGE, MODEL, SHELLS, Command, Option

KEEPS = {
    "export-student": Command(
        "export_student",
        "write the student of a stored cell as a folder that transformers loads",
        ((f"moatbench export-student {LANGUAGE} --to students/mine", "weights, tokenizer, chat template"),),
        (Option("--to", "the folder; it must not be there yet"), MODEL),
    ),
    "dataset": Command(
        "cell_dataset",
        "write a stored cell's harvest, training sets and answers as a dataset with a card, for load_dataset",
        (
            ("moatbench dataset defense=trace_hidden seed=1 hidden_traces", "a folder of parquet files and a README"),
            ("moatbench dataset 6a79279d9948 clean --jsonl --licence cc-by-4.0", "JSON lines too, and a licence"),
        ),
        (
            Option("--jsonl", "write every table as JSON lines too", None),
            Option("--licence", "identifier for the card, such as cc-by-4.0; default: unknown"),
        ),
        takes="beginning of a row's key, or the overrides of one cell; then a new folder",
    ),
    "lm-eval": Command(
        "lm_eval",
        "score the student of a stored cell with lm-evaluation-harness (pip install 'lm-eval[hf]')",
        ((f"moatbench lm-eval {LANGUAGE} --tasks gsm8k", "the harness's own prompts and answer checker"),),
        (
            Option("--tasks", "tasks of the harness, separated by commas"),
            MODEL,
            Option("--include", "folder with task files of your own"),
            Option("--limit", "only the first so many items of each task", kind=int),
            Option("--shots", "worked examples before each question; default: each task's own", kind=int),
            Option("--chat", "put questions into the model's chat template", None),
        ),
    ),
    "store": Command(
        "store",
        "manage stored results: list, measure, remove, check, export, import",
        (
            ("moatbench store ls", "kinds of entries and kept tables"),
            ("moatbench store ls row", "the entries of one kind"),
            ("moatbench store du", "where the space goes"),
            ("moatbench store gc --dry-run", "what would go: results that no kept table was made from"),
            (
                "moatbench store gc --keep quick,main --older-than 7d",
                "keep two tables, and whatever was read this week",
            ),
            ("moatbench store forget quick", "give up a table; the next gc removes what only it needs"),
            ("moatbench store forget recover/dedup", "remove all results that a part influenced"),
            ("moatbench store verify --repair", "check every byte; what is corrupt is removed and made again"),
            ("moatbench store export quick quick.tar.gz", "a table with all that it was computed from, for a paper"),
            ("moatbench store import quick.tar.gz store=other/store", "the rows of an archive, into another store"),
            ("moatbench store made quick", "one sentence for its caption: revision, seeds, packages, machine, time"),
            ("moatbench store migrate store=old/store", "set a store of an older version aside, begin a new one"),
        ),
        (
            Option("--dry-run", "gc: say what would go and remove nothing", None),
            Option("--keep", "gc: keep only these tables, separated by commas; default: all"),
            Option("--older-than", "gc: keep entries read within this period (90s, 30m, 12h, 7d); default: 1h"),
            Option("--all", "gc: also if no table is kept; then everything is removed", None),
            Option("--repair", "verify: remove what is corrupt", None),
            Option("--name", "import: keep the table under this name, not its own"),
            Option("--with-models", "export: include the students' weights", None),
        ),
        takes="what to do, and overrides",
        more=f"Actions: {', '.join(CARE)}.\n`run` and `sweep` keep the tables that they write, by name.\n"
        "store=PATH names another store than results/store.\n",
    ),
    "completion": Command(
        "completion",
        "print the tab completion of a shell",
        (
            ('eval "$(moatbench completion bash)"', "in ~/.bashrc"),
            ('eval "$(moatbench completion zsh)"', "in ~/.zshrc, after compinit"),
            ("moatbench completion fish | source", "in ~/.config/fish/config.fish"),
        ),
        takes="shell",
        more=f"Shells: {', '.join(SHELLS)}.\n",
    ),
}
