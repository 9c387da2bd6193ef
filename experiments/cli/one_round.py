"""Runs what a search asks for next: shared by the commands that run stages, look at them, and run more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from experiments.cli.consoles import count, remarks

if TYPE_CHECKING:
    from experiments.compose.compose import Composed
    from experiments.engine.base import RunOutcome
    from experiments.engine.graph import StageGraph, Wanted


def run_round(
    wanted: Sequence[Wanted],
    cell: Composed,
    workers: int | None,
    command: Sequence[str],
    kept: str,
    saying: Callable[[StageGraph, int], str],
) -> RunOutcome:
    """Run these stages, and keep them under a name.

    Args:
        wanted: what is asked for.
        cell: says where and how to run.
        workers: overrides the launcher's.
        command: words after ``moatbench``.
        kept: name of the kept table that the stages are added to.
        saying: what is said first, from the graph and the number of workers.
    """
    from experiments.cli.execute import engine_of, fitted
    from experiments.cli.stored_rows import out_of, store_of
    from experiments.engine.at_hand import require_at_hand
    from experiments.engine.display import display_of
    from experiments.engine.graph import plan
    from experiments.engine.local import LocalEngine
    from experiments.engine.log import Logged, log_path
    from experiments.engine.memory import require_memory
    from experiments.store.maintenance.kept import keep
    from experiments.store.places import writable

    told, place, store, engine = remarks(), out_of([cell]), store_of([cell]), engine_of(cell, workers)
    graph = plan(wanted, store)
    engine = fitted(engine, graph, told)
    told.print(saying(graph, engine.width()), markup=False, highlight=False, soft_wrap=True)
    if isinstance(engine, LocalEngine):
        require_memory(graph, engine.width())
        require_at_hand(graph)
    writable("out", place)
    with display_of(graph, engine.width(), told) as shown, closing(Logged(shown, log_path(place, kept))) as display:
        outcome = engine.run(graph, store, display)
    keep(store, kept, [one.stage for one in wanted], command, run=kept)
    return outcome


def to_do(graph: StageGraph, width: int) -> str:
    """``12 stages to do, 3 stored results reused, about 2 min``."""
    from experiments.engine.display import duration

    stages, stored, time = count(len(graph.nodes), "stage"), len(graph.reused), duration(graph.seconds(width))
    return f"{stages} to do, {stored} stored results reused, about {time}"
