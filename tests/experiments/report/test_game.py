"""Games from cells with a known truth: which matrix, which price, what is left out, and every format."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from matplotlib.image import imread

from configs.errors import ConfigError, MoatBenchError
from experiments.measure.cell_result import by_configuration
from experiments.measure.summary import estimated, summarise
from experiments.report.equilibrium import equilibrium
from experiments.report.payoffs import payoffs
from experiments.report.write_game import write_game
from tests.experiments.report.cells import one

ADAPTIVE = "adaptive"


@cache
def cells(seeds=(1, 2, 3)):
    """``trace_hidden`` stops imitation and falls to adapting; ``ads`` the other way round; ``none`` stops neither."""
    chain = {
        ("none", "imitate"): (0.95, 0.99),
        ("none", ADAPTIVE): (0.97, 0.99),
        ("hidden", "imitate"): (0.1, 0.99),
        ("hidden", ADAPTIVE): (0.8, 0.99),
        ("ads", "imitate"): (0.7, 0.90),
        ("ads", ADAPTIVE): (0.2, 0.90),
    }
    return [one(d, None, s, t, seed, a) for seed in seeds for (d, a), (s, t) in chain.items()]


def found(results):
    return estimated([summarise(group) for group in by_configuration(results)])


def matrix_of(results, price=0.0, family="chain"):
    (only,) = payoffs(found(results), price, family)
    return only


def with_settings(results, **settings):
    both = ({side: {"name": r.cell[side]} for side in ("defense", "attack")} | settings for r in results)
    return [replace(r, cell={**r.cell, "settings": own}) for r, own in zip(results, both, strict=True)]


def points(matrix):
    return np.array([[loss.point for loss in row] for row in matrix.losses])


def test_the_matrix_is_transfer_and_the_price_of_honest_accuracy():
    summaries = found(cells())
    free, dear = (payoffs(summaries, price, "chain")[0] for price in (0.0, 2.0))
    assert (free.defenses, free.attacks) == (("none", "ads", "hidden"), ("adaptive", "imitate"))
    by_name = {(s.defense, s.attack): s for s in summaries}
    for r, defense in enumerate(free.defenses):
        for c, attack in enumerate(free.attacks):
            cell = by_name[defense, attack]
            assert free.losses[r][c].point == pytest.approx(cell.headline("transfer", "chain").point)
            drop = cell.quantity("honest_drop", "chain", "", "strict").point
            assert dear.losses[r][c].point - free.losses[r][c].point == pytest.approx(2 * drop)
    assert (points(dear) - points(free))[1].min() > 0.1, "ads costs honest users 9 points"


def test_the_price_moves_no_choice_of_the_attacker():
    results = cells()
    odd = [replace(r, honest=r.honest_clean) if r.cell["attack"] == "imitate" else r for r in results]
    matrix, free = matrix_of(odd, 1.0), matrix_of(odd)
    extra = points(matrix) - points(free)
    assert np.ptp(extra, axis=1) == pytest.approx(0), "the drop is the defense's mean over attacks"


def test_value_mixtures_and_dominated_methods():
    game = equilibrium(matrix_of(cells()), draws=60)
    losses = points(game.payoffs)
    p, q = (np.array([e.value for e in played]) for played in (game.provider, game.attacker))
    assert p[0] == 0
    assert min(p[1], p[2]) > 0.2, "both real defenses are mixed"
    assert (p @ losses).max() == pytest.approx(game.value.value)
    assert (losses @ q).min() == pytest.approx(game.value.value)
    assert game.alone.maxmin < game.value.value < game.alone.minmax
    assert game.value.low < game.value.value < game.value.high
    assert game.provider[1].low <= p[1] <= game.provider[1].high
    assert [(game.payoffs.defenses[one.method], one.shown) for one in game.defenses] == [("none", True)]
    assert game.attacks == ()
    again = equilibrium(matrix_of(cells()[::-1]), draws=60)
    assert again.value == pytest.approx(game.value), "the order of cells does not matter"


def test_a_gap_leaves_the_method_out_that_lacks_most_and_says_so():
    results = [r for r in cells() if (r.cell["defense"], r.cell["attack"]) != ("ads", ADAPTIVE)]
    results += [one("none", None, 0.9, 0.99, seed, "prefix") for seed in (1, 2, 3)]
    matrix = matrix_of(results)
    assert (matrix.defenses, matrix.attacks) == (("none", "hidden"), ("adaptive", "imitate"))
    assert matrix.left_out == (
        "Left out: the attack prefix, which has no known payoff in 2 of 3 pairs.",
        "Left out: the defense ads, which has no known payoff in 1 of 2 pairs.",
    )


def test_seeds_that_not_every_pair_has_are_left_out():
    results = [r for r in cells() if (r.seed, r.cell["defense"]) != (3, "hidden")]
    matrix = matrix_of(results)
    assert matrix.seeds == (1, 2)
    assert matrix.left_out == ("Seeds left out, as not every pair has them: 3.",)


def test_no_known_payoff_makes_no_game():
    unknown = [replace(s, estimates={}) for s in found(cells((1,)))]
    (empty,) = payoffs(unknown, 0.0, "chain")
    assert (empty.defenses, empty.attacks, empty.losses, empty.seeds) == ((), (), (), ())
    assert "has no known payoff in 3 of 3 pairs" in empty.left_out[0]


def test_each_threat_model_is_a_game_of_its_own():
    results = cells() + [replace(r, cell={**r.cell, "queries": 50}) for r in cells() if r.cell["defense"] != "ads"]
    both = payoffs(found(results), 0.0, "chain")
    assert [(m.setting, len(m.defenses)) for m in both] == [("queries 1,000", 3), ("queries 50", 2)]
    here, elsewhere = (with_settings(cells(), measure={"items": items}) for items in (60, 120))
    assert len(payoffs(found(here + elsewhere), 0.0, "chain")) == 2, "no cell of another measure fills a gap"


def test_methods_that_differ_in_a_setting_only_are_told_apart():
    imitating = [r for r in cells((1, 2)) if r.cell["attack"] == "imitate"]
    short, long = (with_settings(imitating, attack={"steps": steps}) for steps in (10, 20))
    assert matrix_of(short + long).attacks == ("imitate (steps=10)", "imitate (steps=20)")


def test_every_format(tmp_path):
    report = write_game(cells(), tmp_path, "quick_game", draws=40)
    assert set(report.files) == {"md", "csv", "tex", "png", "pdf", "json", "page"}
    record = json.loads(report.files["json"].read_text())
    (game,) = record["games"]
    assert game["defenses"]["names"] == ["none", "ads", "hidden"]
    assert game["defenses"]["dominated"]["none"]["shown"] in ("by intervals", "by the values only")
    assert game["value"]["low"] < game["value"]["value"] < game["value"]["high"]
    text = report.files["md"].read_text()
    assert "The value of the game is" in text
    assert "attacker's mixture" in text
    assert report.files["csv"].read_text().count("\n") == 1 + 6 + 3 + 2 + 1
    assert "\\begin{tabular}" in report.files["tex"].read_text()
    assert imread(report.files["png"]).ndim == 3


def test_input_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="price"):
        write_game(cells((1,)), tmp_path, "x", price=-1.0)
    with pytest.raises(ConfigError, match="family"):
        write_game(cells((1,)), tmp_path, "x", family="poetry")
    with pytest.raises(MoatBenchError, match="at least one result"):
        write_game([], tmp_path, "x")
