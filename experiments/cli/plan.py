"""How a plan is shown before anything runs: one line, and a table of stages by kind."""

from __future__ import annotations

from rich.table import Table

from experiments.cli.consoles import count
from experiments.engine.display import duration
from experiments.engine.graph import Graph


def summary(cells: int, graph: Graph, workers: int) -> str:
    """The plan in one line."""
    to_do, stored = len(graph.nodes), len(graph.reused)
    time = f", about {duration(graph.seconds(workers))} with {workers} at a time" if to_do else ""
    return f"{count(cells, 'cell')}: {count(to_do, 'stage')} to do, {stored} stored results reused{time}"


def plan_table(graph: Graph) -> Table:
    """Stages to do by kind."""
    kinds: dict[str, tuple[int, float]] = {}
    for node in graph.nodes.values():
        done, seconds = kinds.get(node.stage.name, (0, 0.0))
        kinds[node.stage.name] = (done + 1, seconds + node.seconds)
    table = Table("stage", "to do", "one core needs about", title="plan")
    for kind, (number, seconds) in kinds.items():
        table.add_row(kind, str(number), duration(seconds))
    return table
