"""The graph of stages behind a set of wanted results: what is shared, what is stored, what is left and how long it may take.

Knows stages and the store; runs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from experiments.store.stage import Stage
    from experiments.store.store import Store

RECENT = 20
"""How many stored results of a kind its expected time is the mean of."""


@dataclass(frozen=True)
class Wanted:
    """A result that is asked for.

    Args:
        stage: the stage that gives it.
        label: how it is called in messages.
    """

    stage: Stage
    label: str


@dataclass(frozen=True)
class Node:
    """One stage that has to be run.

    Args:
        stage: the stage.
        needs: keys of the inputs that have to be run before it (stored ones are not among them).
        label: of the first wanted result that needs it.
        cell: position of that result among the wanted ones.
        seconds: expected time on one core.
        remaining: expected time of the longest chain from its start to a wanted result.
    """

    stage: Stage
    needs: frozenset[str]
    label: str
    cell: int
    seconds: float
    remaining: float


@dataclass(frozen=True)
class StageGraph:
    """What is left to do.

    Args:
        nodes: stages to run by key, every stage after its inputs.
        wanted: the results asked for, stored or not, without duplicates.
        reused: keys of stored results that stand in for work, wanted ones included.
    """

    nodes: Mapping[str, Node]
    wanted: tuple[Wanted, ...]
    reused: frozenset[str]

    def dependents(self) -> dict[str, list[str]]:
        """For each stage to run, the stages to run that read it."""
        found: dict[str, list[str]] = {key: [] for key in self.nodes}
        for key, node in self.nodes.items():
            for needed in node.needs:
                found[needed].append(key)
        return found

    def seconds(self, workers: int) -> float:
        """Expected wall time with this many workers: total work shared out, but no less than the longest chain."""
        total = sum(node.seconds for node in self.nodes.values())
        longest = max((node.remaining for node in self.nodes.values()), default=0.0)
        return max(total / max(workers, 1), longest)


def plan(wanted: Iterable[Wanted], store: Store) -> StageGraph:
    """Walk from the wanted results down to what is stored.

    Stages with equal keys are one. Wanted results that are stored are checked, so that a corrupt one is planned to be made
    again: nobody would look at it before the report, which reads it anyway. Of what lies below only the manifest is looked
    for; reading thousands of models to check them would take longer than the run. Whoever uses one checks it then, and an
    engine makes a corrupt one again. What only stored results need is not looked at.
    """
    asked = {w.stage.key: w for w in wanted}
    order: dict[str, tuple[Stage, int, str]] = {}
    reused = {key for key, one in asked.items() if store.get(one.stage) is not None}
    for position, (key, one) in enumerate(asked.items()):
        if key not in reused:
            _visit(one.stage, position, one.label, store, order, reused)
    return StageGraph(_nodes(order, expected_seconds(store)), tuple(asked.values()), frozenset(reused))


class Use(NamedTuple):
    """How a kind of stage is shared.

    Args:
        uses: how many stages of the kind the wanted results would take one by one.
        keys: of the different ones among them.
    """

    uses: int
    keys: frozenset[str]


def shared(wanted: Iterable[Wanted]) -> dict[str, Use]:
    """By kind, how often the wanted results use its stages, and which."""
    below: dict[str, frozenset[str]] = {}
    kinds: dict[str, str] = {}
    rows = {_gather(w.stage, below, kinds) for w in wanted}
    uses = Counter(kinds[key] for row in rows for key in below[row])
    keys: dict[str, set[str]] = {}
    for key, kind in kinds.items():
        keys.setdefault(kind, set()).add(key)
    return {kind: Use(uses[kind], frozenset(found)) for kind, found in keys.items()}


def _gather(stage: Stage, below: dict[str, frozenset[str]], kinds: dict[str, str]) -> str:
    """Note a stage, and the keys of all that it is made from, its own among them; its key."""
    if stage.key not in below:
        inputs = [below[_gather(needed, below, kinds)] for needed in stage.inputs().values()]
        below[stage.key] = frozenset({stage.key}).union(*inputs)
        kinds[stage.key] = stage.name
    return stage.key


def expected_seconds(store: Store) -> _Expected:
    """Expected time of a stage: the mean of what its kind took before in this store. A kind that has not been seen takes its
    own estimate times what all kinds that were seen took above theirs: estimates are those of the mini world, and a language
    model is as much slower in one kind as in another."""
    return _Expected(store)


class _Expected:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[type[Stage], float | None] = {}

    def __call__(self, stage: Stage) -> float:
        """Seconds."""
        taken = self._taken(type(stage))
        return type(stage).seconds * self._slowness if taken is None else taken

    def learn(self, kinds: Iterable[type[Stage]]) -> None:
        """Look at what these kinds took, so that what others take can be told from it."""
        for kind in kinds:
            self._taken(kind)

    @property
    def _slowness(self) -> float:
        seen = [(taken, kind.seconds) for kind, taken in self._known.items() if taken is not None]
        return sum(taken for taken, _ in seen) / sum(seconds for _, seconds in seen) if seen else 1.0

    def _taken(self, kind: type[Stage]) -> float | None:
        if kind not in self._known:
            times = [float(m["seconds"]) for m in islice(self._store.manifests(kind.name), RECENT)]
            self._known[kind] = max(fmean(times), 0.01) if times else None
        return self._known[kind]


def _visit(
    stage: Stage,
    position: int,
    label: str,
    store: Store,
    order: dict[str, tuple[Stage, int, str]],
    reused: set[str],
) -> None:
    if stage.key in order or stage.key in reused:
        return
    if store.has(stage):
        reused.add(stage.key)
        return
    for needed in stage.inputs().values():
        _visit(needed, position, label, store, order, reused)
    order[stage.key] = (stage, position, label)


def _nodes(order: dict[str, tuple[Stage, int, str]], expected: _Expected) -> dict[str, Node]:
    expected.learn({type(stage) for stage, _, _ in order.values()})
    remaining: dict[str, float] = {}
    for key in reversed(order):
        stage = order[key][0]
        own = remaining.get(key, 0.0) + expected(stage)
        remaining[key] = own
        for needed in stage.inputs().values():
            remaining[needed.key] = max(remaining.get(needed.key, 0.0), own)
    nodes = {}
    for key, (stage, position, label) in order.items():
        needs = frozenset(s.key for s in stage.inputs().values() if s.key in order)
        nodes[key] = Node(stage, needs, label, position, expected(stage), remaining[key])
    return nodes
