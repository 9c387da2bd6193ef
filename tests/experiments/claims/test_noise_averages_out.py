"""The verdicts on averaging, from errors whose slope is known, and the error itself, from noise that is known."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.claims.averaging_stage import averaged_error
from experiments.claims.reporting import claim_of
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store
from tests.experiments.test_cell import TINY

SEEDS = (0, 1, 2, 3, 4)
COUNTS = (1, 2, 4, 8, 16, 32, 64)


def tables(fresh: float, cached: float, seeds=SEEDS, wobble: float = 0.01, size: float = 1.4, undefended: float = 1e-6):
    """Errors that go as n to these powers, a little otherwise in each seed."""
    found = []
    for name, power in (("gaussian_noise", fresh), ("gaussian_noise_cached", cached)):
        for seed in seeds:
            own = power + wobble * math.sin(7 * seed + 10 * power)
            rows = [(seed, name, n, size * n**own, undefended) for n in COUNTS]
            found.append(pl.DataFrame(rows, schema=["seed", "defense", "n", "error", "undefended"], orient="row"))
    return found


@pytest.mark.parametrize(
    ("fresh", "cached", "seeds", "verdict"),
    [
        (-0.5, 0.0, SEEDS, "holds"),
        (-0.2, -0.5, SEEDS, "fails"),
        (-0.5, -0.5, SEEDS, "partly"),
        (0.0, 0.0, SEEDS, "partly"),
        (-0.5, 0.0, (1,), "undecided"),
    ],
)
def test_noise_averages_out(fresh, cached, seeds, verdict):
    claim = claim_of("noise_averages_out")
    finding = claim.judge_tables(tables(fresh, cached, seeds)[::-1])
    assert finding.verdict == verdict, finding.evidence
    assert finding.evidence[0].found.estimate.value == pytest.approx(fresh + 0.5, abs=0.01)
    assert len(finding.table.rows) == 2 * len(COUNTS)
    assert claim.judge([]) is None, "rows know nothing of averaging"
    assert claim.judge_tables([]) is None


def test_a_slope_close_to_the_prediction_counts_as_it_and_a_wide_interval_leaves_it_open():
    claim = claim_of("noise_averages_out")
    assert claim.judge_tables(tables(-0.48, 0.0, wobble=0.001)).verdict == "holds", "within the margin, though not 0"
    assert claim.judge_tables(tables(-0.5, 0.0, wobble=0.1)).verdict == "undecided"


def test_cached_noise_that_is_the_same_in_every_answer_has_a_slope_of_exactly_0():
    finding = claim_of("noise_averages_out").judge_tables(tables(-0.5, 0.0, wobble=0.0))
    assert [g.says for g in finding.evidence] == ["supports", "supports"]


def test_what_differs_without_noise_is_said():
    claim = claim_of("noise_averages_out")
    found = claim.judge_tables(tables(-0.5, 0.0, undefended=0.17))
    assert "Without noise the same answers are .17 nats apart" in found.sentence
    assert [row["undefended"].value for row in found.table.rows] == pytest.approx([0.17] * 14)
    assert "Without noise" not in claim.judge_tables(tables(-0.5, 0.0)).sentence


def test_what_was_not_noisy_or_not_asked_is_open():
    claim = claim_of("noise_averages_out")
    silent = [
        t if t["defense"][0] == "gaussian_noise" else t.with_columns(error=pl.lit(0.0)) for t in tables(-0.5, 0.0)
    ]
    for found in (silent, tables(-0.5, 0.0)[: len(SEEDS)]):
        finding = claim.judge_tables(found)
        assert [g.says for g in finding.evidence] == ["supports", "open"]
        assert finding.verdict == "undecided"


def test_error_of_an_average_is_that_of_the_noise_and_knows_no_order():
    rng = np.random.default_rng(0)
    repeats, prompts, k, sigma = 16, 200, 8, 0.5
    logits = np.sort(rng.standard_normal((prompts, k)))[:, ::-1] * 2
    noisy = logits + sigma * rng.standard_normal((repeats, prompts, k))

    def listed(values):
        logprobs = values - np.log(np.exp(values).sum(-1, keepdims=True))
        ids = np.argsort(-logprobs, -1).astype(np.int32)
        return ids, np.take_along_axis(logprobs, ids, -1).astype(np.float32)

    truth = listed(logits[None])
    for n in (1, 4, 16):
        error = averaged_error(listed(noisy), truth, n, k)
        assert error == pytest.approx(sigma * math.sqrt(2 / n), rel=0.1)
    same = listed(np.repeat(noisy[:1], repeats, 0))
    assert averaged_error(same, truth, 16, k) == pytest.approx(averaged_error(same, truth, 1, k), rel=1e-4)
    assert averaged_error(truth, truth, 1, k) < 1e-5


def test_every_answer_and_every_token_but_the_first_counts():
    """Two answers to one prompt of three tokens: off by .1 and .3 nats in the second token, by 0 and .6 in the third."""

    def listed(*rows):
        ids = np.tile(np.arange(3, dtype=np.int32), (len(rows), 1, 1))
        return ids, np.array(rows, np.float32)[:, None, :]

    truth, told = listed((-1.0, -2.0, -3.0)), listed((-1.0, -1.9, -3.0), (-1.0, -1.7, -2.4))
    apart = math.sqrt((0.1**2 + 0.0**2 + 0.3**2 + 0.6**2) / 4)
    assert averaged_error(told, truth, 1, 3) == pytest.approx(apart, rel=1e-5)
    assert averaged_error(told, truth, 2, 3) == pytest.approx(math.sqrt((0.2**2 + 0.3**2) / 2), rel=0.05)


def test_the_stage_compares_with_an_api_that_is_not_defended(tmp_path):
    claim = replace(claim_of("noise_averages_out"), prompts=6, counts=(1, 2, 4))
    words = [*TINY, "attack=imitate", "api=full"]
    cells = [cell_from(compose_one([*words, f"defense={name}"]).plain) for name in (claim.fresh, claim.cached)]
    store, stages = Store(tmp_path), [claim.measurement(cell) for cell in cells]
    wanted = [Wanted(stage, "test") for stage in stages]
    outcome = LocalEngine(workers=0).run(plan(wanted, store), store, SilentDisplay())
    assert not outcome.failures
    fresh, cached = (store.get(stage).table("measured") for stage in stages)
    assert fresh["n"].to_list() == cached["n"].to_list() == [1, 2, 4]
    assert fresh["error"][2] < fresh["error"][0]
    assert cached["error"][0] > 0.1, "noise that is the same in each answer is still noise"
    assert max(fresh["undefended"]) == max(cached["undefended"]) < 1e-4, "float32 hardly depends on the batch"
    assert cached["error"].to_list() == pytest.approx([cached["error"][0]] * 3, rel=1e-3)


def test_it_is_measured_on_the_cells_of_its_own_defenses():
    claim = claim_of("noise_averages_out")

    def cell(*words):
        return cell_from(compose_one([*TINY, "attack=imitate", *words]).plain)

    stage = claim.measurement(cell("api=full", "defense=gaussian_noise"))
    assert stage.max_tokens == 1
    assert stage.counts == COUNTS
    assert replace(stage, prompts=3).key != stage.key
    assert claim.measurement(cell("api=full", "defense=gaussian_noise_cached")).key != stage.key
    with pytest.raises(ConfigError, match="defends a cell of the claim's grid"):
        claim.measurement(cell("api=full", "defense=rounding"))
    for words, message in (
        (["claim.counts=[1,2]"], "must be three numbers or more"),
        (["claim.counts=[1,3,4]"], "must be three numbers or more"),
        (["claim.margin=0.3"], "must lie between 0 and 0.25"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            claim_of("noise_averages_out", words)
