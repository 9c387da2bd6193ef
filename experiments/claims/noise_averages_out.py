"""Zero-mean noise that is drawn anew averages out as one over the square root of n; noise that is cached does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least
from experiments.claims.base import Claim
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import Quantity, plain
from experiments.measure.verdict import verdicts
from experiments.report.finding import UNMEASURED, Finding, Ground, Says
from experiments.report.spelling import Value, with_interval
from experiments.report.structure import Column, Table

if TYPE_CHECKING:
    import polars as pl

    from experiments.cell import Cell
    from experiments.claims.averaging_stage import AveragingStage

FLOOR = 0.01
"""Nats from which on it is said how far apart undefended answers are."""


@dataclass(frozen=True)
class NoiseAveragesOut(Claim):
    """Has a stage of its own (`experiments.claims.averaging_stage`) and is judged by its own command alone.

    Judged by the slope of log error over log n, a least-squares line through all n, one slope a seed. A slope supports the
    claim where its corrected interval lies within ± ``margin`` of what is predicted, −1/2 for fresh noise and 0 for cached,
    and contradicts it where the interval lies wholly outside; otherwise it is open.

    The noise is added to log-probabilities, which are then normalised, never clipped (`defenses.release.gaussian_noise`);
    errors are of log-odds, in which the normaliser cancels: so no bias is expected that would flatten the line at large n.
    The law is the textbook one of independent noise, so what is tested is that defense, API and the attacker's averaging
    keep to it.

    Args:
        fresh: defense that draws its noise at every query.
        cached: defense whose noise is a function of the question.
        counts: n, rising, three at least; each divides the last.
        prompts: how many prompts are asked, in each seed.
        margin: about the predicted slope, within which it counts as that.
    """

    name: ClassVar[str] = "noise_averages_out"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C5"
    source: ClassVar[str] = "statistics: the standard error of a mean"
    statement: ClassVar[str] = (
        "Fresh zero-mean noise on sold probabilities averages out as 1/√n over n answers to the same request; cached noise "
        "does not."
    )

    fresh: str
    cached: str
    counts: tuple[int, ...]
    prompts: int = 64
    margin: float = 0.05

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts")
        require(
            0 < self.margin < 0.25, "margin", self.margin, "must lie between 0 and 0.25, half of what sets both apart"
        )
        rising = all(0 < a < b for a, b in zip(self.counts, self.counts[1:], strict=False))
        divide = rising and all(self.counts[-1] % n == 0 for n in self.counts)
        reason = "must be three numbers or more, rising, each a divisor of the last"
        require(divide and len(self.counts) > 2, "counts", self.counts, reason)

    def measurement(self, cell: Cell) -> AveragingStage:
        """See `Claim.measurement`."""
        from experiments.claims.averaging_stage import AveragingStage
        from experiments.stages.models import TeacherStage

        harvest = cell.row_stage().harvest
        asked = tuple(harvest.offer.defenses)
        if asked not in ((self.fresh,), (self.cached,)):
            reason = "defends a cell of the claim's grid"
            raise ConfigError(f"claim.{self.name}", "+".join(asked) or "none", reason, (self.fresh, self.cached))
        sold = harvest.offer.interface.top_logprobs
        require(sold >= 2, "api.top_logprobs", sold, f"{self.name} needs an API that sells at least 2")
        assert isinstance(harvest.served, TeacherStage), "a row's own harvest asks the teacher"
        return AveragingStage(
            teacher=harvest.served,
            base=harvest.base,
            prepared={},
            offer=harvest.offer,
            max_tokens=1,
            seed=cell.seed,
            counts=self.counts,
            prompts=self.prompts,
        )

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """See `Claim.judge_tables`."""
        named = [(str(table["defense"][0]), table) for table in tables]
        of = {name: sorted((t for own, t in named if own == name), key=_seed) for name in (self.fresh, self.cached)}
        if not any(of.values()):
            return None
        predicted = {self.fresh: -0.5, self.cached: 0.0}
        away = [_slopes(of[name], less=predicted[name]) for name in of]
        judged = verdicts([estimates([quantity])[0] for quantity in away])
        evidence = tuple(
            Ground(f"slope under {name} less {_spelled(predicted[name])}", verdict, self._says(verdict.estimate))
            if of[name]
            else Ground(f"slope under {name} less {_spelled(predicted[name])}", UNMEASURED, "open")
            for name, verdict in zip(of, judged, strict=True)
        )
        said = [
            f"n^{with_interval(_moved(verdict.estimate, predicted[name]), 'share')} under {name}"
            for name, verdict in zip(of, judged, strict=True)
            if verdict.estimate.value is not None
        ]
        sentence = f"The error of averaged log-odds goes as {' and as '.join(said)}." if said else ""
        floor = float(np.mean([table["undefended"][0] for _, table in named]))
        if said and floor > FLOOR:
            apart = with_interval(Estimate(floor), "share")
            sentence += f" Without noise the same answers are {apart} nats apart, which no average takes out."
        return Finding(sentence, evidence, _table(of, self.counts))

    def _says(self, away: Estimate) -> Says:
        if away.low is None or away.high is None or not away.about_seeds:
            return "open"
        outside = away.low > self.margin or away.high < -self.margin
        return "supports" if away.within(self.margin) else "contradicts" if outside else "open"


def _spelled(slope: float) -> str:
    """With the sign that tables have."""
    return f"{slope:g}".replace("-", "−")


def _seed(table: pl.DataFrame) -> int:
    return int(table["seed"][0])


def _slopes(tables: Sequence[pl.DataFrame], less: float) -> Quantity:
    """Of log error over log n, less what is predicted; a seed without noise has none."""
    found = []
    for table in tables:
        n, error = table["n"].to_numpy().astype(np.float64), table["error"].to_numpy()
        noisy = bool((np.isfinite(error) & (error > 0)).all())
        found.append(float(np.polyfit(np.log(n), np.log(error), 1)[0]) - less if noisy else None)
    return plain([_seed(table) for table in tables], found)


def _moved(estimate: Estimate, by: float) -> Estimate:
    """The same estimate of a number that is larger by a constant."""
    value, low, high = (None if x is None else x + by for x in (estimate.value, estimate.low, estimate.high))
    return estimate._replace(value=value, low=low, high=high)


def _table(of: dict[str, list[pl.DataFrame]], counts: Sequence[int]) -> Table:
    rows: list[dict[str, Value]] = []
    for name, tables in of.items():
        seeds = [_seed(table) for table in tables]
        for n in counts:
            told = [row for table in tables for row in table.filter(table["n"] == n).iter_rows(named=True)]
            if len(told) == len(seeds) and told:
                read = {column: [float(row[column]) for row in told] for column in ("error", "undefended")}
                shown = {column: estimates([plain(seeds, own)])[0] for column, own in read.items()}
                rows.append({"defense": name, "n": str(n), **shown})
    head = (
        Column("defense", "defense", "text", 0),
        Column("n", "n", "text", 0),
        Column("error", "error"),
        Column("undefended", "without noise"),
    )
    note = (
        "Root mean square deviation, in nats, of log-odds to the most probable token, averaged over n answers to one "
        "request, from the undefended ones; mean over seeds with its interval. Without noise: of single undefended answers "
        "to the same requests, from which they differ where a model's arithmetic depends on the batch."
    )
    return Table("noise_averages_out", "What averaging leaves of noise (claim C5)", head, tuple(rows), (note,))
