"""The defense × attack table."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.catalogue import CATALOGUE
from experiments.report.floor import floor_note
from experiments.report.grouping import axis_text, varying_axes
from experiments.report.guard_notes import guard_notes
from experiments.report.names import (
    AXES,
    family_name,
    family_order,
    seeds_caveat,
    seeds_text,
)
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

Row = dict[str, Value]

MEASURES = {
    "relative": "relative",
    "relative_own": "relative_own",
    "T_def": "honest_accuracy",
    "refusals": "refused",
    "wait": "wait",
    "trace": "trace_seen",
    "extra passes": "extra_passes",
    "sold_l1": "sold_l1",
    "sold_top1": "sold_top1",
    "queries accepted": "accepted",
    "prompts": "distinct_prompts",
    "dollars": "attack_cost",
}
"""Columns behind the transfers, by what the catalogue calls them."""

EXTRA_PASSES = "Extra passes: forward passes of other models than the teacher per token that it generates."

SOLD_L1 = (
    "L1 sold: Σ|y′ − y| of what is sold of a token against the teacher's own distribution, tokens that are not listed being "
    "one class; mean over tokens of the teacher's answers. First token kept: share whose first listed token is the "
    "teacher's."
)


def main_table(summaries: Sequence[Summary]) -> Table:
    """One row per defense, strength, threat model and attack.

    Axes of the threat model on which all rows agree stand in the title instead of a column.
    """
    families = [f for f in family_order(sorted({f for s in summaries for f in s.families})) if f != POOLED]
    varying = varying_axes(summaries)
    fixed = [
        axis for axis in AXES if axis not in varying and summaries and summaries[0].configuration.get(axis) is not None
    ]
    rows = []
    for s in summaries:
        row: Row = {"defense": s.defense, "attack": s.attack}
        row |= {axis: axis_text(s.configuration.get(axis)) for axis in varying}
        row |= {f"transfer {f}": s.headline_estimate("transfer", f) for f in (*families, POOLED)}
        row |= {key: _value(s, name) for key, name in MEASURES.items()}
        rows.append(row)
    left = {
        *([] if runs_models(summaries) else ["extra passes"]),
        *([] if sells_changed_probabilities(summaries) else ["sold_l1", "sold_top1"]),
    }
    columns = (
        Column("defense", "defense", "text", 0),
        *(Column(axis, AXES[axis], "text", 0) for axis in varying),
        Column("attack", "attack", "text", 0),
        *(Column(f"transfer {f}", family_name(f)) for f in (*families, POOLED)),
        *(
            Column(key, CATALOGUE[name].title, CATALOGUE[name].kind, 2)
            for key, name in MEASURES.items()
            if key not in left
        ),
    )
    setting = ", ".join(f"{AXES[axis]} {axis_text(summaries[0].configuration.get(axis))}" for axis in fixed)
    return Table(
        "main",
        "Transfer by defense and attack" + (f" ({setting})" if setting else ""),
        columns,
        tuple(rows),
        _main_notes(summaries),
        ("What moved: transfer per family", "What it cost: honest users and attacker"),
    )


def _value(summary: Summary, name: str) -> Value:
    """As the catalogue has it; of means over users and cells the number alone."""
    found = CATALOGUE[name].estimate(summary)
    return found if CATALOGUE[name].of in ("student", "honest") else found.value


def runs_models(summaries: Sequence[Summary]) -> bool:
    """Whether any defense runs models besides the teacher while the API serves."""
    return any(s.estimate("extra_passes").value for s in summaries)


def sells_changed_probabilities(summaries: Sequence[Summary]) -> bool:
    """Whether it was measured anywhere how far sold probabilities are from the truth."""
    return any(s.estimate("sold_l1").value is not None for s in summaries)


def _main_notes(summaries: Sequence[Summary]) -> tuple[str, ...]:
    decodings = " or ".join(sorted({s.decoding for s in summaries})) or "greedy"
    lost = {
        family: [s.headline_estimate("transfer_lost", family) for s in summaries if s.names]
        for family in family_order(sorted({f for s in summaries for f in s.families} | {POOLED}))
    }
    notes = (
        f"Transfer = (S_def − S_base)/(T_clean − S_base), {decodings} decoding, strict grading; [95 % interval], t with the "
        f"variance between seeds from all rows together, {seeds_text(summaries)}. Pooled: ratio of means over families. "
        "Relative: share of the gain of the best undefended attack on equal budgets; relative to own: of the same attack's. "
        "Blank (–): denominator inside its noise, or not measured.",
        "Honest accuracy counts refusals as wrong. Refused: share of honest requests. Wait: mean per honest request. "
        "Trace seen: share of the working that honest users were shown. "
        "Accepted: attacker queries that were answered, and to how many distinct prompts; cost: his bill; means over seeds.",
        EXTRA_PASSES * runs_models(summaries),
        SOLD_L1 * sells_changed_probabilities(summaries),
        floor_note("loss of transfer against the undefended attack", lost),
        *guard_notes(summaries),
        seeds_caveat(summaries),
    )
    return tuple(filter(None, notes))
