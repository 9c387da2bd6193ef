"""The defense × attack matrices that the cells of a report make: one per threat model, complete, with what was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.measure.cell_result import THREAT
from experiments.measure.panel import ALL
from experiments.measure.quantity import Quantity, linear, mean_of, shared_seeds
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.grouping import threat_text
from experiments.report.names import told_apart
from experiments.store.maintenance.lineage import Lineage

SIDES = ("defense", "attack")


@dataclass(frozen=True)
class Payoffs:
    """What the provider loses, and the attacker gains, in each pair of methods.

    Args:
        setting: the axes on which this threat model differs from others of the report; "" where it is the only one.
        defenses: R labels.
        attacks: C labels.
        losses: (R, C), all on the same seeds.
        seeds: these.
        left_out: a sentence for each method or seed that is in no cell of the matrix, why.
        lineage: (R, C) where the losses come from.
    """

    setting: str
    defenses: tuple[str, ...]
    attacks: tuple[str, ...]
    losses: tuple[tuple[Quantity, ...], ...]
    seeds: tuple[int, ...]
    left_out: tuple[str, ...]
    lineage: tuple[tuple[Lineage, ...], ...] = ()


def payoffs(summaries: Sequence[Summary], price: float, family: str = POOLED) -> list[Payoffs]:
    """A matrix for each threat model that has cells, the fullest first.

    Loss of the provider = transfer + ``price`` × drop of honest accuracy. The drop of a defense is its mean over the
    attacks, as only defenses that look across accounts give honest users something else under another attack. So the price
    is the defense's alone and moves no choice of the attacker's: the game with these losses has the same equilibria as the
    one in which he gains the transfer and the provider loses both.

    Args:
        summaries: with estimates; labels as the cells have them.
        price: of a point of honest accuracy, in points of transfer; 0 asks for no honest accuracy.
        family: of the transfer and the drop.
    """
    groups: dict[str, list[Summary]] = {}
    for s in summaries:
        groups.setdefault(_threat(s), []).append(s)
    fullest = sorted(groups.values(), key=len, reverse=True)
    return [_of_one_threat(group, threat_text(group[0], summaries), price, family) for group in fullest]


def _threat(summary: Summary) -> str:
    """All that a cell is, but for its two sides."""
    settings = summary.configuration.get("settings")
    if not isinstance(settings, Mapping):
        return json.dumps(summary.threat, default=str)
    rest = {name: part for name, part in settings.items() if name not in (*SIDES, "seed")}
    return json.dumps([summary.threat, rest], sort_keys=True, default=str)


def _of_one_threat(group: Sequence[Summary], setting: str, price: float, family: str) -> Payoffs:
    rows, columns = (_methods(group, side) for side in SIDES)
    cells = {(_method(s, "defense"), _method(s, "attack")): s for s in group}
    lost = {row: _drop([s for (own, _), s in cells.items() if own == row], family) for row in rows} if price else {}
    losses = {
        place: linear([(1.0, s.headline("transfer", family)), *([(price, lost[place[0]])] if price else [])])
        for place, s in cells.items()
        if s.headline_estimate("transfer", family).value is not None
    }
    known = {place for place, loss in losses.items() if loss.known}
    kept_rows, kept_columns, left_out = _complete(rows, columns, known)
    found = [losses[row, column] for row in kept_rows for column in kept_columns]
    seeds = shared_seeds(found) if found else ()
    every = sorted({seed for loss in found for seed in loss.seeds})
    if len(seeds) < len(every):
        lacking = ", ".join(str(seed) for seed in every if seed not in seeds)
        left_out.append(f"Seeds left out, as not every pair has them: {lacking}.")
    on = [loss.on(seeds) for loss in found] if seeds else []
    width = max(len(kept_columns), 1)
    return Payoffs(
        setting,
        tuple(rows[row] for row in kept_rows) if seeds else (),
        tuple(columns[column] for column in kept_columns) if seeds else (),
        tuple(tuple(on[at : at + width]) for at in range(0, len(on), width)),
        seeds,
        tuple(left_out),
        tuple(tuple(cells[row, column].lineage for column in kept_columns) for row in kept_rows) if seeds else (),
    )


def _method(summary: Summary, side: str) -> str:
    settings = summary.configuration.get("settings")
    own = settings.get(side) if isinstance(settings, Mapping) else None
    return json.dumps([getattr(summary, side), own], default=str)  # unsorted: the order of a stack matters


def _methods(group: Sequence[Summary], side: str) -> dict[str, str]:
    """A side's methods -> labels that tell them apart, in the order of the cells."""
    first: dict[str, Summary] = {}
    for s in group:
        first.setdefault(_method(s, side), s)
    alone = [_alone(s, side) for s in first.values()]
    return {method: getattr(s, side) for method, s in zip(first, told_apart(alone), strict=True)}


def _alone(summary: Summary, side: str) -> Summary:
    """The cell as if only this side of it were there."""
    settings = summary.configuration.get("settings")
    own: dict[str, Any] = {axis: summary.configuration.get(axis) for axis in THREAT}
    if isinstance(settings, Mapping):
        own["settings"] = {side: settings.get(side)}
    alone = replace(summary, configuration=own)
    return replace(alone, attack="") if side == "defense" else replace(alone, defense="")


def _drop(cells: Sequence[Summary], family: str) -> Quantity:
    drops = [s.quantity("honest_drop", ALL if family == POOLED else family, "", "strict") for s in cells]
    return mean_of([drop for drop in drops if drop.known])


def _complete(
    rows: Mapping[str, str], columns: Mapping[str, str], known: set[tuple[str, str]]
) -> tuple[list[str], list[str], list[str]]:
    """Rows and columns of a matrix without gaps: the method that lacks the largest share of its pairs goes first, of equal
    ones an attack before a defense, the last before the first."""
    kept_rows, kept_columns = list(rows), list(columns)
    left_out = []
    while kept_rows and kept_columns:
        gaps = [
            (sum((row, column) not in known for row in kept_rows) / len(kept_rows), 1, at, "attack", column)
            for at, column in enumerate(kept_columns)
        ] + [
            (sum((row, column) not in known for column in kept_columns) / len(kept_columns), 0, at, "defense", row)
            for at, row in enumerate(kept_rows)
        ]
        share, _, at, side, method = max(gaps)
        if share == 0:
            break
        other = len(kept_rows) if side == "attack" else len(kept_columns)
        label = (columns if side == "attack" else rows)[method]
        left_out.append(
            f"Left out: the {side} {label}, which has no known payoff in {round(share * other)} of {other} pairs."
        )
        (kept_columns if side == "attack" else kept_rows).pop(at)
    return kept_rows, kept_columns, left_out
