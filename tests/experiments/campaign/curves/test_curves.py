"""Forms against closed forms and scipy; bands against the measures of lab cells; tables that must be refused."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from configs.errors import ConfigError, MoatBenchError
from experiments.campaign.curves.fitted import UNTOUCHED, UNWORKED, WITH_ERRORS, fit_curves
from experiments.campaign.curves.forms import FORMS, fit, form_named
from experiments.campaign.curves.measured import SCHEMA, checked, from_results, packed, shipped, unpacked
from experiments.cli.curves import main
from experiments.measure.summary import estimated, summarise
from experiments.measure.transfer import POOLED
from tests.experiments.campaign.curve_tables import COUNTS, TRUTH, table
from tests.experiments.measure import synthetic

Q = np.array(COUNTS, float)


@pytest.fixture(scope="module")
def curves():
    return fit_curves(table(), 50)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@given(a=st.floats(0, 1), b=st.floats(0.1, 10), c=st.floats(3.3, 21280))
@settings(max_examples=50)
def test_every_form_begins_at_nothing_never_falls_and_stays_within_0_and_1(form, a, b, c):
    found = form((a, b, c), [0, 1e-3, *COUNTS, 1e6, 1e12])
    assert found[0] == 0
    assert (np.diff(found) >= -1e-15).all()
    assert (found <= 1).all()


def test_forms_are_what_their_words_say():
    a, b, c, q = 0.7, 1.3, 400.0, 250.0
    assert form_named("power")((a, b, c), [q]) == pytest.approx(a * (q / c) ** b)
    assert form_named("power")((a, b, c), [1e9]) == 1
    assert form_named("saturating")((a, b, c), [q]) == pytest.approx(a * (1 - np.exp(-((q / c) ** b))))
    assert form_named("hill")((a, b, c), [q]) == pytest.approx(a * q**b / (c**b + q**b))
    with pytest.raises(ConfigError, match="hill"):
        form_named("hil")


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_points_on_a_curve_give_its_parameters_back(form):
    true = np.array([[0.9, 0.8, 2128.0], [0.4, 0.3, 2128.0]])
    if form.located:
        true[:, 1:] = ((0.8, 300.0), (2.5, 900.0))
    assert fit(form, Q, form(true, Q)) == pytest.approx(true, rel=2e-3)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_no_start_of_scipy_finds_a_better_fit(form):
    rng = np.random.default_rng(5)
    low, high = np.log([form.slope[0], Q[0] / 10]), np.log([form.slope[1], Q[-1] * 10])
    for _ in range(3):
        y = np.clip(np.sort(rng.random(7)) + rng.normal(0, 0.1, 7), -0.1, 1.1)

        def miss(p, y=y):
            c = np.exp(p[2]) if form.located else Q[-1]
            return form((p[0], np.exp(p[1]), c), Q) - y

        ends = ([0, *low], [1, *high])
        starts = [
            (0.5, b, c) for b in np.linspace(low[0], high[0], 6)[1:-1] for c in np.linspace(low[1], high[1], 7)[1:-1]
        ]
        theirs = min(2 * least_squares(miss, start, bounds=ends).cost for start in starts)
        ours = float(np.square(form(fit(form, Q, y)[0], Q) - y).sum())
        assert ours <= theirs * (1 + 1e-4) + 1e-9


def test_a_count_that_is_left_out_changes_nothing():
    y = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.8, 0.9])
    other = np.where(np.arange(7) == 3, 0.9, y)
    used = np.arange(7) != 3
    for form in FORMS:
        assert np.array_equal(fit(form, Q, y, used), fit(form, Q, other, used))
        assert not np.allclose(form(fit(form, Q, y)[0], Q), form(fit(form, Q, other)[0], Q))


def test_rows_are_fitted_one_by_one_and_unknown_ones_stay_unknown():
    y = np.array([[0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8], [np.nan] * 7, [0, 0, 0, 0.1, 0.4, 0.9, 1.0]])
    together = fit(FORMS[2], Q, y)
    assert np.isnan(together[1]).all()
    assert np.allclose(together[[0, 2]], [fit(FORMS[2], Q, y[0])[0], fit(FORMS[2], Q, y[2])[0]])


@pytest.mark.parametrize("queries", [[], [0, 1, 2, 3], [1, 1, 2, 3], [3, 2, 1, 4]])
def test_counts_that_cannot_be_are_refused(queries):
    with pytest.raises(ConfigError, match="queries"):
        fit(FORMS[0], queries, [0.1] * len(queries))


def test_the_form_that_made_the_points_predicts_left_out_ones_best(curves):
    assert curves.curves["chain", UNTOUCHED].form.name == "saturating"
    assert curves.curves["code", UNTOUCHED].form.name == "hill"
    assert curves.curves["code", UNTOUCHED].parameters == pytest.approx([1, 1, 300], rel=0.05)


def test_a_curve_reads_its_points_and_marks_what_was_not_measured(curves):
    for (family, defense), truth in TRUTH.items():
        curve = next(c for c in curves.every if (c.family, c.defense) == (family, defense))
        read = curve.at([0, 32.9, 33, 200, 2128, 2129])
        assert read.extrapolated.tolist() == [False, True, False, False, False, True]
        assert read.value[0] == 0
        assert read.value[2:5] == pytest.approx([truth(q) for q in (33, 200, 2128)], abs=0.02)
        assert (np.diff(read.value) >= 0).all()
        assert (read.low <= read.value).all()
        assert (read.value <= read.high).all()


def test_what_was_measured_lies_in_the_band_even_where_no_form_fits():
    """A step back and forth, which nothing that never falls can follow."""
    jagged = dict(zip(COUNTS, (0.0, 0.4, 0.1, 0.5, 0.2, 0.9, 0.6), strict=True))
    curve = fit_curves(table({("chain", "none"): jagged.__getitem__}), 30).curves["chain", UNTOUCHED]
    read = curve.at(COUNTS)
    assert (read.low - 1e-12 <= list(jagged.values())).all()
    assert (read.high + 1e-12 >= list(jagged.values())).all()
    assert (read.high - read.low).max() > 0.1
    assert curve.at(0)[:3] == (0, 0, 0)


def test_readings_have_the_shape_of_the_question(curves):
    curve = curves.curves["chain", UNTOUCHED]
    assert curve.at(500).value.shape == ()
    assert curve.at(np.full((2, 3), 500)).low.shape == (2, 3)
    assert curve.at([]).high.shape == (0,)
    for wrong in (-1, float("nan"), float("inf"), [1, -2]):
        with pytest.raises(ConfigError, match="queries"):
            curve.at(wrong)


def test_pooled_is_the_ratio_of_means(curves):
    chain, code, both = (
        [p.value for p in curves.curves[family, UNTOUCHED].points] for family in ("chain", "code", POOLED)
    )
    assert both == pytest.approx(np.mean([chain, code], axis=0))
    assert curves.families == ("chain", "code", POOLED)
    assert curves.largest == 2128
    assert curves.error_rate == 0.3


def cells(counts=(50, 100, 200, 400), seeds=(0, 1)):
    """Lab cells whose student learns with the queries, in the tables of measurement's own tests."""
    found = []
    for count in counts:
        for seed in seeds:
            accuracy = dict.fromkeys(synthetic.FAMILIES, 0.15 + 0.75 * count / (count + 100))
            budget = {"queries": count, "hours": 2}
            about = synthetic.cell(
                "none", [], None, "imitate", seed, queries=count, settings={"seed": seed, "budget": budget}
            )
            found.append(synthetic.result(about, accuracy))
    return found


