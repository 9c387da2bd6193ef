"""The timed pieces: teacher training, student training, harvest and scoring, each on the same model, weights and data in
both ways.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from attacks.budget import allocate
from benchmarks import baseline
from benchmarks.stopwatch import Time, Timing, timed
from experiments.stages.prompts import draw, prompts_of
from lm.examples import Examples
from lm.from_words import fresh_model, mini_language_model, word_examples
from lm.language_model import LanguageModel
from lm.mini.train import Member, train_mini
from lm.train import Recipe
from lm.types import Sampling
from student.cohort import Student, fit_cohort
from student.mini import MiniStudent
from student.objectives.sft import SFT
from tasks.base import Item
from tasks.mini import MiniTask, Wording
from teacher.mini import Curriculum, MiniTeacher

ADAMW_LR = 1e-2
"""Of the baseline; measured best for AdamW on the mini student (``--lr`` tries others)."""


CLOSE = 0.02
"""Accuracies that differ by less count as equal."""

CODING = Curriculum(chain=0, code=(32, 32, 32), facts=(0, 0, 0), tool=(0, 0, 0))


@dataclass(frozen=True)
class Size:
    """How much is timed.

    Args:
        teacher_steps, base_steps, student_steps: of training.
        queries: prompts harvested and learnt from.
        heldout: items per family that students are scored on.
        batches: the baseline's training batch sizes that are tried.
        generate_batches: the baseline's generation batch sizes that are tried.
        lr: the baseline's learning rate for students.
        teacher_lr: the baseline's learning rate for the teacher, which AdamW has to train from scratch.
        rounds: how many times our rows the baseline's teacher may see, until it is about as accurate (`CLOSE`).
        coding_only: leave out the families that take minutes to learn; both ways then end with a student that can do
            something in seconds.
        max_tokens: per response.
    """

    teacher_steps: int = 560
    base_steps: int = 300
    student_steps: int = 250
    queries: int = 2128
    heldout: int = 200
    batches: tuple[int, ...] = (40, 80, 160)
    generate_batches: tuple[int, ...] = (64, 256, 1024)
    lr: float = ADAMW_LR
    teacher_lr: float = 3e-3
    rounds: tuple[int, ...] = (1, 2, 4)
    coding_only: bool = False
    max_tokens: int = 64


TINY_SIZE = Size(
    teacher_steps=2,
    base_steps=2,
    student_steps=2,
    queries=12,
    heldout=4,
    batches=(8,),
    generate_batches=(8,),
    rounds=(1,),
    coding_only=True,
    max_tokens=8,
)
"""Enough to run everything and to learn nothing."""


@dataclass(frozen=True)
class Bench:
    """What all pieces share: the task, the recipes cut to size, the items."""

    task: MiniTask
    size: Size
    seed: int = 0

    @property
    def teacher(self) -> MiniTeacher:
        """The recipe of ``configs/teacher/mini.yaml`` with this many steps."""
        spec = MiniTeacher(wording=Wording(restate=0.15))
        curriculum = CODING if self.size.coding_only else spec.curriculum
        recipe = replace(spec.recipe, steps=self.size.teacher_steps, other_lr=0.008)
        return replace(spec, curriculum=curriculum, recipe=recipe)

    @property
    def student(self) -> MiniStudent:
        """The recipe of ``configs/student/mini.yaml`` with this many steps."""
        spec = MiniStudent()
        return replace(
            spec,
            base_rows=(0, 32, 0, 0) if self.size.coding_only else spec.base_rows,
            base_recipe=replace(spec.base_recipe, steps=self.size.base_steps),
            recipe=replace(spec.recipe, steps=self.size.student_steps),
        )

    @property
    def mix(self) -> dict[str, float]:
        """Shares of the families that are taught."""
        return {"code": 1.0} if self.size.coding_only else self.task.mix

    def items(self, split: Literal["train", "heldout"], total: int) -> list[Item]:
        """``total`` items in the mix, or ``total`` held-out ones of each family."""
        if split == "heldout":
            return draw(self.task, "heldout", dict.fromkeys(self.mix, total), self.seed)
        return draw(self.task, "train", allocate(total, self.mix), self.seed)


def quiet(done: int, total: int, note: str = "") -> None:
    """Progress that says nothing."""


def teacher_training(bench: Bench) -> tuple[Timing, LanguageModel]:
    """Both ways see the same rows in the same order; only ours weighs the states of a trace (a Trainer has no weights)."""
    spec, size = bench.teacher, bench.size
    fresh = mini_language_model(fresh_model(spec.width, spec.layers, spec.heads, bench.seed))
    pad = int(fresh.tokenizer.pad_token_id)
    lessons = list(lessons_of(bench, fresh, 1))
    ours, our_time = timed(lambda: _trained(fresh, lambda step: _examples(fresh, lessons[step], 3.0), spec.recipe, pad))
    total = sum(map(len, lessons))
    heldout = bench.items("heldout", size.heldout)
    goal = scored(bench, ours, heldout)
    found = []
    for rounds in size.rounds:
        longer = lessons if rounds == 1 else list(lessons_of(bench, fresh, rounds))
        rows = [baseline.row(fresh.tokenizer, prompt, response) for lesson in longer for prompt, response in lesson]
        for batch in size.batches:
            model, time = timed(
                partial(
                    baseline.fit,
                    fresh.model,
                    fresh.tokenizer,
                    baseline.Stream(rows),
                    max(1, len(rows) // batch),
                    batch,
                    size.teacher_lr,
                )
            )
            found.append(Tried(scored(bench, fresh.with_model(model), heldout), time, batch, rounds))
        if max(one.accuracy for one in found) >= goal - CLOSE:
            break
    amount = f"{size.teacher_steps} steps, {total:,} rows"
    return _best("teacher training", amount, our_time, goal, found), ours


def _trained(fresh: LanguageModel, batches: Callable[[int], Examples], recipe: Recipe, pad: int) -> LanguageModel:
    model = copy.deepcopy(fresh.model)
    train_mini([Member(model, batches, SFT().losses, recipe)], pad, quiet)
    return fresh.with_model(model)


def base_model(bench: Bench) -> LanguageModel:
    """The student before any query; the same start for both ways, not timed here."""
    spec = bench.student
    return spec.load(bench.task, spec.train(bench.task, bench.seed, quiet), bench.seed)


def harvest(bench: Bench, lm: LanguageModel) -> tuple[Timing, list[str]]:
    """Sampling one response to every prompt of the pool, tool results inserted."""
    size, items = bench.size, bench.items("train", bench.size.queries)

    def sampled() -> list[str]:
        prompts = prompts_of(bench.task, items, lm)
        seeds = np.arange(len(items), dtype=np.int64)
        return lm.decode(lm.generate(prompts.tokens, Sampling(1.0, size.max_tokens), seeds, tools=prompts.tools).tokens)

    ours, our_time = timed(sampled)
    found = []
    for batch in size.generate_batches:
        theirs, time = timed(
            partial(baseline.generate, lm.model, lm.tokenizer, bench.task, items, size.max_tokens, batch, 1.0)
        )
        found.append(Tried(baseline.accuracy(bench.task, items, theirs), time, batch))
    accuracy = baseline.accuracy(bench.task, items, ours)
    return _fastest("harvest", f"{len(items):,} responses", our_time, accuracy, found), ours


def student_training(bench: Bench, base: LanguageModel, responses: Sequence[str]) -> tuple[Timing, LanguageModel]:
    """The same rows seen equally often; both students are scored by the same greedy decoding."""
    size, items = bench.size, bench.items("train", bench.size.queries)
    pairs = [(item.prompt, response) for item, response in zip(items, responses, strict=True)]
    recipe = bench.student.recipe
    student = Student(base, _examples(base, pairs, 1.0), SFT(), recipe, bench.seed)
    ours, our_time = timed(lambda: fit_cohort([student], quiet)[0].lm)
    heldout = bench.items("heldout", size.heldout)
    rows = [baseline.row(base.tokenizer, prompt, response) for prompt, response in pairs]
    found = []
    for batch in size.batches:
        steps = max(1, size.student_steps * recipe.batch_size // batch)
        model, time = timed(partial(baseline.fit, base.model, base.tokenizer, rows, steps, batch, size.lr))
        found.append(Tried(scored(bench, base.with_model(model), heldout), time, batch))
    comparison = _best(
        "student training",
        f"{size.student_steps * recipe.batch_size:,} rows",
        our_time,
        scored(bench, ours, heldout),
        found,
    )
    return comparison, ours


def scoring(bench: Bench, lm: LanguageModel) -> Timing:
    """Greedy answers of one model to the held-out items, judged."""
    size, items = bench.size, bench.items("heldout", bench.size.heldout)
    ours, our_time = timed(lambda: scored(bench, lm, items))

    def plain(batch: int) -> float:
        said = baseline.generate(lm.model, lm.tokenizer, bench.task, items, size.max_tokens, batch, 0.0)
        return baseline.accuracy(bench.task, items, said)

    found = []
    for batch in size.generate_batches:
        accuracy, time = timed(partial(plain, batch))
        found.append(Tried(accuracy, time, batch))
    return _fastest("scoring (student, greedy)", f"{len(items):,} items", our_time, ours, found)


def scored(bench: Bench, lm: LanguageModel, items: Sequence[Item]) -> float:
    """Greedy accuracy, mean over families."""
    prompts = prompts_of(bench.task, items, lm)
    sampling = Sampling(0.0, bench.size.max_tokens)
    drawn = lm.generate(prompts.tokens, sampling, np.zeros(len(items), np.int64), tools=prompts.tools)
    return baseline.accuracy(bench.task, items, lm.decode(drawn.tokens))


def lessons_of(bench: Bench, lm: LanguageModel, rounds: int) -> Iterator[list[tuple[str, str]]]:
    """(prompt, response) rows of one step after the other, families mixed, as the teacher's curriculum draws them; with
    ``rounds`` above 1 that many times as many steps, each phase of the curriculum as much longer."""
    spec, rng = bench.teacher, np.random.default_rng([bench.seed, 0x7EAC])
    steps = spec.recipe.steps * rounds
    for step in range(steps):
        rows = spec._lesson(bench.task, lm, step / steps, rng)
        prompts, responses = lm.decode(rows.prompts), lm.decode(rows.completions)
        yield [(prompts[i], responses[i]) for i in rng.permutation(len(rows))]


def _examples(lm: LanguageModel, pairs: Sequence[tuple[str, str]], state_weight: float) -> Examples:
    return word_examples(lm, [p for p, _ in pairs], [r for _, r in pairs], state_weight)


class Tried(NamedTuple):
    """One setting of the baseline and how it went."""

    accuracy: float
    time: Time
    batch: int
    rounds: int = 1


def _best(piece: str, amount: str, ours: Time, accuracy: float, found: list[Tried]) -> Timing:
    """Against the fastest setting of the baseline that is about as accurate as ours, else the most accurate one."""
    close = [one for one in found if one.accuracy >= accuracy - CLOSE]
    best = min(close, key=lambda one: one.time.cpu) if close else max(found, key=lambda one: one.accuracy)
    return _comparison(piece, amount, ours, accuracy, best, found, "held-out items, greedy")


def _fastest(piece: str, amount: str, ours: Time, accuracy: float, found: list[Tried]) -> Timing:
    best = min(found, key=lambda one: one.time.cpu)
    return _comparison(piece, amount, ours, accuracy, best, found, "responses")


def _comparison(
    piece: str, amount: str, ours: Time, accuracy: float, best: Tried, found: list[Tried], quality: str
) -> Timing:
    tried = tuple({**one._asdict(), "time": asdict(one.time)} for one in found)
    note = f"batch size {best.batch}" + (f", {best.rounds} times as many rows" if best.rounds > 1 else "")
    return Timing(piece, amount, ours, best.time, quality, accuracy, best.accuracy, note, tried)
