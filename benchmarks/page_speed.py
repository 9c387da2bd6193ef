"""Times ``moatbench report`` on rows of random answers, as large as those of the default measure: reading, estimating, page.

The rows are put into a store first, which is not timed. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from benchmarks.stopwatch import timed
from experiments.report.page.write_page import render
from experiments.report.write import contents
from experiments.stages.row import RowStage, newest
from experiments.stages.sample_texts import SCHEMA
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from experiments.store.store import Store

FAMILIES = ("chain", "code", "facts", "tool")
MODELS = {"student": 0.6, "undefended": 0.8, "self": 0.1, "base": 0.1, "teacher": 0.97}
HELDOUT, SEEDS, STRENGTHS, TEXTS = 200, 5, (0.1, 0.2), 8
ATTACKS = ("imitate", "clean", "prefix", "resample", "rl")
TINY = ("--cells", "8", "--heldout", "6")
"""Arguments with which the tests see that it runs; the figures mean nothing."""


@dataclass(frozen=True)
class RandomRow(Stage):
    """Stands for a row: what is stored of it is given, not computed."""

    name: ClassVar[str] = RowStage.name
    version: ClassVar[int] = RowStage.version

    number: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"number": self.number}

    def inputs(self) -> dict[str, Stage]:
        """None."""
        return {}

    def run(self, context: Context) -> Artifact:
        """Not run."""
        raise NotImplementedError


def cells(count: int) -> Iterator[dict[str, Any]]:
    """So many cells: defenses at two strengths each, five attacks, five seeds."""
    defenses = -(-count // (SEEDS * len(ATTACKS) * len(STRENGTHS)))
    grid = product(range(defenses), STRENGTHS, ATTACKS, range(SEEDS))
    for _, (number, strength, attack, seed) in zip(range(count), grid, strict=False):
        name = f"defense{number}"
        yield {
            "task": "mini",
            "teacher": "mini",
            "student": "mini",
            "api": "trace",
            "defense": f"{name}(lam={strength:g})",
            "defense_name": [name],
            "strength": strength,
            "attack": attack,
            "adaptive": attack not in ("imitate", "clean"),
            "objective": "sft",
            "queries": 2128,
            "data": 2128,
            "accounts": 1,
            "hours": 24.0,
            "seed": seed,
            "asked": 2128,
            "accepted": 2128,
            "dollars": 1.5,
            "distinct_prompts": 2128,
        }


def artifact(cell: Mapping[str, Any], heldout: int) -> Artifact:
    """A row of random answers: each model answers each item right with its own probability."""
    rng = np.random.default_rng([cell["seed"], *f"{cell['defense']}{cell['attack']}".encode()])
    family = np.repeat(FAMILIES, heldout)
    names = [f"{name}-{cell['seed']}-{i}" for i, name in enumerate(family)]
    tables = []
    for (model, level), decoding in product(MODELS.items(), ("greedy", "sampled")):
        right = rng.random(len(names)) < level * (1 - 0.5 * (model == "student") * float(cell["strength"]))
        more = {"level": 4, "split": "heldout", "finished": True, "formed": True, "tokens": 20}
        frame = pl.DataFrame({"item": names, "family": family, "strict": right, "lenient": right})
        lits = {key: pl.lit(value) for key, value in {**more, "decoding": decoding, "model": model}.items()}
        tables.append(frame.with_columns(step_correct=pl.lit(None, pl.Float64), **lits))
    users = []
    for defended in (True, False):
        right = rng.random(len(names)) < 0.97 - 0.2 * defended * float(cell["strength"])
        frame = pl.DataFrame({"item": names, "family": family, "strict": right, "lenient": right})
        more = {"level": 4, "account": "a", "status": 200, "finished": True, "waited": 0.0, "trace_kept": 1.0}
        more |= {"trace_audited": True, "input_tokens": 10, "output_tokens": 20, "dollars": 1e-4, "defended": defended}
        lits = {key: pl.lit(value) for key, value in more.items()}
        users.append(frame.with_columns(confidence=pl.lit(None, pl.Float64), **lits))
    load = pl.DataFrame(schema={"group": pl.String, "requests": pl.Int64, "accounts": pl.Int64})
    return Artifact(
        tables={"items": pl.concat(tables), "honest": pl.concat(users), "load": load, "transcripts": texts(rng)},
        meta={
            "cell": dict(cell),
            "config": {k: v for k, v in cell.items() if k not in ("asked", "accepted", "dollars")},
        },
    )


def texts(rng: np.random.Generator) -> pl.DataFrame:
    """Working of some forty words to eight items of each family, changed in places by the defense."""
    lines = []
    for kind, family, i in product(("harvest", "heldout"), FAMILIES, range(TEXTS)):
        words = [f"add {n}" for n in rng.integers(0, 99, 20)]
        roles = ("student", "undefended") if kind == "harvest" else ("student", "undefended", "teacher")
        for role in roles:
            own = [word if rng.random() < 0.8 else "…" for word in words] if role == "student" else words
            told = {"trace": " ; ".join(own), "answer": "answer 7", "strict": True, "lenient": True, "finished": True}
            named = {
                "kind": kind,
                "role": role,
                "item": f"{family}{i}",
                "family": family,
                "prompt": f"{family} item {i}",
            }
            lines.append({**named, **told, "reference": "7", "cut": False, "refused": False})
    return pl.DataFrame(lines, schema={**SCHEMA, "kind": pl.String, "role": pl.String})


def main(arguments: Sequence[str]) -> None:
    """Print seconds and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--heldout", type=int, default=HELDOUT, help="items of each family")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        for number, cell in enumerate(cells(asked.cells)):
            store.put(RandomRow(number), artifact(cell, asked.heldout))
        results, reading = timed(lambda: list(newest(Store(store.root))))
        held, estimating = timed(lambda: contents(results))
        page, writing = timed(lambda: render(held, results, "benchmark"))
    times = (reading, estimating, writing)
    print(f"{len(results)} cells, {len(held.summaries)} configurations, a page of {len(page.encode()) / 1e6:.1f} MB")
    for what, time in zip(("reading rows", "estimating", "the page"), times, strict=True):
        print(f"{what:14} {time.wall:6.1f} s   {time.cpu:6.1f} s of CPU")
    print(f"{'all':14} {sum(t.wall for t in times):6.1f} s   {sum(t.cpu for t in times):6.1f} s of CPU")


if __name__ == "__main__":
    main(sys.argv[1:])
