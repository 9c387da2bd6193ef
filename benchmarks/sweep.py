"""A sweep by this project, and the same grid cell by cell with transformers alone.

Both start from the same teacher and the same base student, which are not timed. The plain way harvests each cell anew with
``model.generate``, applies the defense in plain Python, fits the student with `Trainer` (AdamW), scores it greedily and
sampled on held-out and harder items with ``generate``, and serves the honest users' items the same way, each at its best
batch size, with all cores. This project also makes each row's controls (the undefended attack, the attacker without a
teacher, base and teacher), the ledger, statistics and rows, which the plain way leaves out; what fitting the controls cell
by cell would cost it is reckoned from its own times. What the ratio is made of stands below it. A ratio means something only
where both ways' students are about as good. Nothing here passes or fails.

    python -m benchmarks.sweep                  the mini world; about 8 minutes on 2 cores
    python -m benchmarks.sweep --steps 1000 --batch 40 --lr 0.005     another setting of the baseline
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
import transformers

from benchmarks import baseline
from benchmarks.pieces import TINY_SIZE, Bench, Size
from benchmarks.stopwatch import timed
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_sweep
from experiments.engine.base import run_stages
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan, shared
from experiments.engine.local import LocalEngine
from experiments.stages.loading import model_of
from experiments.stages.prompts import draw
from experiments.stages.row import RowStage, result_of
from experiments.store.store import Store
from lm.language_model import LanguageModel
from tasks.base import Item
from tasks.mini import MiniTask

GENERATE_BATCH = 256
"""Of ``generate``; the fastest of 256, 1024 and all at once."""

GRID = (
    "defense=none,trace_hidden attack=imitate,answers",
    "defense=query_quota defense.query_quota.queries=500,1000 attack=imitate,answers",
    "defense=temperature defense.temperature.tau=1.1,1.4 attack=imitate,answers",
)

TINY = ("--tiny", "--steps", "2", "--batch", "8")
"""Arguments with which the tests see that it runs; the figures mean nothing."""

ATTACKS: dict[str, Callable[[str], str]] = {"imitate": str, "answers": baseline.hidden}
"""What each attack of the grid learns of a response, in plain Python."""


@dataclass(frozen=True)
class PlainDefense:
    """A defense in plain Python: the temperature the teacher is sampled at, and what becomes of the responses."""

    temperature: float = 1.0
    release: Callable[[Sequence[str]], list[str]] = list


DEFENSES: dict[str, PlainDefense] = {
    "none": PlainDefense(),
    "trace_hidden(fraction=1)": PlainDefense(release=lambda responses: [baseline.hidden(r) for r in responses]),
    "query_quota(queries=500)": PlainDefense(release=lambda responses: list(responses[:500])),
    "query_quota(queries=1000)": PlainDefense(release=lambda responses: list(responses[:1000])),
    "temperature(tau=1.1)": PlainDefense(1.1),
    "temperature(tau=1.4)": PlainDefense(1.4),
}
"""The cells of `GRID`, by the label that a row gives its defense."""


@dataclass
class Spent:
    """Seconds by kind of work, and the students' accuracy by defense."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    accuracy: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0


@dataclass(frozen=True)
class Setting:
    """How the baseline trains a student."""

    steps: int
    batch: int
    lr: float


@dataclass(frozen=True)
class Scale:
    """How much is swept.

    Args:
        grid: overrides of each part of it.
        more: overrides of all cells.
        size: of the harvest, for the plain way.
        heldout, harder: items a family that students are scored on, for the plain way.
        alone: in this process and on one core, instead of on all.
    """

    grid: tuple[str, ...] = GRID
    more: tuple[str, ...] = ("seed=0",)
    size: Size = field(default_factory=Size)
    heldout: int = 200
    harder: int = 50
    alone: bool = False


TINY_SCALE = Scale(
    ("defense=none attack=imitate,answers",),
    (
        *("seed=0", "budget.queries=12", "budget.data=12", "++budget.mix={code: 1}", "max_tokens=8"),
        *("measure.heldout=4", "measure.harder=4", "measure.population.accounts=20"),
        *("teacher.recipe.steps=2", "student.recipe.steps=2", "student.base_recipe.steps=2"),
    ),
    TINY_SIZE,
    heldout=4,
    harder=4,
    alone=True,
)


def ours(rows: Sequence[RowStage], store: Store, engine: LocalEngine) -> Spent:
    """The sweep by the engine; teacher and base are stored already."""
    graph = plan([Wanted(row, str(row.cell["defense"])) for row in rows], store)
    spent = Spent()
    outcome, time = timed(lambda: engine.run(graph, store, SilentDisplay()))
    assert not outcome.failures, outcome.failures
    spent.wall = time.wall
    for node in graph.nodes.values():
        entry = store.get(node.stage)
        assert entry is not None
        spent.seconds[node.stage.name].append(entry.seconds)
    for row in rows:
        entry = store.get(row)
        assert entry is not None
        items = result_of(entry).scores["student"]
        asked = items.filter((pl.col("split") == "heldout") & (pl.col("decoding") == "greedy"))
        by_family = asked.group_by("family").agg(pl.col("strict").cast(pl.Float64).mean())
        spent.accuracy[f"{row.cell['defense']}, {row.cell['attack']}"] = float(by_family["strict"].mean() or 0.0)  # type: ignore[arg-type]
    return spent