def test_points_of_stored_cells_are_the_numbers_of_every_other_table():
    results = cells()
    curves = fit_curves(from_results(results), replicates=300)
    for i, count in enumerate((50, 100, 200, 400)):
        (summary,) = estimated([summarise([r for r in results if r.cell["queries"] == count])])
        for family in (*synthetic.FAMILIES, POOLED):
            expected = summary.headline_estimate("transfer", family)
            assert curves.curves[family, UNTOUCHED].points[i].value == pytest.approx(expected.value)


def test_a_table_comes_back_from_its_file_and_its_rows_have_no_order():
    made = from_results(cells())
    text = made.write_csv()
    back = checked(pl.read_csv(io.BytesIO(text.encode()), schema=SCHEMA))
    assert back.equals(made)
    once, again = fit_curves(made, 20), fit_curves(made.sample(fraction=1.0, shuffle=True, seed=3), 20)
    for a, b in zip(once.every, again.every, strict=True):
        assert np.array_equal(a.draws, b.draws)
        assert a.points == b.points


def test_more_noise_widens_the_band():
    rng = np.random.default_rng(1)
    steady = table({("chain", "none"): TRUTH["code", "none"]})
    shaken = []
    for row in steady.iter_rows(named=True):
        seed_level = 0.12 * (row["seed"] - 1)
        marks = rng.random(row["items"]) < np.clip(row["student"] / row["items"] + seed_level, 0, 1)
        shaken.append(row | {"student": int(marks.sum()), "student_marks": packed(marks)})
    wide = fit_curves(pl.DataFrame(shaken, schema=SCHEMA), 100).curves["chain", UNTOUCHED].at(500)
    narrow = fit_curves(steady, 100).curves["chain", UNTOUCHED].at(500)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.low < 500 / 800 < wide.high


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_marks_are_packed_without_loss(marks):
    assert unpacked(packed(np.array(marks)), len(marks)).tolist() == marks


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop("attack"), "attack"),
        (lambda t: pl.concat([t, t.head(1)]), "twice"),
        (lambda t: t.with_columns(student=pl.col("student") + 1), "curves.student"),
        (lambda t: t.with_columns(student_marks=pl.lit("zz")), "hexadecimal"),
        (lambda t: t.with_columns(student_marks=pl.lit("00")), "does not hold"),
        (lambda t: t.with_columns(queries=pl.col("queries") - 33), "curves.queries"),
        (lambda t: t.filter((pl.col("seed") != 2) | (pl.col("queries") != 66)), "curves.seed"),
        (lambda t: t.filter((pl.col("family") != "code") | (pl.col("queries") != 66)), "curves.family"),
        (lambda t: t.filter(pl.col("queries") > 500), "4 counts"),
        (lambda t: t.filter(pl.col("defense") != "none"), "without a defense"),
        (lambda t: t.clear(), "queries"),
        (
            lambda t: t.with_columns(
                strength=pl.when(pl.col("defense") == "random_errors").then(pl.col("seed") / 10 + 0.1)
            ),
            "one rate",
        ),
    ],
)
def test_tables_that_cannot_be_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        fit_curves(change(table()), 5)


