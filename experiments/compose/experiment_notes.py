"""What an experiment's file says besides its grids: what it is, whose setting it repeats, where it departs from that, what
is to be expected of it, and what it takes. Composes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from configs.errors import require


@dataclass(frozen=True)
class ExperimentNotes:
    """All of it words for a reader; none is needed.

    Args:
        description: one line.
        source: paper with its arXiv number, table and section; the authors' code.
        differs: each way in which the grids are not what the source did, and why.
        expected: figures of the source that a run can be held against.
        hours: time on a named machine, and how the estimate was made.
        memory: of that machine's accelerator, and how the estimate was made.
    """

    description: str = ""
    source: str = ""
    differs: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    hours: str = ""
    memory: str = ""

    def lines(self) -> list[str]:
        """One for each thing that is said, in the order of the fields."""
        said = [f"{name}: {text}" for name in ("description", "source") if (text := getattr(self, name))]
        said += [f"{name}: {text}" for name in ("differs", "expected") for text in getattr(self, name)]
        return said + [f"{name}: {text}" for name in ("hours", "memory") if (text := getattr(self, name))]


NOTES = tuple(field.name for field in fields(ExperimentNotes))
_LISTS = ("differs", "expected")


def notes_in(node: Mapping[str, Any], field: str) -> ExperimentNotes:
    """The notes of an experiment's file.

    Args:
        node: the file.
        field: how it is called in messages.

    Raises:
        ConfigError: one is no text, or no list of texts where it has to be one.
    """
    found: dict[str, Any] = {}
    for name in NOTES:
        said = node.get(name)
        if said is None:
            continue
        if name in _LISTS:
            right = isinstance(said, list) and all(isinstance(line, str) and line.strip() for line in said)
            require(right, f"{field}.{name}", said, "must be a list of sentences")
            found[name] = tuple(" ".join(line.split()) for line in said)
        else:
            require(isinstance(said, str) and bool(said.strip()), f"{field}.{name}", said, "must be a text")
            found[name] = " ".join(said.split())
    return ExperimentNotes(**found)
