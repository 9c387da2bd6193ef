"""Cells with a known truth, and cells in which something is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from configs.errors import MoatBenchError
from experiments.measure.cell_result import FACTS, CellResult, by_configuration
from experiments.measure.quantity import NOISE
from experiments.measure.row import cell_row
from experiments.measure.summary import Summary, against_best, estimated, summarise
from tests.experiments.measure.synthetic import FAMILIES, TRUTH, cell, result

STUDENT = {"chain": 0.45, "code": 0.97, "facts": 0.88, "tool": 0.95}


def alone(results: list[CellResult]) -> Summary:
    """A table of one configuration."""
    return table([results])[0]


def table(cells: list[list[CellResult]]) -> list[Summary]:
    return estimated(against_best([summarise(results) for results in cells]))


def defended(seed: int, **changes) -> CellResult:
    users = TRUTH["teacher"] | {"chain": 0.9}
    return result(
        cell("antidistillation(lam=0.27)", ["antidistillation"], 0.27, "imitate", seed, **changes), STUDENT, users
    )


@pytest.fixture(scope="module")
def summary():
    return alone([defended(seed) for seed in (1, 2, 3)])


def test_truth_is_recovered(summary):
    def holds(name, family, truth, slack=0.02):
        found = summary.headline_estimate(name, family)
        assert found.low - slack <= truth <= found.high + slack, (name, family, found)

    for family in FAMILIES:
        base, twin, teacher = (TRUTH[m][family] for m in ("base", "undefended", "teacher"))
        holds("S_def", family, STUDENT[family])
        holds("transfer", family, (STUDENT[family] - base) / (teacher - base))
        holds("relative", family, (STUDENT[family] - base) / (twin - base))
        holds("DE", family, STUDENT[family] / twin)
    mean = {m: np.mean(list(a.values())) for m, a in (TRUTH | {"student": STUDENT}).items()}
    holds("transfer", "pooled", (mean["student"] - mean["base"]) / (mean["teacher"] - mean["base"]))
    drop = summary.estimate("honest_drop", "chain", "", "strict")
    assert drop.low - 0.01 <= 0.09 <= drop.high + 0.01
    dc = summary.estimate("DC", "chain", "", "strict")
    assert dc.value == pytest.approx(drop.value / summary.quantity("T_honest_clean", "chain", "", "strict").point)


def test_points_are_means_over_seeds_of_means_over_items(summary):
    tables = [defended(seed).scores["student"] for seed in (1, 2, 3)]
    own = [
        t.filter((pl.col("family") == "chain") & (pl.col("split") == "heldout") & (pl.col("decoding") == "greedy"))
        for t in tables
    ]
    assert summary.headline("S_def", "chain").point == pytest.approx(np.mean([t["strict"].mean() for t in own]))
    finished = np.mean([t.filter("finished")["strict"].mean() for t in own])
    assert summary.quantity("S_def_if_finished", "chain", "greedy", "strict").point == pytest.approx(finished)
    assert summary.quantity("S_def_finished_share", "chain", "greedy").point == pytest.approx(
        np.mean([t["finished"].mean() for t in own])
    )
    assert summary.quantity("S_def_step_correct", "chain", "greedy").point == pytest.approx(
        np.mean([t["step_correct"].mean() for t in own])
    )


def test_form_is_measured_beside_accuracy(summary):
    place = (pl.col("family") == "tool") & (pl.col("split") == "heldout") & (pl.col("decoding") == "greedy")
    own = [defended(seed).scores["student"].filter(place) for seed in (1, 2, 3)]
    share = summary.quantity("S_def_formed_share", "tool", "greedy").point
    assert share == pytest.approx(np.mean([t["formed"].mean() for t in own]))
    right = summary.quantity("S_def_if_formed", "tool", "greedy", "strict").point
    assert right == pytest.approx(np.mean([t.filter("formed")["strict"].mean() for t in own]))
    assert summary.headline("S_def", "tool").point < min(share, right)


def test_harder_items_are_measured_beside_the_others():
    described = cell("none", [], None, "imitate", 1)
    both = alone([result(described, STUDENT, harder=True)])
    assert both.headline("harder S_def", "chain").point < both.headline("S_def", "chain").point
    others = alone([result(described, STUDENT)])
    assert others.estimates == {m: both.estimates[m] for m in others.estimates}
    assert {m.name.removeprefix("harder ") for m in set(both.quantities) - set(others.quantities)} >= {
        "S_def",
        "transfer",
    }


def test_steps_and_facts(summary):
    assert not summary.quantity("S_def_step_correct", "code", "greedy").known
    assert summary.headline_estimate("transfer_lost", "chain").p < 0.05
    assert summary.facts == {name: pytest.approx(cell("", [], None, "", 0)[name]) for name in FACTS}


def test_what_was_found_out_is_an_outcome_of_the_rows_that_have_it(summary):
    cells = [defended(seed, finding_hidden_size=size) for seed, size in ((1, 96.0), (2, 94.0), (3, None))]
    assert [len(group) for group in by_configuration([*cells, defended(4)])] == [4], "no part of the configuration"
    assert alone(cells).facts["finding_hidden_size"] == 95
    assert set(alone(cells).facts) - set(summary.facts) == {"finding_hidden_size"}
    one = cells[0]
    assert cell_row(one.cell, one.scores, one.honest, one.honest_clean)["finding_hidden_size"] == 96


def test_same_input_same_output():
    assert alone([defended(seed) for seed in (1, 2, 3)]).estimates == alone([defended(s) for s in (1, 2, 3)]).estimates


def test_one_seed_speaks_of_items():
    one = alone([defended(1)])
    found = one.headline_estimate("S_def", "chain")
    p = found.value
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / FAMILIES["chain"]), rel=0.25)


def test_no_undefended_twin():
    bare = defended(1)
    bare = replace(bare, scores={k: v for k, v in bare.scores.items() if k != "undefended"})
    found = alone([bare])
    assert found.headline("transfer", "chain").known
    assert found.headline_estimate("relative", "chain").value is None
    assert found.headline_estimate("transfer_lost", "chain").p is None
    assert (
        cell_row(bare.cell, bare.scores, bare.honest, bare.honest_clean).get("relative_own/chain/greedy/strict") is None
    )


def test_a_base_that_knows_everything_leaves_transfer_blank():
    truth = TRUTH | {"base": TRUTH["teacher"]}
    found = alone([result(cell("none", [], None, "imitate", s), STUDENT, truth=truth) for s in (1, 2)])
    assert found.headline_estimate("transfer", "code")[:4] == (None, None, None, NOISE)


def test_all_refused():
    found = alone([result(cell("query_quota", ["query_quota"], None, "imitate", 1), STUDENT, refused=1.0)])
    assert found.estimate("T_def", "all", "", "strict")[:2] == (0, 0)
    assert 0 < found.estimate("T_def", "all", "", "strict").high < 0.02
    assert found.estimate("refusals", "all").value == 1
    assert found.estimate("T_def_accepted", "all", "", "strict").value is None
    assert found.estimate("trace_kept", "all").value is None
    assert found.estimate("ECE", "all").value is None
    assert found.estimate("DC", "all", "", "strict").value == 1


def test_refusals_count_as_wrong_whatever_the_table_says():
    some = result(cell("query_quota", ["query_quota"], None, "imitate", 1), STUDENT, refused=0.5)
    claims = replace(some, honest=some.honest.with_columns(strict=pl.lit(value=True)))
    found = alone([claims])
    refused = found.estimate("refusals", "all").value
    assert found.estimate("T_def", "all", "", "strict").value == pytest.approx(1 - refused)
    assert found.estimate("T_def_accepted", "all", "", "strict").value == 1


def test_nothing_run_without_a_defense():
    bare = defended(1)
    found = alone([replace(bare, honest_clean=pl.DataFrame())])
    assert found.estimate("DC", "all", "", "strict").value is None
    assert found.estimate("T_def", "all", "", "strict").value is not None


def test_families_and_items_that_some_models_lack():
    whole = defended(1)
    scores = dict(whole.scores)
    scores["teacher"] = scores["teacher"].filter(pl.col("family") != "tool")
    scores["student"] = scores["student"].filter(pl.col("item").str.ends_with("7").not_())
    found = alone([replace(whole, scores=scores)])
    assert found.headline_estimate("transfer", "tool").value is None
    assert found.headline_estimate("transfer", "pooled").value is None
    assert found.headline_estimate("transfer", "chain").low is not None
    kept = scores["student"].filter(
        (pl.col("family") == "chain") & (pl.col("split") == "heldout") & (pl.col("decoding") == "greedy")
    )
    assert found.headline("S_def", "chain").point == pytest.approx(kept["strict"].mean())


def test_teacher_scored_in_one_way_only():
    whole = defended(1)
    sampled = whole.scores["teacher"].filter(pl.col("decoding") == "sampled")
    found = alone([replace(whole, scores={**whole.scores, "teacher": sampled})])
    assert found.headline("T_clean", "chain").point == found.quantity("T_clean", "chain", "sampled", "strict").point


def test_null_and_nan_are_missing():
    whole = defended(1)
    student = whole.scores["student"].with_columns(
        strict=pl.when(pl.col("item").str.ends_with("3")).then(None).otherwise(pl.col("strict")),
        step_correct=pl.lit(float("nan")),
    )
    found = alone([replace(whole, scores={**whole.scores, "student": student})])
    assert found.headline("S_def", "chain").known
    assert not found.quantity("S_def_step_correct", "chain", "greedy").known


def test_what_was_never_sent_is_not_answered():
    some = defended(1)
    lost = pl.when(pl.col("account") == "u0").then(0).otherwise(pl.col("status"))
    found = alone([replace(some, honest=some.honest.with_columns(status=lost))])
    share = (some.honest["account"] == "u0").mean()
    assert found.estimate("refusals", "all").value == pytest.approx(share)


def test_relative_is_to_the_best_undefended_attack_on_equal_budgets():
    """Dropping half of each trace harms the attacker himself: beside his own twin nothing seems lost."""
    poor = TRUTH | {"undefended": dict.fromkeys(FAMILIES, 0.3)}
    weak = [result(cell("d", ["d"], 1.0, "half", s), dict.fromkeys(FAMILIES, 0.3), truth=poor) for s in (1, 2)]
    strong = [result(cell("d", ["d"], 1.0, "imitate", s), STUDENT) for s in (1, 2)]
    richer = [result(cell("d", ["d"], 1.0, "imitate", s, queries=9), STUDENT) for s in (1, 2)]
    half, imitate, elsewhere = table([weak, strong, richer])
    assert half.headline_estimate("relative_own", "pooled").value == pytest.approx(1, abs=0.2)
    assert half.headline_estimate("relative", "pooled").value < 0.4
    assert half.headline_estimate("relative", "pooled").reason == "of imitate"
    for s in (imitate, elsewhere):
        own, best = (s.headline_estimate(name, "pooled").value for name in ("relative_own", "relative"))
        assert own == pytest.approx(best)
    assert table([weak])[0].headline_estimate("relative", "pooled").value == pytest.approx(1, abs=0.2)


def test_cells_of_a_table_learn_from_each_other_how_much_seeds_differ():
    cells = [[result(cell(f"d{i}", ["d"], i, "a", s), STUDENT) for s in (1, 2)] for i in range(1, 7)]
    together, apart = table(cells)[0], alone(cells[0])
    wide, narrow = (s.headline_estimate("S_def", "chain") for s in (apart, together))
    assert narrow.value == wide.value
    assert narrow.high - narrow.low < wide.high - wide.low


def test_row_is_flat_and_complete():
    whole = defended(1)
    row = cell_row(whole.cell, whole.scores, whole.honest, whole.honest_clean)
    assert row["defense_name"] == "antidistillation"
    assert row["accepted_share"] == 1.0
    assert 0.3 < row["transfer/chain/greedy/strict"] < 0.6
    for name in ("T_def/all/strict", "T_def_accepted/all/strict", "refusals/all", "wait_seconds/all", "trace_kept/all",
                 "trace_audited/all", "ECE/all", "dollars_per_honest_query/all", "S_self/chain/greedy/lenient",
                 "S_def_finished_share/chain/greedy", "S_def_if_finished/chain/sampled/strict", *FACTS):  # fmt: skip
        assert row[name] is not None, name
    assert all(value is None or isinstance(value, str | int | float | bool) for value in row.values())
    assert not any(isinstance(value, float) and np.isnan(value) for value in row.values())
    assert pl.DataFrame([row]).height == 1


def test_seeds_are_grouped_in_one_order_and_never_twice():
    cells = [defended(2), defended(1), result(cell("none", [], None, "imitate", 1), STUDENT)]
    groups = by_configuration(cells)
    assert [[r.seed for r in g] for g in groups] == [[1], [1, 2]]
    assert [[r.cell["defense"] for r in g] for g in by_configuration(cells[::-1])] == [
        [r.cell["defense"] for r in g] for g in groups
    ]
    with pytest.raises(MoatBenchError, match="cannot be told apart"):
        by_configuration([defended(1), defended(1)])


def test_settings_tell_cells_apart():
    twice = [defended(1, settings={"seed": 1, "student": {"steps": s}}) for s in (100, 200)]
    assert len(by_configuration(twice)) == 2
    seeds = [defended(s, settings={"seed": s, "student": {"steps": 100}}) for s in (1, 2)]
    assert len(by_configuration(seeds)) == 1
