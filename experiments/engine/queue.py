"""The stages that could start now, in the order in which they should; O(log n) for each."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from experiments.engine.graph import Node

Entry = tuple[tuple[float, float], str, Node]
"""Rank (smallest first), key, node."""


@dataclass
class _Heap:
    entries: list[Entry] = field(default_factory=list)

    def put(self, rank: tuple[float, float], node: Node) -> None:
        heapq.heappush(self.entries, (rank, node.stage.key, node))

    def first(self, valid: dict[str, str]) -> Node | None:
        """The first node that was not taken through another heap."""
        while self.entries and self.entries[0][1] not in valid:
            heapq.heappop(self.entries)
        return self.entries[0][2] if self.entries else None


class Queue:
    """Nodes by cohort: "" for those that run alone."""

    def __init__(self) -> None:
        self._company: dict[str, str] = {}  # of each node that is here, by key
        self._early: dict[str, _Heap] = {}
        self._long: dict[str, _Heap] = {}
        self._size: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._company)

    def put(self, node: Node, cohort_key: str) -> None:
        """Add a node."""
        self._company[node.stage.key] = cohort_key
        self._size[cohort_key] = self._size.get(cohort_key, 0) + 1
        self._early.setdefault(cohort_key, _Heap()).put((node.cell, -node.remaining), node)
        self._long.setdefault(cohort_key, _Heap()).put((-node.remaining, node.cell), node)

    def take(self, cohort: int, critical: Callable[[float], bool]) -> tuple[Node, ...]:
        """Remove and return the group that should start: up to ``cohort`` nodes of one cohort, or one that runs alone.

        Args:
            cohort: most nodes of a group.
            critical: whether a chain of so many seconds has to start now.
        """
        sizes = {cohort_key: size for cohort_key, size in self._size.items() if size}
        if not sizes:
            return ()
        full = [cohort_key for cohort_key, size in sizes.items() if cohort_key and size >= cohort]
        if full:
            return self._group(self._first_of(full), cohort)
        if "" in sizes:
            longest = self._long[""].first(self._company)
            assert longest is not None
            chosen = longest if critical(longest.remaining) else self._early[""].first(self._company)
            assert chosen is not None
            self._remove(chosen)
            return (chosen,)
        return self._group(self._first_of(list(sizes)), cohort)

    def _first_of(self, companies: list[str]) -> str:
        """The cohort whose first node is of the earliest cell."""

        def rank(cohort_key: str) -> tuple[float, float]:
            node = self._early[cohort_key].first(self._company)
            assert node is not None
            return node.cell, -node.remaining

        return min(companies, key=rank)

    def _group(self, cohort_key: str, cohort: int) -> tuple[Node, ...]:
        found: list[Node] = []
        while len(found) < cohort and (node := self._early[cohort_key].first(self._company)) is not None:
            self._remove(node)
            found.append(node)
        return tuple(found)

    def _remove(self, node: Node) -> None:
        self._size[self._company.pop(node.stage.key)] -= 1
