"""The transcripts of a page: of each configuration its first seed's, as many items as the page has room for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from experiments.measure.cell_result import CellResult
from experiments.report.told_items import Side, ToldItem, first_of_families, told_items

LARGEST = 2_500_000
"""Characters of all transcripts of a page, as JSON."""

FEWEST = 1
ONE, LONG = ("kind", "role", "family"), ("prompt", "trace", "answer")
"""Columns that say whose items they are, and those that are long."""


def told_page(groups: Sequence[Sequence[CellResult]]) -> dict[str, Any]:
    """``cells``: number, seed, and items of each configuration that has texts; ``texts`` and ``said``: what the items point
    to by number, as most of it is said in many cells; ``note``: how many items there are. JSON-able.

    Args:
        groups: the seeds of each configuration of the page, in its order.
    """
    chosen = [(i, result) for i, group in enumerate(groups) if (result := _first_told(group)) is not None]
    if not chosen:
        return {"cells": [], "texts": [], "said": [], "note": ""}
    tables = [result.transcripts for _, result in chosen if result.transcripts is not None]
    stored = max(max(table.group_by(*ONE).len()["len"].to_list()) for table in tables)
    letters = sum(sum(table[name].str.len_chars().sum() for name in LONG) for table in tables)
    most = max(min(stored, int(stored * LARGEST / max(letters, 1))), FEWEST)
    told = [(i, result.seed, told_items(result, most)) for i, result in chosen]
    while len(json.dumps(found := _told(told, most))) > LARGEST and most > FEWEST:
        most = max(most * 3 // 4, FEWEST)
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


def _told(told: Sequence[tuple[int, int, dict[str, list[ToldItem]]]], most: int) -> dict[str, Any]:
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

    def some(items: Sequence[ToldItem]) -> list[dict[str, Any]]:
        return [shown(item) for item in first_of_families([(item.family, item) for item in items], most)]

    cells = [{"cell": i, "seed": seed, **{kind: some(own) for kind, own in items.items()}} for i, seed, items in told]
    return {"cells": cells, "texts": list(texts), "said": [json.loads(text) for text in said]}
