"""Whether the code of a part is what stored results were made with: every entry says which code that was.

A version says what an author wants to be taken for the same; this tells of a part that was edited without raising it. What
is compared is in `experiments.store.sources`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from configs.identity import Part, parts_in
from experiments.engine.graph import StageGraph
from experiments.store.sources import label_of, source_of, sources
from experiments.store.stage import Stage
from experiments.store.store import Store


class Changed(NamedTuple):
    """A part whose code is another than that of stored results which stand in for work.

    Args:
        part: its kind, name and version, as ``recover/dedup/1``.
        module: where it is defined.
        results: how many such results there are, by stage.
    """

    part: str
    module: str
    results: dict[str, int]

    def __str__(self) -> str:
        kind, name, version = self.part.split("/")
        made = ", ".join(f"{number} of {stage}" for stage, number in self.results.items())
        return (
            f"the code of {kind} {name!r} (version {version}, {self.module}) has changed since stored results were made "
            f"with it ({made}); they are used as they are. If it computes something else now, raise its version, or remove "
            f"all that was made with it: moatbench store forget {kind}/{name}"
        )


def changed(graph: StageGraph, store: Store) -> list[Changed]:
    """Parts of a plan whose code differs from that of results which the plan reuses.

    The store knows by which code each part has ever been run; only where that is not today's code alone are manifests read.
    """
    if not graph.reused:
        return []
    stages = list(_stages(w.stage for w in graph.wanted))
    parts = {label_of(part): part for part in _distinct_parts(stages)}
    suspects = {name for name, part in parts.items() if store.sources(name) - {source_of(type(part)), ""}}
    found: dict[str, Counter[str]] = {name: Counter() for name in suspects}
    for stage in stages if suspects else ():
        own = {name: source for name, source in sources(stage).items() if name in suspects}
        made = store.manifest(stage) if own else None
        for name, source in own.items():
            if made is not None and made["sources"].get(name, source) != source:
                found[name][stage.name] += 1
    return [Changed(n, type(parts[n]).__module__, dict(count)) for n, count in sorted(found.items()) if count]


def _stages(wanted: Iterable[Stage]) -> Iterator[Stage]:
    """The wanted stages and all that they are made from, each object once."""
    seen: set[int] = set()
    left = list(wanted)
    while left:
        stage = left.pop()
        if id(stage) not in seen:
            seen.add(id(stage))
            yield stage
            left += stage.inputs().values()


def _distinct_parts(stages: Iterable[Stage]) -> Iterator[Part]:
    """Parts that stages are configured with; what several stages share is looked into once."""
    seen: set[int] = set()
    for stage in stages:
        for value in vars(stage).values():
            held: Iterable[Any] = value.values() if isinstance(value, dict) else (value,)
            for one in held:
                if id(one) not in seen and dataclasses.is_dataclass(one):
                    seen.add(id(one))
                    yield from parts_in(one, beyond=Stage)
