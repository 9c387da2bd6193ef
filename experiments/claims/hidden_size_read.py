"""Singular values of rebuilt logits give the teacher's hidden size; noise on the sold logprobs blurs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError
from experiments.claims.base import Claim, require_some
from experiments.measure.estimate import estimates
from experiments.measure.quantity import Quantity, difference, plain
from experiments.measure.verdict import verdicts
from experiments.report.finding import Finding, Ground, says
from experiments.report.spelling import Value, enumeration, with_interval
from experiments.report.structure import Column, Table

# Hydra builds `withheld`, so its type is needed when fields are checked
from teacher.api.interface import Interface

if TYPE_CHECKING:
    import polars as pl

    from experiments.cell import Cell
    from experiments.claims.hidden_size_stage import HiddenSizeStage

UNDEFENDED = "none"


@dataclass(frozen=True)
class HiddenSizeRead(Claim):
    """Has a stage of its own on the harvest (`experiments.claims.hidden_size_stage`): no student is trained. It
    is judged by its own command alone.

    Exact: the true hidden size less the size that was read, on the undefended API; a size that the attack does not believe
    counts as 0. That has to be 0 in all seeds: it is a whole number, so where seeds agree its interval has no width, and
    where one disagrees it is open or contradicted. Blurred: the gap behind the singular values that were counted, in
    powers of ten, undefended less defended, in the same seed; it has to be above 0.

    That nothing is read where no logit bias or no logprobs are sold is a fact of how the attack is made: it refuses such an
    API before it asks. It is said in the sentence and is no ground. Carlini et al. also recover logits without a bias, from
    more queries; that is not simulated.

    The method needs more tokens that the head tells apart than the hidden size. Carlini et al. read models with hidden sizes
    of 1,024 and more and vocabularies many times that. Of the 144 tokens of the default mini teacher, of width 96, all but
    56 share one row of the head: no more than 55 could be read, and the attack, first run on that teacher, read nothing.
    So the grid's teacher is narrower, 32: chosen after that run, and the only other width that was tried. Where a seed's
    undefended attack could not have reached the true size (``hidden_size_most``), it says nothing of either ground.

    Args:
        attack: name of the harvest.
        noise: defense that blurs.
        beside: defenses that are tabled and not judged: the paper does not speak of them.
        withheld: interfaces that the attack has to refuse, by what they do not sell.
    """

    name: ClassVar[str] = "hidden_size_read"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C8"
    source: ClassVar[str] = "Carlini et al. 2024, arXiv 2403.06634, sections 4, 5 and 8"
    statement: ClassVar[str] = (
        "Singular values of the logits give the hidden size exactly; noise on the sold logprobs blurs it; without a logit "
        "bias or logprobs it cannot be read."
    )

    attack: str
    noise: str
    withheld: Mapping[str, Interface]
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_some(self, "withheld")

    def measurement(self, cell: Cell) -> HiddenSizeStage:
        """See `Claim.measurement`."""
        from experiments.claims.hidden_size_stage import HiddenSizeStage

        harvest = cell.row_stage().harvest
        if harvest.harvest.name != self.attack:
            raise ConfigError(f"claim.{self.name}.attack", harvest.harvest.name, "reads no hidden size", (self.attack,))
        return HiddenSizeStage(harvest, self.withheld, cell.seed)

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """See `Claim.judge_tables`."""
        rows = sorted((table.row(0, named=True) for table in tables), key=lambda row: int(row["seed"]))
        of = {name: [r for r in rows if r["defense"] == name] for name in (UNDEFENDED, self.noise, *self.beside)}
        if not of[UNDEFENDED]:
            return None
        within = {int(str(r["seed"])) for r in of[UNDEFENDED] if float(str(r["most"])) >= float(str(r["true"]))}
        reach = {name: [r for r in own if int(str(r["seed"])) in within] for name, own in of.items()}
        gaps = {name: _per_seed(own, [float(r["gap"]) for r in own]) for name, own in of.items()}
        near = {name: _per_seed(own, [float(r["gap"]) for r in own]) for name, own in reach.items()}
        missed = _per_seed(reach[UNDEFENDED], [_missed(row) for row in reach[UNDEFENDED]])
        exact, blurred = verdicts([estimates([q])[0] for q in (missed, difference(near[UNDEFENDED], near[self.noise]))])
        evidence = (
            Ground(
                "true hidden size less the one read, undefended",
                exact,
                says(exact.reading, ["unchanged"], ["lost", "gained"]),
            ),
            Ground(
                f"powers of ten that {self.noise} takes of the gap",
                blurred,
                says(blurred.reading, ["lost"], ["gained", "unchanged"]),
            ),
        )
        return Finding(self._sentence(of, gaps, len(within)), evidence, _table(of, gaps))

    def _sentence(self, of: Mapping[str, list[dict[str, object]]], gaps: Mapping[str, Quantity], within: int) -> str:
        clauses = []
        for name, own in of.items():
            if own:
                right = sum(row["found"] == row["true"] for row in own)
                gap = with_interval(estimates([gaps[name]])[0], "share")
                clauses.append(f"in {right} of {len(own)} seeds under {name} (gap {gap} powers of ten)")
        refused = set.intersection(*(_refused(row) for own in of.values() for row in own))
        found = f"The hidden size is read exactly {enumeration(clauses)}."
        if within < len(of[UNDEFENDED]):
            found += f" It was within reach in {within} of {len(of[UNDEFENDED])} seeds."
        if len(refused) < len(self.withheld):
            return f"{found} The attack does not refuse every API that withholds something."
        blocked = enumeration(list(self.withheld))
        return f"{found} By construction, not measured: the attack refuses APIs with {blocked}."


def _refused(row: Mapping[str, object]) -> set[str]:
    found = row["refused"]
    assert isinstance(found, list)
    return set(found)


def _missed(row: Mapping[str, float]) -> float:
    """The true size less the one read, which is 0 where none was believed."""
    found = row["found"]
    return row["true"] - (found if found == found else 0.0)


def _per_seed(rows: Sequence[Mapping[str, object]], values: Sequence[float]) -> Quantity:
    return plain([int(str(row["seed"])) for row in rows], values)


def _table(of: Mapping[str, list[dict[str, object]]], gaps: Mapping[str, Quantity]) -> Table:
    rows: list[dict[str, Value]] = []
    for name, own in of.items():
        if own:
            found = [float(str(row["found"])) for row in own]
            rows.append(
                {
                    "defense": name,
                    "true": enumeration(sorted({f"{row['true']:g}" for row in own})),
                    "found": ", ".join("none" if size != size else f"{size:g}" for size in found),
                    "most": ", ".join(f"{row['most']:g}" for row in own),
                    "gap": estimates([gaps[name]])[0],
                    "queries": enumeration(sorted({f"{row['queries']:g}" for row in own})),
                }
            )
    head = (
        Column("defense", "defense", "text", 0),
        Column("true", "true size", "text"),
        Column("found", "size read, by seed", "text"),
        Column("most", "largest in reach", "text"),
        Column("gap", "gap"),
        Column("queries", "queries", "text"),
    )
    note = (
        "Gap: largest fall from one singular value to the next, in powers of ten; none: too small a gap to be believed."
    )
    return Table("hidden_size_read", "The hidden size that is read (claim C8)", head, tuple(rows), (note,))
