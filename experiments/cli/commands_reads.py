"""Subcommands that read stored results and configurations, and run nothing. Imports nothing heavy."""

from __future__ import annotations

from experiments.cli.paragraphs import GAME, OVERRIDES
from experiments.cli.subcommand import FORMATS, KINDS, NAME, Command, Option

READS = {
    "table": Command(
        "table",
        "print the table of stored rows; runs nothing",
        (
            ("moatbench table +experiment=quick", "those of an experiment that are stored"),
            ("moatbench table +experiment=quick --format latex", "for a paper"),
            ("moatbench table +experiment=decoding --reference temperature", "others against temperature, not its own"),
            ("moatbench table +experiment=decoding --reference all", "every pair of defenses at equal honest accuracy"),
            ("moatbench table --all --format csv", "every row in the store"),
            ("moatbench table +experiment=quick +table=main --format latex", "a table for a paper, with its figure"),
            ("moatbench table +experiment=decoding +table=matched --reference temperature", "with this one as ours"),
            (
                "moatbench table --kept worst-case +table=worst table.width=single",
                "of a kept table, with another width",
            ),
        ),
        (
            Option("--all", "every row in the store", None),
            Option("--kept", "the rows of this kept table (`moatbench store ls`)"),
            Option("--format", "how", FORMATS),
            Option(
                "--reference",
                "defense that others are compared with at equal honest accuracy; all: each with each. With +table=: the "
                "defense that the paper is about; all: letters",
            ),
            NAME,
        ),
    ),
    "report": Command(
        "report_page",
        "write one HTML page of stored rows, with filters, plots and transcripts, that opens from disk; runs nothing",
        (
            ("moatbench report +experiment=quick", "those of an experiment that are stored: results/quick.html"),
            ("moatbench report --kept quick", "the rows of a table that `run` or `sweep` kept by name"),
            ("moatbench report defense=none,trace_hidden seed=0,1 --name mine", "of these cells, as results/mine.html"),
            ("moatbench report --all", "every row in the store"),
        ),
        (
            Option("--all", "every row in the store", None),
            Option("--kept", "the rows of this kept table (`moatbench store ls`)"),
            Option("--reference", "defense that others are compared with at equal honest accuracy"),
            NAME,
        ),
    ),
    "transcripts": Command(
        "transcripts_of",
        "print what was said in a stored cell: prompts, working before and after the defense, students' answers, grades",
        (
            ("moatbench transcripts defense=trace_hidden seed=0", "of the cell that these overrides describe"),
            ("moatbench transcripts 3f9a1c20", "of the row whose key begins like that (`moatbench store ls row`)"),
            ("moatbench transcripts defense=trace_hidden seed=0 --what harvest --family chain --items 2", "some of it"),
        ),
        (
            Option("--what", "answers to the attacker, to held-out items, or both", ("both", "harvest", "heldout")),
            Option("--family", "items of this family of the task only"),
            Option("--items", "most items of each family; default: all that are stored", kind=int),
        ),
        takes="first letters of a row's key, or overrides that pick one cell",
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
    "trace": Command(
        "trace_row",
        "trace a number to its run: configuration, stages, times, files, versions, and the command that makes it again",
        (
            ("moatbench trace 6a79279d9948", "by the beginning of a row's key, as it stands in a CSV"),
            ("moatbench trace defense=trace_hidden attack=clean seed=1", "by the overrides of the cell"),
            ("moatbench trace 6a79 --json", "for another program"),
        ),
        (Option("--json", "print it as JSON", None),),
        takes="beginning of a row's key, or the overrides of one cell; store=PATH",
    ),
    "compare": Command(
        "compare",
        "compare the numbers of two stores, exports, tables or pages: which agree within their intervals, what was made how",
        (
            ("moatbench compare results/store other/store", "all that both have"),
            (
                "moatbench compare results/store docs/results/quick.md",
                "a store with a page: the kept table of its name",
            ),
            ("moatbench compare results/store mine.tar.gz --kept quick", "a kept table with an export"),
            ("moatbench compare before/quick.csv results/quick.csv --all", "list every number that differs"),
        ),
        (
            Option(
                "--kept", "of stores, this kept table (`moatbench store ls`); default: all rows, or the page's name"
            ),
            Option("--all", "list all numbers that do not agree, not the surest 20", None),
        ),
        takes="A and B: a store, an export (.tar.gz, .zip), a CSV or JSON of a report, or a page (.md)",
        more="Exit code 1 where some numbers do not agree.\n",
    ),
    "show": Command(
        "show",
        "print a resolved cell as YAML, and which of its stages are stored",
        (
            ("moatbench show", "the default cell"),
            ("moatbench show defense=antidistillation attack=adaptive", "every field that could be set"),
        ),
    ),
}
