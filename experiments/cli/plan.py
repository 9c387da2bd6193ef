"""How a plan is shown before anything runs: what the grid repeats, one line, and a table of stages by kind."""

from __future__ import annotations

from rich.table import Table

from experiments.cli.consoles import count
from experiments.compose.compose import Sweep
from experiments.engine.display import duration
from experiments.engine.graph import StageGraph, shared
from experiments.engine.memory import gigabytes, needed

NAMED = 5
"""Most repeated cells that a remark names."""


def repetitions(sweep: Sweep) -> list[str]:
    """Remarks on cells that the grids of a sweep name more than once."""
    remarks = []
    if sweep.repeated:
        listed = [f"{label} ({times} times)" for label, times in sweep.repeated.items()]
        more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        dropped = sum(sweep.repeated.values()) - len(listed)
        remarks.append(f"{count(dropped, 'duplicate')} dropped; a grid repeats {', '.join(listed[:NAMED])}{more}")
    if sweep.overlapping:
        remarks.append(f"{count(sweep.overlapping, 'cell')} in more than one grid of the experiment, run once each")
    return remarks


def summary(cells: int, graph: StageGraph, workers: int) -> str:
    """The plan in one line."""
    to_do, stored = len(graph.nodes), len(graph.reused)
    saved = sum(kind.uses - len(kind.keys) for kind in shared(graph.wanted).values())
    said = [f"{count(to_do, 'stage')} to do", f"{stored} stored results reused", f"{saved} saved by sharing"]
    if to_do:
        memory = gigabytes(sum(needed(graph, workers)[:2]))
        said.append(f"about {duration(graph.seconds(workers))} and {memory} with {workers} at a time")
    return f"{count(cells, 'cell')}: {', '.join(said)}"


def plan_table(graph: StageGraph) -> Table:
    """Stages by kind: how often cells use one, how many different ones that are, and what is left to do of them."""
    to_do: dict[str, tuple[int, float]] = {}
    for node in graph.nodes.values():
        number, seconds = to_do.get(node.stage.name, (0, 0.0))
        to_do[node.stage.name] = (number + 1, seconds + node.seconds)
    table = Table("stage", title="plan", show_footer=True)
    rows = []
    for kind, use in shared(graph.wanted).items():
        number, seconds = to_do.get(kind, (0, 0.0))
        rows.append((kind, use.uses, len(use.keys), len(graph.reused & use.keys), number, seconds))
    table.columns[0].footer = "all"
    for at, heading in enumerate(("uses", "different", "stored", "to do"), start=1):
        table.add_column(heading, footer=str(sum(int(row[at]) for row in rows)), justify="right")
    table.add_column("one core needs about", footer=duration(sum(row[5] for row in rows)), justify="right")
    for kind, *numbers, seconds in rows:
        table.add_row(kind, *map(str, numbers), duration(seconds))
    return table
