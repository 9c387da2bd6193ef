"""Names for campaigns of one report that differ in more than their policy: the fields in which they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.campaign.campaign_result import CampaignResult

APART = ("seed", "name", "policy.name")
"""Fields that are told in other ways."""


def told_apart(results: Sequence[CampaignResult]) -> list[CampaignResult]:
    """The results, each policy's name followed by what sets its settings apart from each other; several presets under one
    name, so that they can stand in one table.

    Args:
        results: with the stage's configuration in ``facts["config"]``.
    """
    flat = [dict(_leaves(result.facts["config"])) for result in results]
    presets = list(dict.fromkeys(result.preset for result in results))
    named = []
    for result, own in zip(results, flat, strict=True):
        alike = [
            f for r, f in zip(results, flat, strict=True) if (r.policy, r.preset) == (result.policy, result.preset)
        ]
        paths = [path for path in own if path not in APART and any(f.get(path) != own[path] for f in alike)]
        words = [result.policy, *(result.preset for _ in presets[1:2]), *_in_short(paths, own)]
        named.append(replace(result, policy=" ".join(words), preset="+".join(presets)))
    return named


def _in_short(paths: Sequence[str], values: Mapping[str, Any]) -> Iterator[str]:
    """``field=value``, with as much of its path as keeps the fields apart."""
    last = [path.rpartition(".")[2] for path in paths]
    for path, field in zip(paths, last, strict=True):
        yield f"{field if last.count(field) == 1 else path}={_spelled(values[path])}"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every field. Named parts in a list of pairs count as fields, other lists as values."""
    if (
        isinstance(node, list)
        and node
        and all(isinstance(i, list) and len(i) == 2 and isinstance(i[0], str) for i in node)
    ):
        node = dict(node)
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, node


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
