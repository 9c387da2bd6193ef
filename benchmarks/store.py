"""Operations of the store per second, on small entries. Nothing here passes or fails.

Claims are compared with `filelock`, the usual lock on a file: the lock is taken and released on a file of its own for each
stage, as a store would use it. It knows no expiry and needs a file system whose locks work. Writing is mostly waiting for
the disk, so figures of one machine say little about another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from filelock import FileLock

from experiments.store.artifact import Artifact
from experiments.store.provenance import provenance
from experiments.store.stage import Context, Stage
from experiments.store.store import Store

SMALL = Artifact(
    {"weights": {"w": np.arange(64, dtype=np.float32)}}, {"row": pl.DataFrame({"x": [0.5], "name": ["a"]})}, {"n": 1}
)
TINY = ("--count", "3", "--rounds", "1")
"""Arguments with which the tests see that it runs; the figures mean nothing."""
EXAMPLES = """\
examples:
  python -m benchmarks.store                    in a temporary folder
  python -m benchmarks.store --in /mnt/shared   on the disk that is to hold the store
"""


@dataclass(frozen=True)
class Small(Stage):
    """A stage that costs nothing."""

    name: ClassVar[str] = "small"
    version: ClassVar[int] = 1

    number: int
    needs: dict[str, Stage] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"number": self.number}

    def inputs(self) -> dict[str, Stage]:
        """None."""
        return {}

    def run(self, context: Context) -> Artifact:
        """The same for all."""
        return SMALL


def measure(root: Path, count: int, rounds: int) -> list[tuple[str, float, float | None]]:
    """Operation, how many a second (median over rounds), and how many the baseline does where there is one."""
    found: dict[str, list[float]] = {}
    locked: list[float] = []

    def per_second(name: str, work: Callable[[Small], object], stages: Sequence[Small]) -> None:
        found.setdefault(name, []).append(_rate(work, stages))

    for turn in range(rounds):
        stages = [Small(turn * count + i) for i in range(count)]
        assert all(stage.key for stage in stages)
        store = Store(root / "store")
        per_second("put", lambda s, to=store: to.put(s, SMALL), stages)
        fresh = Store(root / "store")
        per_second("get, first time (checks every byte)", fresh.get, stages)
        per_second("get, again", fresh.get, stages)
        per_second("has", fresh.has, stages)
        per_second("memo, made", lambda s, to=store: to.memo("shared", s.config(), lambda: SMALL), stages)
        per_second("memo, found", lambda s, to=store: to.memo("shared", s.config(), lambda: SMALL), stages)
        per_second("claim and release", lambda s, to=fresh: _claimed(to, s), stages)
        locked.append(_rate(lambda s: _locked(root / "locks", s), stages))
    return [
        (name, statistics.median(rates), statistics.median(locked) if name.startswith("claim") else None)
        for name, rates in found.items()
    ]


def table(rows: Sequence[tuple[str, float, float | None]]) -> str:
    """Markdown; a ratio above 1 says that this store does more per second than the baseline."""
    lines = ["| operation | per second | filelock | ratio |", "|---|--:|--:|--:|"]
    for name, rate, other in rows:
        theirs, ratio = ("–", "–") if other is None else (f"{other:,.0f}", f"{rate / other:.2f}")
        lines.append(f"| {name} | {rate:,.0f} | {theirs} | {ratio} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.store",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=300, help="entries a round (300)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, whose median counts (5)")
    parser.add_argument("--in", dest="folder", help="where to make the temporary folder")
    asked = parser.parse_args(arguments)
    provenance()  # found once a process; not the store's time
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        print(table(measure(Path(folder), asked.count, asked.rounds)))


def _rate(work: Callable[[Small], object], stages: Sequence[Small]) -> float:
    start = time.perf_counter()
    for stage in stages:
        work(stage)
    return len(stages) / (time.perf_counter() - start)


def _claimed(store: Store, stage: Small) -> None:
    with store.claim(stage):
        pass


def _locked(folder: Path, stage: Small) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{stage.name}-{stage.key}", is_singleton=True):
        pass


if __name__ == "__main__":
    main()