def test_a_teacher_who_knows_no_more_than_the_base_student_has_nothing_to_read():
    made = table().with_columns(base_marks=pl.col("teacher_marks"), base=pl.col("teacher"))
    with pytest.raises(MoatBenchError, match="teacher against base"):
        fit_curves(made, 5)


def test_the_attack_that_moves_more_is_read():
    better = table({("chain", "none"): lambda q: q / (150 + q)}).with_columns(attack=pl.lit("clean"))
    both = fit_curves(pl.concat([table({("chain", "none"): lambda q: q / (300 + q)}), better]), 5)
    assert both.curves["chain", UNTOUCHED].attack == "clean"
    assert sorted(c.attack for c in both.every if c.family == "chain") == ["clean", "imitate"]


def test_traces_hidden_in_part_are_not_read_as_hidden():
    made = table().with_columns(strength=pl.when(pl.col("defense") == "trace_hidden").then(0.5).otherwise("strength"))
    assert ("chain", UNWORKED) not in fit_curves(made, 5).curves


def test_cells_that_differ_in_more_than_the_curve_are_refused():
    first, *rest = cells()
    other = replace(first, cell=dict(first.cell, teacher="large"))
    with pytest.raises(MoatBenchError, match="teacher"):
        from_results([other, *rest])
    hours = replace(first, cell=dict(first.cell, settings={"seed": 0, "budget": {"queries": 50, "hours": 3}}))
    with pytest.raises(MoatBenchError, match="hours"):
        from_results([hours, *rest])
    with pytest.raises(ConfigError, match="twice"):
        from_results([first, first])
    with pytest.raises(MoatBenchError, match="no cells"):
        from_results([replace(first, cell=dict(first.cell, defense_name=["a", "b"]))])
    twice = replace(first, scores=dict(first.scores, base=pl.concat([first.scores["base"]] * 2)))
    with pytest.raises(MoatBenchError, match="same items"):
        from_results([twice])


def test_the_shipped_table_holds_every_use_at_every_count():
    curves = fit_curves(shipped(), 20)
    assert set(curves.families) == {"chain", "code", "facts", "tool", POOLED}
    assert curves.seeds == (0, 1, 2, 3, 4)
    for family in curves.families:
        for use in (UNTOUCHED, UNWORKED, WITH_ERRORS):
            curve = curves.curves[family, use]
            assert curve.queries.tolist() == list(COUNTS)
            assert min(curve.errors.values()) < 0.25


def test_the_command_writes_the_shipped_table_and_its_page_alike_every_time(tmp_path):
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        made = folder / "made" / "t.csv"
        assert main(["--out", str(folder), "--table", str(made), "--replicates", "3"]) == 0
        texts.append([path.read_bytes() for path in (folder / "curves.md", folder / "curves.png", made)])
        assert pl.read_csv(made, schema=SCHEMA).equals(shipped())
    assert texts[0] == texts[1]
    assert b"as the teacher gave them" in texts[0][0]
    assert texts[0][1][:4] == b"\x89PNG"


def test_the_command_takes_the_cells_of_a_store(tmp_path, capsys, monkeypatch):
    stored: list = []
    monkeypatch.setattr("experiments.cli.curves.cells", lambda words: stored if words == ["seed=0"] else None)
    assert main(["seed=0", "--out", str(tmp_path)]) == 1
    assert "no cells" in capsys.readouterr().err
    stored += cells(seeds=(0,))
    assert main(["seed=0", "--out", str(tmp_path), "--table", str(tmp_path / "t.csv"), "--replicates", "3"]) == 0
    assert pl.read_csv(tmp_path / "t.csv", schema=SCHEMA).equals(from_results(cells(seeds=(0,))))
    assert "1 seeds" not in (tmp_path / "curves.md").read_text()
