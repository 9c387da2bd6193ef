"""Times the planning of sweeps of 10 to 10,000 cells, piece by piece, and what a stage costs that does nothing.

The baseline is plain ``hydra.compose`` for each cell, timed on a sample: what a sweep over Hydra configurations pays before
it can look at the first one. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_module

from benchmarks.stopwatch import timed
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_sweep
from experiments.compose.interning import Interning
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.artifact import Artifact
from experiments.store.store import Store

GRIDS = {
    10: (5, "imitate,clean", 1),
    100: (10, "imitate,clean", 5),
    1_000: (50, "imitate,clean", 10),
    10_000: (100, "imitate,clean,prefix,filter", 25),
}
"""Strengths, attacks and seeds of a grid, by its number of cells."""

SAMPLE = 10
"""Cells that the baseline composes."""

TINY = ("--cells", "10", "--workers", "0")
"""Arguments with which the tests see that it runs; the figures mean nothing."""
EXAMPLES = """\
examples:
  python -m benchmarks.planner                       all sizes, in a few minutes on two cores
  python -m benchmarks.planner --cells 10,100        small ones only
"""


class Planned(NamedTuple):
    """Milliseconds per cell of each piece of planning, and of plain Hydra."""

    cells: int
    stages: int
    composing: float
    building: float
    graph: float
    stored: float
    hydra: float

    def row(self) -> list[str]:
        """As printed; what a sweep of new cells pays is compared with the baseline."""
        whole = self.composing + self.building + self.graph
        times = (self.composing, self.building, self.graph, whole, self.stored, self.hydra)
        return [f"{self.cells:,}", f"{self.stages:,}", *(f"{t:.2f}" for t in times), f"{whole / self.hydra:.3f}"]


def grid(cells: int) -> list[str]:
    """A sweep over a defense's strength, attacks and seeds."""
    strengths, attacks, seeds = GRIDS[cells]
    taus = ",".join(f"{1 + i / 100:g}" for i in range(1, strengths + 1))
    return ["defense=temperature", f"defense.temperature.tau={taus}", f"attack={attacks}", f"seed=range(0,{seeds})"]


def planned(cells: int, folder: Path) -> Planned:
    """Plan a grid with an empty store, and again with every row stored."""
    sweep, composing = timed(lambda: compose_sweep(grid(cells)))
    assert len(sweep.cells) == cells
    interning = Interning()
    rows, building = timed(
        lambda: [Wanted(cell_from(cell.plain, interning).row_stage(), cell.label) for cell in sweep.cells]
    )
    graph, planning = timed(lambda: plan(rows, Store(folder / "store")))
    store = Store(folder / "store")
    for row in rows:
        store.put(row.stage, Artifact(meta={"label": row.label}))
    _, again = timed(lambda: plan(rows, Store(store.root)))
    sample = [list(cell.overrides) for cell in sweep.cells[:: max(cells // SAMPLE, 1)][:SAMPLE]]
    _, hydra = timed(lambda: _plain(sample))
    each = [1000 * time.wall / cells for time in (composing, building, planning, again)]
    return Planned(cells, len(graph.nodes), *each, 1000 * hydra.wall / len(sample))


def run(cells: int, workers: int, folder: Path) -> float:
    """Milliseconds per stage of a graph of stages that do nothing."""
    from benchmarks.cheap import cheap_rows

    store = Store(folder / "store")
    graph = plan(cheap_rows(cells), store)
    outcome, time = timed(lambda: LocalEngine(workers).run(graph, store, SilentDisplay()))
    assert not outcome.failures, outcome.failures[0].error
    return 1000 * time.wall / len(graph.nodes)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub-flavoured table of numbers."""
    lines = [head, ["--:"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str]) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", default=",".join(map(str, GRIDS)), help="sizes, of 10, 100, 1000 and 10000")
    parser.add_argument("--workers", type=int, default=2, help="that share the stages that do nothing")
    asked = parser.parse_args(arguments)
    sizes = [int(size) for size in asked.cells.split(",")]
    cell_from(compose_sweep([]).cells[0].plain).row_stage()  # imports what a cell names
    found, ran = [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(planned(size, Path(folder)).row())
    for size in [size for size in sizes if size <= 1000]:  # a stage costs the same at any size: see the table
        with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as pair:
            ran.append([f"{size:,}", f"{run(size, 0, Path(alone)):.1f}", f"{run(size, asked.workers, Path(pair)):.1f}"])
    print("milliseconds per cell\n")
    head = ("cells", "stages", "compose", "build", "graph", "all three", "graph, rows stored", "hydra.compose", "ratio")
    print(markdown(head, found))
    print("\nmilliseconds per stage that does nothing\n")
    print(markdown(("cells", "in this process", f"{asked.workers} workers"), ran))


def _plain(lines: Sequence[list[str]]) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        for line in lines:
            compose("cell", line)


if __name__ == "__main__":
    main(sys.argv[1:])
