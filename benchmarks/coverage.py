"""How often the intervals of a table hold the truth, how wide they are, and how often its verdicts see what is not there.

Tables are simulated with a known truth and put through the estimators that every report uses (`experiments.measure`). Each
seed has its own items, answered by all models: an item's difficulty is shared by half of the answers, so models are right
together. A seed moves the accuracy of each cell by a normal amount of the stated standard deviation; a share of its variance
(`COMMON`) is the same in all cells, as one teacher lifts all students. Near 0 and 1, and in columns that mix them with
others, seeds move the logit instead, scaled to that deviation at an accuracy of .9. The cases below the rule differ in
accuracy, cells, items and the form of what seeds do; no setting of the estimators was chosen by them.

Coverage is the average over the cells of a table and over the simulated tables, with its standard error by tables; the width
is that of the whole interval.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.matched import at_drop, curve
from experiments.measure.quantity import GROUPS, Quantity, difference, linear, means
from experiments.measure.transfer import relative_transfer, transfer
from experiments.measure.verdict import verdicts

Array = NDArray[np.float64]

EXAMPLES = """\
examples:
  python -m benchmarks.coverage                     all of it, some minutes on one core
  python -m benchmarks.coverage --replicates 20     a first look
  python -m benchmarks.coverage --seeds 2 --sd .05  the hardest row
