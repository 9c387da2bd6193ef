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
}
