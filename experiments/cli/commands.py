"""The subcommands of ``moatbench``, their options, and the help that teaches them by example. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from experiments.cli.paragraphs import CALIBRATE, CAMPAIGN, GAME, OVERRIDES

FORMATS = ("terminal", "markdown", "csv", "latex")
PARTS_OF_ATTACKS = ("harvest", "recover", "objective", "refine")
KINDS = (
    "tasks", "teachers", "defenses", "attacks", "students", "apis", "budgets", "campaigns", "policies", "experiments",
    "claims", "judges",
    *PARTS_OF_ATTACKS,
)  # fmt: skip
SHELLS = ("bash", "zsh", "fish")
CARE = ("ls", "du", "gc", "verify", "export", "made", "forget", "migrate")
"""What `moatbench store` can do."""


class Option(NamedTuple):
    """An option of a subcommand.

    Args:
        flag: as typed.
        text: what it does.
        choices: its allowed values; empty for a free value, None for a switch.
        kind: type of a free value.
    """

    flag: str
    text: str
    choices: tuple[str, ...] | None = ()
    kind: type = str


class Command(NamedTuple):
    """A subcommand.

    Args:
        module: in ``experiments.cli``.
        text: one line.
        examples: command lines that can be run as they stand, each with a remark.
        options: its options.
        takes: what its other words are.
        more: a paragraph for its help.
    """

    module: str
    text: str
    examples: tuple[tuple[str, str], ...]
    options: tuple[Option, ...] = ()
    takes: str = "GROUP=NAME or FIELD=VALUE, see below"
    more: str = OVERRIDES


WORKERS = Option(
    "--workers", "processes at a time; default: one per core, or 1 with a GPU; 0: all in this process", kind=int
)
NAME = Option("--name", "name of the report's files; default: the experiment's name, or the command's")
LANGUAGE = "task=reasoning_gym budget=lm teacher=hf student=hf"
MODEL = Option("--model", "another model of the cell: base, undefended, self, distilled; default: student")
PROFILE = Option("--profile", "show where the time went, and write it beside the report as JSON", None)

COMMANDS = {
    "run": Command(
        "run",
        "run one cell: a defended API, an attack on it, a student",
        (
            ("moatbench run", "the default cell: no defense, plain imitation"),
            ("moatbench run defense=trace_hidden seed=1", "hide the teacher's working"),
            ("moatbench run defense=temperature defense.temperature.tau=1.5", "set a field of the defense"),
            ("moatbench run defense=[token_bucket,trace_summary] budget=sybil", "two defenses, ten accounts"),
            ("moatbench run tracking=wandb", "also show the row in wandb, offline"),
        ),
        (WORKERS, NAME, PROFILE),
    ),
    "sweep": Command(
        "run",
        "run a grid of cells; what is stored already is not run again",
        (
            ("moatbench sweep +experiment=quick", "the grids of configs/experiment/quick.yaml"),
            (
                "moatbench sweep +experiment=quick --dry-run",
                "cells, stages, time, and the smallest effect it can show; runs nothing",
            ),
            ("moatbench sweep +experiment=quick --dry-run --difference 0.05", "how many seeds show a loss of .05"),
            ("moatbench sweep defense=none,trace_hidden attack=imitate,prefix seed=0,1", "2 x 2 x 2 cells"),
            ("moatbench sweep defense=temperature defense.temperature.tau=1,1.5,2", "a sweep over a field"),
            ("moatbench sweep +experiment=quick seed=5 --workers 1", "your own overrides win over the file's"),
        ),
        (
            Option("--dry-run", "show the plan and the smallest effect it can show, and run nothing", None),
            Option(
                "--difference",
                "with --dry-run: also say how many seeds it takes to show a loss of this size, such as 0.05",
                kind=float,
            ),
            WORKERS,
            NAME,
            PROFILE,
        ),
    ),
    "claim": Command(
        "claim",
        "run the grid of a claim of the literature and say whether its cells bear it out",
        (
            ("moatbench claim hidden_trace", "verdict, sentence, and what they rest on"),
            ("moatbench claim hidden_trace --dry-run", "what its grid would take"),
            ("moatbench claim rl_closes seed=0,1", "your own overrides win over the file's"),
            ("moatbench claim matched_drop claim.defense=permuted claim.controls=[temperature]", "of other defenses"),
        ),
        (Option("--dry-run", "show the plan and run nothing", None), WORKERS, NAME, PROFILE),
        takes="name of a claim, and overrides",
        more="claim.FIELD=VALUE sets a field of the claim. `moatbench list claims` names them; every report judges those "
        "that its cells allow.\n\n" + OVERRIDES,
    ),
    "validate": Command(
        "validate",
        "hold the published findings C1 to C14 against the lab: predicted, measured, verdict",
        (
            ("moatbench validate", "all of them, five seeds; what is stored already is not run again"),
            ("moatbench validate --dry-run", "what that takes, and the smallest effect it can show"),
            ("moatbench validate C1 rl_closes seed=0,1", "two of them, in two seeds"),
        ),
        (Option("--dry-run", "show the plan and run nothing", None), WORKERS, NAME, PROFILE),
        takes="names or labels of claims, and overrides",
        more="A claim agrees, disagrees, agrees in part or stays undecided; a disagreement is a result, not an error. "
        "`moatbench list claims` names them, `moatbench claim NAME` runs one.\n\n" + OVERRIDES,
    ),
    "calibrate": Command(
        "calibrate",
        "find the strength of a defense that costs honest users a given share of their accuracy",
        (
            ("moatbench calibrate defense=temperature drop=0.05", "five points, mean over the seeds 0, 1 and 2"),
            ("moatbench calibrate defense=temperature drop=0.02,0.05", "two targets, which share evaluations"),
            (
                "moatbench calibrate defense=permuted drop=0.05 family=chain seed=0,1",
                "the drop in one family, over two seeds",
            ),
            (
                "moatbench calibrate defense=antidistillation drop=0.05 --dry-run",
                "what the first evaluation would take",
            ),
            ("moatbench calibrate +experiment=matched", "everything that an experiment leaves to calibration"),
            (
                "moatbench run defense=temperature defense.temperature.tau=drop:0.05",
                "the strength is searched first, unless the store has it",
            ),
        ),
        (
            Option("--dry-run", "show what the next evaluation would take and run nothing", None),
            Option("--json", "print the result and the path to it as JSON", None),
            WORKERS,
        ),
        more=CALIBRATE + OVERRIDES,
    ),
    "frontier": Command(
        "frontier",
        "compare defenses where they cost honest users the same: strengths are found, cells run, students printed",
        (
            ("moatbench frontier", "every defense that changes answers, at 1, 2 and 5 points, five seeds"),
            (
                "moatbench frontier defense=temperature,antidistillation drop=0.05 seed=0,1",
                "two of them, at five points",
            ),
            ("moatbench frontier attack=imitate,clean", "under two attacks"),
            ("moatbench frontier api=logprobs attack=logprobs --dry-run", "what it takes where logprobs are sold"),
        ),
        (Option("--dry-run", "show what is left to do and run nothing", None), WORKERS, NAME, PROFILE),
        more="drop=SHARE,SHARE  honest accuracy that each defense may cost: 0.01,0.02,0.05 by default\n"
        "l1=X,X            for those on sold probabilities, how far these may be off: 0.1,0.2,0.5 by default\n"
        "defense=NAME,NAME single defenses; all that change answers by default\n"
        "seed=0,1,2        five by default\n"
        "A defense that cannot cost so much stands at its strongest, one without a strength as it is.\n\n" + OVERRIDES,
    ),
    "worst-case": Command(
        "worst_case",
        "search the strongest attack on each defense within equal budgets, and what it gains by adapting",
        (
            ("moatbench worst-case defense=trace_hidden,temperature", "all attacks that the API allows, five seeds"),
            ("moatbench worst-case defense=trace_hidden --seeds 3 --dry-run", "what the first round would take"),
            ("moatbench worst-case defense=temperature attack=imitate,clean,adaptive,rl", "of these attacks"),
            ("moatbench worst-case defense=rounding api=logprobs budget=small", "another interface, another budget"),
            ("moatbench worst-case defense=temperature,kgw defense.kgw.delta=3", "a field of one of them"),
        ),
        (
            Option("--seeds", "how many seeds, from 0 on; default: 5", kind=int),
            Option("--dry-run", "show the next round and run nothing", None),
            WORKERS,
            NAME,
            PROFILE,
        ),
        more="defense=NAME,NAME  attacked one by one; none by default\n"
        "attack=NAME,NAME   searched; by default all whose needs the API sells, with the parameters that they declare\n"
        "seed=0,1,2         instead of --seeds\n"
        "Successive halving: all attacks in one seed, the better half in two, and so on. The choice is made on items that\n"
        "the held-out score does not use.\n\n" + OVERRIDES,
    ),
    "campaign": Command(
        "campaign",
        "simulate a campaign of many accounts against providers and their policies",
        (
            ("moatbench campaign campaign=small population=small", "a small campaign under five policies, in a minute"),
            ("moatbench campaign campaign=aggregate_feb2026", "24,000 accounts, 16 million exchanges, five policies"),
            ("moatbench campaign policy=linking policy.ladder.delay_hours=0,24,168", "a sweep over a field"),
            ("moatbench campaign +experiment=campaign/bans", "the grids of configs/experiment/campaign/bans.yaml"),
            ("moatbench campaign campaign=labs_feb2026 market=three --dry-run", "check it, run nothing"),
        ),
        (Option("--dry-run", "show the plan and run nothing", None), WORKERS, NAME, PROFILE),
        more=CAMPAIGN,
    ),
    "table": Command(
        "table",
        "print the table of stored rows; runs nothing",
        (
            ("moatbench table +experiment=quick", "those of an experiment that are stored"),
            ("moatbench table +experiment=quick --format latex", "for a paper"),
            ("moatbench table +experiment=decoding --reference temperature", "others against temperature, not its own"),
            ("moatbench table +experiment=decoding --reference all", "every pair of defenses at equal honest accuracy"),
            ("moatbench table --all --format csv", "every row in the store"),
        ),
        (
            Option("--all", "every row in the store", None),
            Option("--format", "how", FORMATS),
            Option(
                "--reference", "defense that others are compared with at equal honest accuracy; all: each with each"
            ),
            NAME,
        ),
    ),
    "game": Command(
        "game",
        "defenses against attacks as a zero-sum game: value, minimax mixtures, dominated methods; from stored rows",
        (
            ("moatbench game +experiment=quick", "of an experiment, one point of honest accuracy for one of transfer"),
            ("moatbench game +experiment=quick price=0.5 --format latex", "at half that price, for a paper"),
            ("moatbench game defense=none,trace_hidden attack=imitate,prefix seed=0,1,2", "of these pairs"),
            ("moatbench game --all price=0", "of every row in the store, transfer alone"),
            ("moatbench game --kept quick", "of the rows of a table that `run` or `sweep` kept by name"),
        ),
        (
            Option("--all", "every row in the store", None),
            Option("--kept", "the rows of this kept table (`moatbench store ls`)"),
            Option("--format", "how", FORMATS),
            NAME,
        ),
        more=GAME + OVERRIDES,
    ),
    "costs": Command(
        "costs",
        "print what defenses cost their provider: forward passes, time, preparing; from stored rows, runs nothing",
        (
            (
                "moatbench costs defense=none,antidistillation,kgw",
                "of these, with what is stored of the default attack",
            ),
            ("moatbench costs +experiment=quick --format csv", "of an experiment, in full precision"),
            ("moatbench costs --all", "of every row in the store"),
        ),
        (Option("--all", "every row in the store", None), Option("--format", "how", FORMATS)),
    ),
    "list": Command(
        "choices",
        "list tasks, teachers, defenses, attacks, students and more, with their sources",
        (
            ("moatbench list", "everything"),
            ("moatbench list defenses", "one kind"),
            ("moatbench list defenses hydra.searchpath=[pkg://yours.configs]", "with those of your own package"),
        ),
        takes="kind and overrides",
        more=f"Kinds: {', '.join(KINDS)}.\n",
    ),
    "show": Command(
        "show",
        "print a resolved cell as YAML, and which of its stages are stored",
        (
            ("moatbench show", "the default cell"),
            ("moatbench show defense=antidistillation attack=adaptive", "every field that could be set"),
        ),
    ),
    "export-student": Command(
        "export_student",
        "write the student of a stored cell as a folder that transformers loads",
        ((f"moatbench export-student {LANGUAGE} --to students/mine", "weights, tokenizer, chat template"),),
        (Option("--to", "the folder; it must not be there yet"), MODEL),
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
        "manage stored results: list, measure, remove, check, export",
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
            ("moatbench store made quick", "one sentence for its caption: revision, seeds, packages, machine, time"),
            ("moatbench store migrate store=old/store", "set a store of an older version aside, begin a new one"),
        ),
        (
            Option("--dry-run", "gc: say what would go and remove nothing", None),
            Option("--keep", "gc: keep only these tables, separated by commas; default: all"),
            Option("--older-than", "gc: keep entries read within this period (90s, 30m, 12h, 7d); default: 1h"),
            Option("--all", "gc: also if no table is kept; then everything is removed", None),
            Option("--repair", "verify: remove what is corrupt", None),
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
