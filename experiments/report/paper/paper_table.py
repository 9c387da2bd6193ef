"""A table of a paper as data, before any format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from experiments.measure.quantity import Quantity
from experiments.report.spelling import Kind, Value


class Heading(NamedTuple):
    """Of a column.

    Args:
        title: plain.
        tex: the same as LaTeX.
        kind: of its values.
        group: what it stands under together with its neighbours of the same group; "" for nothing.
        group_tex: the same as LaTeX.
        key: in the CSV.
        better: which way is good; "" where nothing is marked.
    """

    title: str
    tex: str
    kind: Kind = "text"
    group: str = ""
    group_tex: str = ""
    key: str = ""
    better: str = ""


class PaperEntry(NamedTuple):
    """Of a row in a column.

    Args:
        value: to be printed.
        tex: of a text, the same as LaTeX.
        quantity: the value seed by seed, where it has been measured so.
        bold: whether it is marked as best.
        letters: that it shares with what it is not told apart from.
        key: of a text, the name that the method has elsewhere.
    """

    value: Value
    tex: str = ""
    quantity: Quantity | None = None
    bold: bool = False
    letters: str = ""
    key: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Args:
        name: of the file that describes it.
        caption: plain; what the numbers mean included.
        caption_tex: the same as LaTeX.
        label: of the float.
        headings: of the columns; those that name the row first.
        rows: entries in the order of the headings.
        rules: numbers of the rows that a rule stands before.
        subject: numbers of the rows that are the paper's own.
        reference: numbers of the rows that stand for themselves.
    """

    name: str
    caption: str
    caption_tex: str
    label: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[PaperEntry, ...], ...]
    rules: frozenset[int] = field(default_factory=frozenset)
    subject: frozenset[int] = field(default_factory=frozenset)
    reference: frozenset[int] = field(default_factory=frozenset)

    @property
    def lead(self) -> int:
        """How many columns name the row."""
        return sum(heading.key in ROW_KEYS or heading.key.startswith("axis ") for heading in self.headings)


ROW_KEYS = ("defense", "attack", "family")
"""Keys of headings that name a row."""
