"""How long a stage is expected to take: by what is stored, and by how far the store is from the estimates."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from experiments.engine.graph import Wanted, plan
from experiments.store.artifact import Artifact
from experiments.store.store import Store
from tests.experiments.fakes import Fake


@dataclasses.dataclass(frozen=True)
class Slow(Fake):
    """Another kind, of which nothing is stored."""

    name: ClassVar[str] = "slow"
    seconds: ClassVar[float] = 2.0


def expected(store: Store) -> tuple[float, float]:
    """Seconds that a plan expects of a kind that it may know and of one that it cannot know."""
    graph = plan([Wanted(Slow("row", {"x": Fake("new")}), "cell")], store)
    seconds = {node.stage.name: node.seconds for node in graph.nodes.values()}
    return seconds["fake"], seconds["slow"]


def test_what_is_not_stored_takes_its_own_estimate(tmp_path):
    assert expected(Store(tmp_path)) == (0.1, 2.0)


def test_stored_results_say_what_their_kind_takes_and_how_slow_the_others_will_be(tmp_path):
    store = Store(tmp_path)
    for label, seconds in (("a", 0.01), ("b", 3.0), ("c", 3.0)):
        store.put(Fake(label), Artifact(meta={"label": label}), seconds)
    known, unknown = expected(store)
    assert known == pytest.approx(6.01 / 3)  # a median would say 3, and of many empty results 0
    assert unknown == pytest.approx(2.0 * known / 0.1)
