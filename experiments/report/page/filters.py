"""What the cells of a page can be chosen by: defense, attack, family, and the axes of the threat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.grouping import axis_text, varying_axes
from experiments.report.names import AXES, family_name, family_order

FOUR = {"queries": "query budget", "data": "data budget", "api": "interface", "compute": "own compute"}
"""The axes of the threat model that every page names."""
NO_COMPUTE = "none used"


class Filter(NamedTuple):
    """One of them.

    Args:
        key: of the cells' ``axes``, or ``defense``, ``attack``, ``family``.
        label: before the choices.
        choices: value and text of each.
        free: whether there is a choice "all" besides.
    """

    key: str
    label: str
    choices: tuple[tuple[str, str], ...]
    free: bool = True


def filters_of(summaries: Sequence[Summary]) -> list[Filter]:
    """In the order of the page."""
    defenses = dict.fromkeys("+".join(s.names) or "none" for s in summaries)
    attacks = dict.fromkeys(s.attack for s in summaries)
    families = [POOLED, *family_order(sorted({f for s in summaries for f in s.families} - {POOLED}))]
    told = [axes_of(s, summaries) for s in summaries]
    names = {**FOUR, **{axis: AXES[axis] for axis in varying_axes(summaries)}}
    names = {key: FOUR.get(key, name) for key, name in names.items()}
    axes = [
        Filter(key, name, tuple((v, v) for v in dict.fromkeys(own[key] for own in told))) for key, name in names.items()
    ]
    return [
        Filter("defense", "defense", tuple((name, name) for name in defenses)),
        Filter("attack", "attack", tuple((name, name) for name in attacks)),
        Filter(
            "family",
            "family",
            tuple((f, "all families" if f == POOLED else family_name(f)) for f in families),
            free=False,
        ),
        *axes,
    ]


def axes_of(summary: Summary, summaries: Sequence[Summary]) -> dict[str, str]:
    """The axes of one cell in words: `FOUR`, and those on which the cells differ."""
    keys = [key for key in FOUR if key != "compute"] + [axis for axis in varying_axes(summaries) if axis not in FOUR]
    found = {key: axis_text(summary.configuration.get(key)) for key in keys}
    return {**found, "compute": _compute(summary.configuration)}


def _compute(configuration: Mapping[str, Any]) -> str:
    """What the attacker may spend without the teacher, where its attack spends any."""
    if not configuration.get("refine"):
        return NO_COMPUTE
    settings = configuration.get("settings")
    budget = settings.get("budget") if isinstance(settings, Mapping) else None
    compute = budget.get("compute") if isinstance(budget, Mapping) else None
    if not isinstance(compute, Mapping):
        return "some"
    return ", ".join(f"{axis_text(compute[key])} {key}" for key in ("samples", "tokens", "steps") if key in compute)
