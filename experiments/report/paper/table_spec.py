"""What a file of ``configs/table`` says: rows, columns, names, caption and marks of one table of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from configs.errors import ConfigError, require
from configs.text import require_plain
from experiments.measure.transfer import POOLED
from experiments.report.catalogue import CATALOGUE, Better

ROWS = ("defense", "attack", "family")
WORST, DISTILLED, REFINED = "worst", "distilled", "refined"
"""In the place of an attack: the one that moves most, of all, of those that end with distillation, of those that go on
without the teacher (reinforcement learning)."""
CHOSEN_BY_RESULT = (WORST, DISTILLED, REFINED)


@dataclass(frozen=True)
class SpecColumn:
    """One column, or one for each family or attack.

    Args:
        measure: a name of `experiments.report.catalogue.CATALOGUE`.
        title: heading, plain text; "" for the catalogue's.
        title_tex: the same as LaTeX, taken as it stands; "" for the title, escaped.
        attack: under which attack: a name, ``worst``, ``distilled`` or ``refined``; "" for the row's, or the table's.
        family: of the items; ``pooled`` for all.
        by: one column for each ``family`` (pooled last) or each ``attack``.
        drop: where honest users lose so much of their accuracy (0.02: two points): cells that were calibrated to it, or
            read off the curve of a defense's strengths (``strength: curve``).
        less: a defense: the row's value less that one's, paired by seed and item, corrected for the column (Holm).
        show: the ``value``, or the name of the ``attack`` that a choice by result came to.
        better: which way is good, for the marks; "" for the catalogue's.
    """

    measure: str
    title: str = ""
    title_tex: str = ""
    attack: str = ""
    family: str = POOLED
    by: Literal["", "family", "attack"] = ""
    drop: float | None = None
    less: str = ""
    show: Literal["value", "attack"] = "value"
    better: Better = ""

    def __post_init__(self) -> None:
        if self.measure not in CATALOGUE:
            raise ConfigError("measure", self.measure, "is not a measure of tables", CATALOGUE)
        require(self.drop is None or 0 <= self.drop < 1, "drop", self.drop, "must be at least 0 and below 1")
        require(not (self.by == "attack" and self.attack), "attack", self.attack, "is for each attack already")
        chosen = not self.by and self.show == "value"
        require(not self.less or chosen, "less", self.less, "is for single columns of values")


@dataclass(frozen=True)
class TableSpec:
    r"""A table of a paper.

    Args:
        columns: in order.
        rows: what a row is of: ``defense``, ``attack``, ``family``, or several of them. Axes of the threat model on which
            rows differ are added.
        defenses: names to show, in this order; () for all there are.
        attacks: the same of attacks.
        families: the same of families, where rows or columns are by family.
        attack: under which attack, where rows are by defense: a name, ``worst``, ``distilled`` or ``refined``; "" where
            there is but one.
        strength: which strengths of a defense: ``all``, the ``dearest`` (that costs honest users the most), the dearest
            ``within`` a limit, or all of them as one ``curve``. No choice looks at students.
        limit: of ``within``: how much honest accuracy may drop.
        names: how defenses, attacks and families are called, plain text, by the name that they have elsewhere.
        names_tex: the same as LaTeX, taken as it stands.
        reference: the defense that stands first and for itself, and is never marked as best.
        subject: the defense that the paper is about: it stands last, and ``ours`` behind its name; "" for none.
        ours: what stands behind the subject's name.
        order: of rows: as ``given`` (by name and strength without ``defenses``), or by the first ``value``, best first.
        best: what is bold in a column: ``alone``, the best value where it is told apart from that of every other row;
            ``tied``, the best and all that are not told apart from it; ``value``, the best value; ``none``.
        letters: whether values that are not told apart share a letter.
        intervals: where 95 % intervals stand: ``below`` the value, ``beside`` it, or ``none``.
        percent: shares in per cent.
        decimals: of shares.
        caption: plain text; what the numbers are is added, unless ``explain`` is false.
        caption_tex: the same as LaTeX, taken as it stands.
        label: of the float; "" for ``tab:NAME``.
        explain: whether the caption goes on with what the numbers, intervals and marks mean.
        constant: whether columns stay in which all rows say the same.
        width: of the page that it is for: ``single`` column, or ``double``.
        inches: of the figure; 0 for 3.25 (single) or 6.75 (double).
        figure: ``bars`` of the first columns, or ``pareto``: the first of them against honest accuracy.
    """

    columns: tuple[SpecColumn, ...]
    rows: tuple[str, ...] = ("defense",)
    defenses: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    attack: str = ""
    strength: Literal["all", "dearest", "within", "curve"] = "all"
    limit: float = 0.05
    names: Mapping[str, str] = field(default_factory=dict)
    names_tex: Mapping[str, str] = field(default_factory=dict)
    reference: str = "none"
    subject: str = ""
    ours: str = "ours"
    order: Literal["given", "value"] = "given"
    best: Literal["alone", "tied", "value", "none"] = "alone"
    letters: bool = False
    intervals: Literal["below", "beside", "none"] = "below"
    percent: bool = True
    decimals: int = 1
    caption: str = ""
    caption_tex: str = ""
    label: str = ""
    explain: bool = True
    constant: bool = False
    width: Literal["single", "double"] = "double"
    inches: float = 0.0
    figure: Literal["bars", "pareto"] = "bars"

    def __post_init__(self) -> None:
        require(len(self.columns) > 0, "columns", list(self.columns), "must be at least one")
        require(len(self.rows) > 0, "rows", list(self.rows), "must be at least one")
        for name in self.rows:
            if name not in ROWS:
                raise ConfigError("rows", name, "is nothing that rows can be of", ROWS)
        require(len(set(self.rows)) == len(self.rows), "rows", list(self.rows), "names one twice")
        twice = "attack" in self.rows and (self.attack or any(c.by == "attack" for c in self.columns))
        require(not twice, "attack", self.attack, "is what the rows are of already")
        require(0 <= self.decimals <= 6, "decimals", self.decimals, "must be 0 to 6")
        require(0 <= self.limit < 1, "limit", self.limit, "must be at least 0 and below 1")
        require(self.inches == 0 or 2 <= self.inches <= 20, "inches", self.inches, "must be 2 to 20, or 0")
        for part, value in asdict(self).items():
            require_plain(value, part)
