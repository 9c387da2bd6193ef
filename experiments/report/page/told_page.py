"""The transcripts of a page: of each configuration its first seed's, as many items as the page has room for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from experiments.measure.cell_result import CellResult
from experiments.report.told_items import Side, ToldItem, told_items

LARGEST = 2_500_000
"""Characters of all transcripts of a page, as JSON."""

FEWEST = 1


def told_page(groups: Sequence[Sequence[CellResult]]) -> dict[str, Any]:
    """``cells``: number, seed, and items of each configuration that has texts; ``texts`` and ``said``: what the items point
    to by number, as most of it is said in many cells; ``note``: how many items there are. JSON-able.

    Args:
        groups: the seeds of each configuration of the page, in its order.
    """
    chosen = [(i, result) for i, group in enumerate(groups) if (result := _first_told(group)) is not None]
    if not chosen:
        return {"cells": [], "texts": [], "said": [], "note": ""}
    stored = max(len(told) for _, result in chosen for told in _by_family(result))
    most = stored
    while True:
        found = _told(chosen, most)
        if most <= FEWEST or len(json.dumps(found)) <= LARGEST:
            break
        most = max(most // 2, FEWEST)
    room = "" if most == stored else " The page has no room for more; moatbench transcripts shows all that are stored."
    items = "1 item" if most == 1 else f"{most} items"
    note = (
        f"What was said, word for word: up to {items} of each family, of the first seed of each configuration. The attacker "
        f"asks other items than those on which students are scored. What the defense took away is marked in the text before "
        f"it, what it put there in the text as released.{room}"
    )
    return {**found, "note": note}


def _first_told(group: Sequence[CellResult]) -> CellResult | None:
    return next((result for result in group if result.transcripts is not None and result.transcripts.height), None)


def _by_family(result: CellResult) -> list[list[ToldItem]]:
    found: dict[tuple[str, str], list[ToldItem]] = {}
    for kind, items in told_items(result).items():
        for item in items:
            found.setdefault((kind, item.family), []).append(item)
    return list(found.values()) or [[]]


def _told(chosen: Sequence[tuple[int, CellResult]], most: int) -> dict[str, Any]:
    texts: dict[str, int] = {}
    said: dict[str, int] = {}

    def side(own: Side) -> list[Any]:
        parts: Any = own.remark or [[part, [[int(p.changed), p.text] for p in pieces]] for part, pieces in own.said]
        return [own.title, said.setdefault(json.dumps(parts), len(said)), own.sign]

    def shown(item: ToldItem) -> dict[str, Any]:
        return {
            "title": item.name,
            "family": item.family,
            "facts": list(item.facts),
            "prompt": texts.setdefault(item.prompt, len(texts)),
            "sides": [side(own) for own in item.sides],
            "grades": [own.right for own in item.sides],
            "lenient": [own.lenient for own in item.sides],
            "changed": item.changed,
        }

    cells = [
        {"cell": i, "seed": result.seed, **{k: [shown(x) for x in v] for k, v in told_items(result, most).items()}}
        for i, result in chosen
    ]
    return {"cells": cells, "texts": list(texts), "said": [json.loads(text) for text in said]}
