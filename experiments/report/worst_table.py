"""The worst case over attacks per defense, what adapting gains the attacker, and which settings are on the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.panel import ALL
from experiments.measure.pareto import NO_GAIN, front, hypervolume, worst_case
from experiments.measure.quantity import Quantity
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.floor import floor_note
from experiments.report.grouping import by_defense, by_threat, threat_text
from experiments.report.names import is_passive
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

NONE = Estimate(None)


def known_transfers(cells: Sequence[Summary], family: str) -> dict[str, Quantity]:
    """By attack, the transfers that are not blank."""
    return {
        s.attack: s.headline("transfer", family)
        for s in cells
        if s.headline_estimate("transfer", family).value is not None
    }


def _values(found: Sequence[Estimate]) -> list[float]:
    return [float("nan") if e.value is None else e.value for e in found]


def worst_table(summaries: Sequence[Summary], family: str = POOLED) -> Table | None:
    """One row per defense setting that met at least one attack; None where no transfer is known."""
    groups = by_threat(summaries)
    rows: list[dict[str, Value]] = []
    volumes = []
    for group in groups:
        settings = by_defense(group)
        worst = {
            label: worst_case(known_transfers(cells, family), {s.attack for s in cells if is_passive(s)})
            for label, cells in settings.items()
        }
        gaps = dict(zip(worst, estimates([each.gap for each in worst.values()]), strict=True))
        quality = {label: cells[0].estimate("T_def", ALL, "", "strict") for label, cells in settings.items()}
        transfer = {
            label: next(
                (s.headline_estimate("transfer", family) for s in cells if s.attack == worst[label].attack), NONE
            )
            for label, cells in settings.items()
        }
        labels = list(settings)
        x, y = _values([transfer[label] for label in labels]), _values([quality[label] for label in labels])
        best = set(front(x, y))
        where = threat_text(group[0], summaries)
        volumes.append(f"{where + ': ' if where else ''}{hypervolume(x, y):.3f}")
        rows += [
            {
                "defense": label,
                "threat": where,
                "attack": worst[label].attack,
                "transfer": transfer[label],
                "gap": Estimate(0.0) if gaps[label].reason == NO_GAIN else gaps[label],
                "quality": quality[label],
                "front": "yes" if i in best else "",
            }
            for i, label in enumerate(labels)
            if transfer[label].value is not None
        ]
    if not rows:
        return None
    columns = (
        Column("defense", "defense", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if len(groups) > 1 else []),
        Column("attack", "worst attack", "text"),
        Column("transfer", "transfer"),
        Column("gap", "beyond passive"),
        Column("quality", "honest accuracy"),
        Column("front", "on front", "text"),
    )
    notes = (
        "Pooled transfer under the attack that moves most; its interval takes the choice of attack as given. Beyond "
        "passive: more than the best attack that does not answer to the defense, 0 where that is the worst; blank where "
        "none was run.",
        f"Hypervolume of the front (transfer below, honest accuracy above; reference 1, 0; of the values, without an "
        f"interval): {'; '.join(volumes)}.",
    )
    floor = floor_note("gain beyond passive", {family: [e for row in rows if isinstance(e := row["gap"], Estimate)]})
    return Table("worst", "Worst case over attacks", columns, tuple(rows), tuple(filter(None, (*notes, floor))))
