"""What a subcommand of ``moatbench`` is, and the options that several share. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from experiments.cli.paragraphs import OVERRIDES

FORMATS = ("terminal", "markdown", "csv", "latex")
PARTS_OF_ATTACKS = ("harvest", "recover", "objective", "refine")
KINDS = (
    "tasks", "teachers", "defenses", "attacks", "students", "apis", "budgets", "campaigns", "policies", "experiments",
    "claims", "judges", "tables",
    *PARTS_OF_ATTACKS,
)  # fmt: skip
SHELLS = ("bash", "zsh", "fish")
CARE = ("ls", "du", "gc", "verify", "export", "import", "made", "forget", "migrate")
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
DRY_RUN = Option("--dry-run", "show the plan and run nothing", None)
