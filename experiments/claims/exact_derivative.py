"""Finite differences give the derivative that a decoding defense means, and their error has a smallest value in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least
from experiments.claims.base import Claim
from experiments.measure.estimate import estimates
from experiments.measure.quantity import Quantity, difference, plain
from experiments.measure.verdict import verdicts
from experiments.report.finding import Finding, Ground, says
from experiments.report.spelling import Value, with_interval
from experiments.report.structure import Column, Table

if TYPE_CHECKING:
    import polars as pl

    from experiments.cell import Cell
    from experiments.claims.derivative_stage import DerivativeStage


@dataclass(frozen=True)
class ExactDerivative(Claim):
    """Rows know nothing of derivatives, so this claim has a stage of its own, run on the models of each cell of its grid,
    and is judged by its own command alone.

    Errors are compared in powers of ten, seed by seed. The step with the smallest mean error is taken as given. That error
    has to be below ``tolerance``, and those of the largest and of the smallest step have to be above it.

    Args:
        defense: of the cells, whose preparation holds a direction in the proxy's parameters.
        epsilons: steps ε, descending, three at least.
        tolerance: relative error that counts as agreement.
        prompts: after how many prompts it is measured.
    """

    name: ClassVar[str] = "exact_derivative"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C3"
    source: ClassVar[str] = "Savani et al., arXiv 2504.13146, appendix B"
    statement: ClassVar[str] = (
        "Finite differences of the proxy agree with the exact Jacobian-vector product, and their error over ε is U-shaped."
    )

    defense: str
    epsilons: tuple[float, ...]
    tolerance: float = 0.01
    prompts: int = 4

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts")
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "must lie between 0 and 1")
        falling = all(a > b > 0 for a, b in zip(self.epsilons, self.epsilons[1:], strict=False))
        require(
            falling and len(self.epsilons) > 2,
            "epsilons",
            self.epsilons,
            "must be three steps or more, falling, above 0",
        )

    def measurement(self, cell: Cell) -> DerivativeStage:
        """See `Claim.measurement`."""
        from experiments.claims.derivative_stage import DerivativeStage

        prepared = cell.row_stage().harvest.prepared
        if self.defense not in prepared:
            reason = "is not prepared in a cell of the claim's grid"
            raise ConfigError(f"claim.{self.name}.defense", self.defense, reason, tuple(prepared))
        return DerivativeStage(prepared[self.defense], self.epsilons, self.prompts, cell.seed)

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """See `Claim.judge_tables`."""
        if not tables:
            return None
        ordered = sorted(tables, key=lambda table: int(table["seed"][0]))
        seeds = [int(table["seed"][0]) for table in ordered]
        powers = np.log10(np.array([table["error"].to_numpy() for table in ordered]))
        columns = [plain(seeds, own.tolist()) for own in powers.T]
        steps = ordered[0]["epsilon"].to_list()
        best = int(powers.mean(0).argmin())
        tolerated = plain(seeds, [float(np.log10(self.tolerance))] * len(seeds))
        found: list[tuple[str, Quantity]] = [
            (f"powers of ten below {self.tolerance:g} at ε = {steps[best]:g}", difference(tolerated, columns[best])),
            (f"powers of ten above that at ε = {steps[0]:g}", difference(columns[0], columns[best])),
            (f"powers of ten above that at ε = {steps[-1]:g}", difference(columns[-1], columns[best])),
        ]
        judged = verdicts([estimates([quantity])[0] for _, quantity in found])
        evidence = tuple(
            Ground(what, verdict, says(verdict.reading, ["lost"], ["gained", "unchanged"]))
            for (what, _), verdict in zip(found, judged, strict=True)
        )
        rise = [with_interval(verdict.estimate, "share") for verdict in judged[1:]]
        sentence = (
            f"Finite differences come within {10 ** columns[best].point:.1e} of the exact derivative at ε = "
            f"{steps[best]:g}; the error grows by {rise[0]} powers of ten towards ε = {steps[0]:g} and "
            f"by {rise[1]} towards ε = {steps[-1]:g}."
        )
        return Finding(sentence, evidence, _table(steps, columns))


def _table(steps: Sequence[float], columns: Sequence[Quantity]) -> Table:
    rows: list[dict[str, Value]] = [
        {"epsilon": f"{step:g}", "error": f"{10**own.point:.1e}", "power": estimates([own])[0]}
        for step, own in zip(steps, columns, strict=True)
    ]
    head = (
        Column("epsilon", "ε", "text", 0),
        Column("error", "relative error", "text"),
        Column("power", "as a power of ten"),
    )
    note = "‖finite − exact‖ / ‖exact‖, geometric mean over seeds; interval over seeds."
    return Table(
        "exact_derivative", "Finite differences against the exact derivative (claim C3)", head, tuple(rows), (note,)
    )