"""
TINY = ("--replicates", "2", "--seeds", "2", "--sd", "0.05")
SEEDS, DEVIATIONS = (2, 3, 5, 10), (0.0, 0.02, 0.05)
COMMON = 0.3
CELLS, ITEMS, HONEST = 20, 300, 600
NULL_CELLS, FAMILIES = 17, 4
"""17 defended cells of 4 families: the 68 tests of a published table."""
AT_NINE = 0.09
"""Slope of the logistic function at .9: what turns a deviation of the accuracy there into one of the logit."""


class Circumstances(NamedTuple):
    """One table's circumstances.

    Args:
        seeds: K.
        sd: of the accuracy, between seeds.
        rng: of this table.
    """

    seeds: int
    sd: float
    rng: np.random.Generator

    def luck(self, cells: int, common: float = COMMON, unequal: float = 0.0) -> Array:
        """(K, C) standard normal deviations, partly common; their variances gamma with mean 1 and this coefficient of
        variation."""
        shared, own = self.rng.normal(size=(self.seeds, 1)), self.rng.normal(size=(self.seeds, cells))
        scale = np.sqrt(self.rng.gamma(unequal**-2, unequal**2, cells)) if unequal else 1.0
        return np.asarray(scale * (np.sqrt(common) * shared + np.sqrt(1 - common) * own), np.float64)

    def measured(self, accuracy_KC: Array, items: int = ITEMS, alike: float = 0.5) -> list[Quantity]:
        """The accuracy of every column, on items of each seed's own; a share ``alike`` of the answers depends on the item's
        difficulty alone."""
        values = []
        for accuracy in accuracy_KC:
            difficulty = self.rng.random((items, 1))
            alone = self.rng.random((items, accuracy.size))
            draw = np.where(self.rng.random(alone.shape) < alike, difficulty, alone)
            values.append((draw < accuracy).astype(np.float64))
        groups = [np.arange(items) % GROUPS] * self.seeds
        return means(range(self.seeds), values, groups, [True] * accuracy_KC.shape[1])


class Pairs(NamedTuple):
    """Estimates and what they should hold, pairwise."""

    found: Sequence[Estimate]
    truth: Sequence[float]


def level(
    mean: float, unequal: float = 0.0, cells: int = CELLS, items: int = ITEMS
) -> Callable[[Circumstances], Pairs]:
    """A column of one accuracy, moved by its seeds on the scale of accuracies."""

    def made(world: Circumstances) -> Pairs:
        accuracy = np.clip(mean + world.sd * world.luck(cells, unequal=unequal), 0, 1)
        return Pairs(estimates(world.measured(accuracy, items)), [mean] * cells)

    return made


def skewed(world: Circumstances) -> Pairs:
    """Seeds that are mostly a little better than the mean and now and then much worse, as trainings that fail."""
    mean = 0.8
    luck = world.rng.exponential(size=(world.seeds, CELLS))
    return Pairs(estimates(world.measured(np.clip(mean + world.sd * (1 - luck), 0, 1))), [mean] * CELLS)


def alike(world: Circumstances) -> Pairs:
    """A column whose cells mostly rise and fall together."""
    mean = 0.7
    accuracy = np.clip(mean + world.sd * world.luck(CELLS, common=0.8), 0, 1)
    return Pairs(estimates(world.measured(accuracy)), [mean] * CELLS)


def logits(means_C: Sequence[float]) -> Callable[[Circumstances], Pairs]:
    """A column of these accuracies in turn, moved by its seeds on the scale of logits."""
    centre = np.resize(np.asarray(means_C, np.float64), CELLS)

    def made(world: Circumstances) -> Pairs:
        return Pairs(estimates(world.measured(_moved(centre, world))), _expected(centre, world.sd).tolist())

    return made


def _moved(centre: Array, world: Circumstances) -> Array:
    logit = np.log(centre / (1 - centre)) + world.sd / AT_NINE * world.luck(centre.size)
    return np.asarray(1 / (1 + np.exp(-logit)), np.float64)


def _expected(centre: Array, sd: float) -> Array:
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    logit = np.log(centre / (1 - centre)) + sd / AT_NINE * nodes[:, None]
    return np.asarray(weights @ (1 / (1 + np.exp(-logit))) / weights.sum(), np.float64)


def ratio(student: float, base: float, teacher: float) -> Callable[[Circumstances], Pairs]:
    """Transfers of different students of one teacher and base."""

    def made(world: Circumstances) -> Pairs:
        centre = np.array([base, teacher, *[student] * CELLS])
        spread = world.sd * np.array([0.3, 0.3, *[1.0] * CELLS])
        first, last, *students = world.measured(np.clip(centre + spread * world.luck(centre.size), 0, 1))
        found = estimates([transfer(s, first, last) for s in students])
        return Pairs(found, [(student - base) / (teacher - base)] * CELLS)

    return made


def relative(world: Circumstances) -> Pairs:
    """What a defense leaves of a gain that is itself small and noisy (an undefended student at .4 from a base of .1)."""
    base, whole, left = 0.1, 0.4, 0.25
    accuracy = np.array([base, whole, *[left] * CELLS]) + world.sd * world.luck(CELLS + 2)
    first, twin, *students = world.measured(np.clip(accuracy, 0, 1))
    found = estimates([relative_transfer(s, first, twin) for s in students])
    return Pairs(found, [(left - base) / (whole - base)] * CELLS)


def loss(world: Circumstances, families: int = 1, effect: float = 0.1) -> Pairs:
    """Losses of students against their undefended twins: same teacher and items, another training."""
    found = []
    for _ in range(families):
        centre = np.repeat([0.9, 0.9 - effect], NULL_CELLS)
        accuracy = np.clip(centre + world.sd * world.luck(centre.size, 0.5), 0, 1)
        every = world.measured(accuracy)
        found += estimates([difference(a, b) for a, b in zip(every[:NULL_CELLS], every[NULL_CELLS:], strict=True)])
    return Pairs(found, [effect] * len(found))


DROPS, STUDENTS = (0.0, 0.01, 0.03, 0.06), ((0.9, 0.8, 0.6, 0.45), (0.9, 0.88, 0.84, 0.8))
TARGETS = (0.02, 0.05)


def _read(world: Circumstances) -> tuple[list[Quantity], list[float], list[Quantity]]:
    """Students of both defenses at matched drops, the truth, and what else the column holds."""
    found, truth, beside = [], [], []
    for students in STUDENTS:
        points = len(DROPS)
        accuracy = np.clip(np.array(students) + world.sd * world.luck(points), 0, 1)
        student = world.measured(accuracy)
        teacher = 0.97 - np.array(DROPS) + 0.2 * world.sd * world.luck(points, common=0.8)
        honest = world.measured(np.clip(teacher, 0, 1), HONEST, alike=0.9)
        drops = [difference(honest[0], h) for h in honest[1:]]
        line = curve(student[0], list(zip(drops, student[1:], strict=True)))
        found += [at_drop(line, target).value for target in TARGETS]
        truth += [float(np.interp(target, DROPS, students)) for target in TARGETS]
        beside += student
    return found, truth, beside


def matched(world: Circumstances) -> Pairs:
    """Students at a matched drop of honest accuracy, interpolated over three strengths."""
    found, truth, beside = _read(world)
    return Pairs(estimates(found, beside), truth)


def matched_difference(world: Circumstances) -> Pairs:
    """Differences of two defenses at a matched drop."""
    found, truth, beside = _read(world)
    pairs = [(i, i + len(TARGETS)) for i in range(len(TARGETS))]
    every = [difference(found[a], found[b]) for a, b in pairs]
    more = [difference(beside[0], q) for q in beside[1 : len(DROPS)]]
    more += [linear([(1.0, beside[len(DROPS)]), (-1.0, q)]) for q in beside[len(DROPS) + 1 :]]
    return Pairs(estimates(every, more), [truth[a] - truth[b] for a, b in pairs])


CASES: dict[str, Callable[[Circumstances], Pairs]] = {
    "accuracy .9": level(0.9),
    "accuracy .5": level(0.5),
    "accuracy .97 to .998": logits(np.linspace(0.97, 0.998, CELLS).tolist()),
    "mixed .1 .5 .9 .99": logits((0.1, 0.5, 0.9, 0.99)),
    "unequal variances": level(0.8, unequal=1.0),
    "paired loss": loss,
    "transfer": ratio(0.75, 0.05, 0.97),
    "relative, small gain": relative,
    "matched drop": matched,
    "matched difference": matched_difference,
}

UNSEEN: dict[str, Callable[[Circumstances], Pairs]] = {
    "accuracy .7": level(0.7),
    "accuracy .3, 100 items": level(0.3, items=100),
    "accuracy .8, 5 cells": level(0.8, cells=5),
    "accuracy .9 to .96": logits(np.linspace(0.9, 0.96, CELLS).tolist()),
    "failing seeds": skewed,
    "cells alike": alike,
    "transfer, weak student": ratio(0.3, 0.1, 0.9),
}
"""Cases that no setting was chosen by."""


class Line(NamedTuple):
    """One line of the output: means over tables with the standard error of the first."""

    coverage: float
    error: float
    width: float
    blank: float


def covered(case: Callable[[Circumstances], Pairs], seeds: int, sd: float, replicates: int, entropy: int = 0) -> Line:
    """Simulate one case."""
    inside, widths, blanks = [], [], []
    for world in _worlds(seeds, sd, replicates, entropy):
        found, truth = case(world)
        pairs = [(e.low, e.high, t) for e, t in zip(found, truth, strict=True) if e.low is not None]
        blanks.append(1 - len(pairs) / len(truth))
        if pairs:
            inside.append(np.mean([low <= t <= high for low, high, t in pairs if high is not None]))
            widths.append(np.mean([high - low for low, high, _ in pairs if high is not None]))
    if not inside:
        return Line(np.nan, np.nan, np.nan, 1.0)
    error = float(np.std(inside) / np.sqrt(len(inside)))
    return Line(float(np.mean(inside)), error, float(np.mean(widths)), float(np.mean(blanks)))


class Alarms(NamedTuple):
    """Under no effect: share of single tests with p at most .05, and of tables with any loss or gain after correction."""

    single: float
    family: float
    error: float


def false_positives(seeds: int, sd: float, replicates: int, entropy: int = 0) -> Alarms:
    """Simulate tables of 68 tests without any effect."""
    single, family = [], []
    for world in _worlds(seeds, sd, replicates, entropy):
        found, _ = loss(world, FAMILIES, 0.0)
        single.append(np.mean([e.p is not None and e.p <= 0.05 for e in found]))
        family.append(any(v.reading in ("lost", "gained") for v in verdicts(found)))
    rate = float(np.mean(family))
    return Alarms(float(np.mean(single)), rate, float(np.sqrt(max(rate * (1 - rate), 1e-9) / len(family))))


def _worlds(seeds: int, sd: float, replicates: int, entropy: int) -> Iterator[Circumstances]:
    for replicate in range(replicates):
        yield Circumstances(seeds, sd, np.random.default_rng([entropy, seeds, round(1000 * sd), replicate]))


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--replicates", type=int, default=300, help="simulated tables per line")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="numbers of seeds")
    parser.add_argument("--sd", type=float, nargs="+", default=DEVIATIONS, help="deviations of accuracy between seeds")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    given = parser.parse_args(argv)
    for name, least, values in (("seeds", 2, given.seeds), ("replicates", 1, [given.replicates]), ("sd", 0, given.sd)):
        if min(values) < least:
            parser.error(f"--{name} {min(values)}: must be at least {least}")
    print(f"{'case':<24}{'sd':>5}{'seeds':>6}{'coverage':>17}{'width':>8}{'blank':>7}")
    for cases in (CASES, UNSEEN):
        for name in cases:
            for sd in given.sd if given.only in name else ():
                for seeds in given.seeds:
                    line = covered(cases[name], seeds, sd, given.replicates)
                    numbers = f"{line.coverage:>9.3f} ± {line.error:.3f}{line.width:>8.3f}{line.blank:>7.2f}"
                    print(f"{name:<24}{sd:>5.2f}{seeds:>6}{numbers}", flush=True)
        print("-" * 67)
    tests = NULL_CELLS * FAMILIES
    print(
        f"\nno effect, {tests} tests a table\n{'':<22}{'sd':>5}{'seeds':>6}{'p at most .05':>15}{'any of a table':>24}"
    )
    for sd in given.sd:
        for seeds in given.seeds:
            found = false_positives(seeds, sd, 2 * given.replicates)
            numbers = f"{found.single:>15.3f}{found.family:>16.3f} ± {found.error:.3f}"
            print(f"{'':<22}{sd:>5.2f}{seeds:>6}{numbers}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
