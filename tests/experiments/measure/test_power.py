"""What a sweep will be able to show, against simulated sweeps."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import NULL_CELLS, Circumstances, loss
from experiments.measure.power import MOST, POWER, measured, seeds_for, smallest, stated
from experiments.measure.summary import estimated, summarise
from tests.experiments.measure.synthetic import TRUTH, cell, result


def test_the_floor_is_the_half_width_that_tables_then_have():
    sd, seeds = stated(300)["chain"], 3
    halves = []
    for replicate in range(30):
        found, _ = loss(Circumstances(seeds, 0.05, np.random.default_rng(replicate)))
        halves += [(e.high - e.low) / 2 for e in found]
    # Training alone differs between twins there: half of the seeds' variance is the teacher's.
    assert np.median(halves) == pytest.approx(smallest(sd / np.sqrt(2), seeds, NULL_CELLS), rel=0.25)


def test_the_seeds_it_says_show_the_difference():
    difference, sd = 0.08, float(np.sqrt(2 * 0.5 * 0.05**2 + 2 * 0.5 * 0.1 / 300))
    seeds = seeds_for(difference, sd, NULL_CELLS)
    assert seeds is not None
    shown = []
    for replicate in range(30):
        found, _ = loss(Circumstances(seeds, 0.05, np.random.default_rng(100 + replicate)), effect=difference)
        shown += [e.resolved for e in found]
    assert np.mean(shown) == pytest.approx(POWER, abs=0.12)


def test_more_seeds_show_less_and_less_takes_more():
    floors = [smallest(0.05, seeds, 20) for seeds in (2, 3, 5, 10)]
    assert floors == sorted(floors, reverse=True)
    takes = [seeds_for(d, 0.05, 20) for d in (0.2, 0.1, 0.05, 0.02)]
    assert takes == sorted(takes)
    assert seeds_for(1e-4, 0.5, 20) is None
    assert seeds_for(1.0, 0.01, 20) == 2
    assert MOST >= 1000


def test_stored_rows_tell_their_own_variance():
    student = TRUTH["undefended"]

    def rows(sigma):
        return [[result(cell(f"d{i}", ["d"], float(i), "a", s), student, sigma=sigma) for s in (1, 2)] for i in (1, 2)]

    quiet, loud = (measured(estimated([summarise(group) for group in rows(sigma)])) for sigma in (0.0, 0.15))
    assert set(quiet) == {"chain", "code", "facts", "tool", "pooled"}
    assert loud["chain"] > quiet["chain"]
    assert measured(estimated([summarise(rows(0.0)[0][:1])])) == {}