def theirs(
    teacher: LanguageModel, base: LanguageModel, rows: Sequence[RowStage], scale: Scale, setting: Setting
) -> Spent:
    """Every cell for itself."""
    bench = Bench(MiniTask(), scale.size)
    task, spent = bench.task, Spent()
    ordered = bench.items("train", bench.size.queries)
    pool = [ordered[i] for i in np.random.default_rng(0).permutation(len(ordered))]
    heldout = draw(task, "heldout", dict.fromkeys(task.families, scale.heldout), 0)
    harder = draw(task, "harder", dict.fromkeys(task.families, scale.harder), 0)

    def answers(lm: LanguageModel, items: Sequence[Item], temperature: float) -> list[str]:
        most = bench.size.max_tokens
        return baseline.generate(lm.model, lm.tokenizer, task, items, most, GENERATE_BATCH, temperature)

    for row in rows:
        name, attack = str(row.cell["defense"]), str(row.cell["attack"])
        defense, learnt = DEFENSES[name], ATTACKS[attack]
        said, harvest = timed(partial(answers, teacher, pool, defense.temperature))
        pairs = zip(pool, defense.release(said), strict=False)
        data = [baseline.row(base.tokenizer, item.prompt, learnt(text)) for item, text in pairs]
        fit = partial(baseline.fit, base.model, base.tokenizer, data, setting.steps, setting.batch, setting.lr)
        model, training = timed(fit)
        student = base.with_model(model)
        greedy, first = timed(partial(answers, student, heldout, 0.0))
        rest = [timed(partial(answers, student, items, t))[1] for items, t in ((heldout, 1), (harder, 0), (harder, 1))]
        honest = timed(partial(answers, teacher, heldout, defense.temperature))[1]
        for kind, seconds in (
            ("harvest", harvest.wall),
            ("student", training.wall),
            ("scores", first.wall + sum(one.wall for one in rest)),
            ("honest", honest.wall),
        ):
            spent.seconds[kind].append(seconds)
        spent.accuracy[f"{name}, {attack}"] = baseline.accuracy(task, heldout, greedy)
    spent.wall = sum(sum(times) for times in spent.seconds.values())
    return spent


def report(us: Spent, them: Spent, rows: Sequence[RowStage]) -> str:
    """The ratio and what it is made of, as Markdown."""
    lines = ["| | transformers | this project | ratio |", "|---|--:|--:|--:|"]
    cells = len(rows)
    lines.append(f"| {cells} cells, wall time | {them.wall:.0f} s | {us.wall:.0f} s | **{them.wall / us.wall:.1f}** |")
    for kind, name in (
        ("harvest", "a harvest"),
        ("student", "a student"),
        ("scores", "scoring it"),
        ("honest", "honest use"),
    ):
        a, b = _mean(them.seconds[kind]), _mean(us.seconds[kind])
        lines.append(f"| {name} | {a:.1f} s | {b:.1f} s | {a / b:.1f} |")
    uses = shared([Wanted(row, "") for row in rows])
    with_controls = them.wall + (controls(rows) - cells) * sum(
        _mean(them.seconds[k]) for k in ("harvest", "student", "scores")
    )
    mean = {kind: _mean(times) for kind, times in us.seconds.items()}
    alone = sum(mean[kind] * use.uses for kind, use in uses.items() if kind in mean)
    once = sum(sum(times) for times in us.seconds.values())
    lines.append(f"| stages of every cell for itself | | {alone:.0f} s | |")
    lines.append(f"| shared: each once | | {once:.0f} s | {alone / once:.1f} |")
    lines.append(f"| workers at a time | | {us.wall:.0f} s | {once / us.wall:.1f} |")
    lines.append(
        f"| a row needs its controls too: {controls(rows)} students instead of {cells} | {with_controls:.0f} s | "
        f"{us.wall:.0f} s | {with_controls / us.wall:.1f} |"
    )
    lines += ["", "| student's held-out accuracy | transformers | this project |", "|---|--:|--:|"]
    lines += [f"| {name} | {them.accuracy[name]:.3f} | {us.accuracy[name]:.3f} |" for name in them.accuracy]
    lines.append(f"| mean | {_mean(list(them.accuracy.values())):.3f} | {_mean(list(us.accuracy.values())):.3f} |")
    return "\n".join(lines)


def controls(rows: Sequence[RowStage]) -> int:
    """Students that cell by cell have to be fitted for these rows: each cell's own, its undefended twin and the one without
    a teacher."""
    return sum(len({row.scores[role].key for role in ("student", "undefended", "self")}) for row in rows)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both ways and print the report."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=500, help="of the baseline's Trainer")
    parser.add_argument("--batch", type=int, default=80, help="rows of a step of the baseline")
    parser.add_argument("--lr", type=float, default=0.005, help="of the baseline's AdamW")
    parser.add_argument("--tiny", action="store_true", help="as the tests do: see that it runs")
    asked = parser.parse_args(arguments)
    scale = TINY_SCALE if asked.tiny else Scale()
    transformers.utils.logging.set_verbosity_error()
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    engine = LocalEngine(workers=0 if scale.alone else cores)
    engine.warm()  # imports are not timed, of neither way
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        cells = [cell for grid in scale.grid for cell in compose_sweep([*grid.split(), *scale.more]).cells]
        rows = [cell_from(cell.plain).row_stage() for cell in cells]
        models = []
        for name in ("teacher", "base"):
            stage = rows[0].scores[name].model
            run_stages([stage], store, lambda done, total, note="": None)
            entry = store.get(stage)
            assert entry is not None
            models.append(model_of(stage, entry))
        us = ours(rows, store, engine)
        torch.set_num_threads(1 if scale.alone else cores)
        them = theirs(*models, rows, scale, Setting(asked.steps, asked.batch, asked.lr))
    print(report(us, them, rows))
    print(
        f"\n{cores} cores, load before the run {load:.1f}; baseline: {asked.steps} steps of {asked.batch}, lr {asked.lr}"
    )


if __name__ == "__main__":
    main()
