"""A detector that looks at whole windows of traffic: few false alarms, and a small share is seen where windows are long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least
from experiments.claims.base import Claim, require_some
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import MISSING, Quantity, blank, difference, group_of, means, plain
from experiments.measure.verdict import MARGIN, HolmVerdict, verdicts
from experiments.report.finding import Finding, Ground, Says, says
from experiments.report.spelling import Value, enumeration, share, with_interval
from experiments.report.structure import Column, Table

if TYPE_CHECKING:
    import polars as pl

    from experiments.cell import Cell
    from experiments.claims.windows_stage import WindowsStage

PUBLISHED = {
    100: (0.01, 0.05, 0.76, 0.99),
    500: (0.15, 0.80, 1.0, 1.0),
    1500: (0.74, 0.94, 1.0, 1.0),
}
"""arXiv 2606.05725, by window: alarms at attacker shares of 5, 10, 25 and 50 %."""
HALF = 0.5
"""What "most" is more than."""
WORDS = {
    "false": "alarms on honest windows less the nominal share",
    "blind": "alarms at the smallest share in short windows less the nominal share",
    "most": "alarms at the smallest share in long windows less one half",
    "share": "rise of alarms from honest windows to the largest share",
    "window": "rise of alarms from short windows to long ones",
}


class _Part(NamedTuple):
    """One thing that the claim says.

    Args:
        kind: of `WORDS`.
        at: where: which window, which share.
        quantity: what is found less what is said, see `WindowDetection`.
    """

    kind: str
    at: str
    quantity: Quantity


@dataclass(frozen=True)
class WindowDetection(Claim):
    """Rows know nothing of single windows, so this claim has a stage of its own and is judged by its own command alone. The
    detector itself is fitted and judges some hundred windows a share, size and seed, of the prompts that campaigns are made
    of. A seed draws its reference, its honest windows and those that are judged.

    False alarms are near nominal where their rate less the nominal one lies within ± ``near``. A detector is about blind
    where its alarms are at most `verdict.MARGIN` more than the nominal rate, and catches most where they are more than half.
    How alarms rise with the share is judged in windows of each size, from none to ``heavy``; how they rise with the window
    at each share of ``faint``, from ``short`` to ``long``: of larger shares short windows see most already, so that little
    can rise. All are corrected together (Holm).

    The paper draws honest windows from one data set of queries and those of an attacker from another, in fourteen such
    pairs; here honest windows hold five workloads and an attacker's are of one of nine kinds. It tests on honest queries
    that calibration has not seen, and finds .003 false alarms where .05 are nominal; here both are drawn from one library
    of prompts, as often as needed.

    Args:
        detector: of the cells, whose window is their size.
        encoder: that prompts are seen by.
        short: size of a window in which the smallest share is not seen.
        long: in which it is.
        faint: small shares of an attacker, ascending.
        heavy: a large one.
        trials: windows for each share, size and seed.
        near: difference to the nominal rate that counts as none.
    """

    name: ClassVar[str] = "window_detector"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C10"
    source: ClassVar[str] = "Liu et al. 2026, arXiv 2606.05725"
    statement: ClassVar[str] = (
        "A window detector's false alarms are near nominal and its detection rises with the attacker's share and with the "
        "window: of a share of 5 % it sees about nothing in 100 prompts and catches most in 1,500."
    )

    detector: str
    encoder: str
    short: int
    long: int
    faint: tuple[float, ...]
    heavy: float
    trials: int = 400
    near: float = 0.03

    def __post_init__(self) -> None:
        require_some(self, "faint")
        at_least(self, 2, "short", "trials")
        require(self.long > self.short, "long", self.long, f"must be more than short, {self.short}")
        ordered = all(a < b for a, b in pairwise((0.0, *self.faint, self.heavy))) and self.heavy <= 1
        require(ordered, "faint", self.faint, f"must rise, above 0 and below heavy, {self.heavy}, which is at most 1")
        require(0 < self.near < 1, "near", self.near, "must lie between 0 and 1")

    def measurement(self, cell: Cell) -> WindowsStage:
        """See `Claim.measurement`."""
        from defenses.admission.windows.mmd_window import MMDWindow
        from experiments.claims.windows_stage import WindowsStage

        defenses = cell.offer.defenses
        if self.detector not in defenses:
            raise ConfigError("claim.detector", self.detector, "serves no cell of the claim's grid", tuple(defenses))
        detector = defenses[self.detector]
        if not isinstance(detector, MMDWindow):
            reason = f"is a {type(detector).__name__}, and not tested as the paper's detector is (mmd_window)"
            raise ConfigError("claim.detector", self.detector, reason)
        return WindowsStage(detector, self.encoder, (0.0, *self.faint, self.heavy), self.trials, cell.seed)

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """See `Claim.judge_tables`."""
        rates, nominal = _rates(tables)
        if not rates:
            return None
        parts = self._parts(rates, nominal)
        if not any(part.quantity.known for part in parts):
            return None
        found = list(zip(parts, verdicts(_estimated(parts)), strict=True))
        evidence = tuple(
            Ground(f"{WORDS[part.kind]} ({part.at})", verdict, self._says(part.kind, verdict))
            for part, verdict in found
        )
        return Finding(_sentence(found), evidence, self._table(rates, nominal))

    def _parts(self, rates: Mapping[tuple[int, float], Quantity], nominal: float) -> list[_Part]:
        def rate(window: int, at: float) -> Quantity:
            return rates.get((window, at), blank(MISSING))

        windows, first = sorted({window for window, _ in rates}), self.faint[0]
        parts = [_Part("false", f"n = {n:,}", _less(rate(n, 0.0), nominal)) for n in windows]
        where = f"share {share(first)}, n = {{:,}}"
        parts.append(_Part("blind", where.format(self.short), _less(rate(self.short, first), nominal)))
        parts.append(_Part("most", where.format(self.long), _less(rate(self.long, first), HALF)))
        for n in windows:
            rise = difference(rate(n, self.heavy), rate(n, 0.0))
            parts.append(_Part("share", f"share {share(self.heavy)}, n = {n:,}", rise))
        for small in self.faint:
            rise = difference(rate(self.long, small), rate(self.short, small))
            parts.append(_Part("window", f"share {share(small)}, n = {self.short:,} to {self.long:,}", rise))
        return parts

    def _says(self, kind: str, verdict: HolmVerdict) -> Says:
        low, high = verdict.estimate.low, verdict.estimate.high
        if low is None or high is None or not verdict.estimate.about_seeds:
            return "open"
        if kind == "false":
            beyond = low > self.near or high < -self.near
            return "supports" if verdict.estimate.within(self.near) else "contradicts" if beyond else "open"
        if kind == "blind":
            return "supports" if high <= MARGIN else "contradicts" if low > MARGIN else "open"
        return says(verdict.reading, ["lost"], ["gained"] if kind == "most" else ["gained", "unchanged"])

    def _table(self, rates: Mapping[tuple[int, float], Quantity], nominal: float) -> Table:
        """Alarms by window and share."""
        windows, shares = (sorted(set(axis)) for axis in zip(*rates, strict=True))
        columns = {
            at: estimates([rates.get((int(n), at), blank(MISSING)) for n in windows]) for at in map(float, shares)
        }
        rows: list[dict[str, Value]] = [
            {"window": f"{int(n):,}", **{f"{at:g}": column[row] for at, column in columns.items()}}
            for row, n in enumerate(windows)
        ]
        head = (
            Column("window", "window n", "text", 0),
            *(Column(f"{at:g}", f"share {share(at)}" if at else "honest") for at in columns),
        )
        published = "; ".join(
            f"n = {n:,}: {', '.join(share(alarms) for alarms in row)}" for n, row in PUBLISHED.items()
        )
        note = (
            f"Share of windows with an alarm, by the share of the attacker's prompts in them; nominal is {share(nominal)}. "
            f"Published at shares of .05, .10, .25 and .50: {published}."
        )
        return Table("window_detector", "Alarms of a window detector (claim C10)", head, tuple(rows), (note,))


def _rates(tables: Sequence[pl.DataFrame]) -> tuple[dict[tuple[int, float], Quantity], float]:
    """Share of windows with an alarm by window and share, windows as items; and the nominal share."""
    import polars as pl

    if not tables:
        return {}, 0.0
    cells = [table.select("seed", "window").row(0) for table in tables]
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    require(not twice, "claim.grids", twice, "are seeds and windows that several detectors were fitted for; name one")
    measured = pl.concat(tables)
    nominal = measured["nominal"].unique().to_list()
    require(len(nominal) == 1, "claim.grids", nominal, "have detectors of several quantiles")
    found: dict[tuple[int, float], Quantity] = {}
    for window, at in measured.select("window", "share").unique().sort("window", "share").iter_rows():
        own = measured.filter((pl.col("window") == window) & (pl.col("share") == at))
        seeds = sorted(own["seed"].unique().to_list())
        scores = [own.filter(pl.col("seed") == seed)["score"].to_numpy() for seed in seeds]
        alarms = [(score > 1).astype(np.float64)[:, None] for score in scores]
        groups = [
            np.array([group_of(f"{seed}-{window}-{at}-{i}") for i in range(len(score))], np.int64)
            for seed, score in zip(seeds, scores, strict=True)
        ]
        found[window, at] = means(seeds, alarms, groups, [True])[0]
    return found, nominal[0]


def _less(quantity: Quantity, expected: float) -> Quantity:
    """What is found less what is said."""
    return difference(quantity, plain(quantity.seeds, [expected] * len(quantity.seeds))) if quantity.known else quantity


def _estimated(parts: Sequence[_Part]) -> list[Estimate]:
    """Each part among those of its kind, which vary alike."""
    found: dict[int, Estimate] = {}
    for kind in dict.fromkeys(part.kind for part in parts):
        places = [i for i, part in enumerate(parts) if part.kind == kind]
        found |= dict(zip(places, estimates([parts[i].quantity for i in places]), strict=True))
    return [found[i] for i in range(len(parts))]


def _sentence(found: Sequence[tuple[_Part, HolmVerdict]]) -> str:
    """What was measured of each part, with its corrected interval."""
    clauses = []
    for kind, what in WORDS.items():
        told = [
            f"{with_interval(v.estimate, 'share')} ({part.at})"
            for part, v in found
            if part.kind == kind and v.estimate.value is not None
        ]
        clauses += [f"{what}: {enumeration(told)}"] if told else []
    said = "; ".join(clauses)
    return f"{said[0].upper()}{said[1:]}."
