"""The verdicts on a window detector, from alarms whose rates are known, and the windows that are measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from defenses.admission.windows.mmd_window import MMDWindow
from experiments.campaign.world.library import library
from experiments.cell_from import cell_from
from experiments.claims.reporting import claim_of
from experiments.claims.windows_stage import DISTIL, HONEST, SCHEMA, WindowsStage, mixed, pooled
from experiments.compose.compose import compose_one
from experiments.store.stage import Context
from lm.seeds import derived_seed
from tests.experiments.test_cell import TINY

SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    100: {0.0: 0.05, 0.05: 0.055, 0.1: 0.1, 0.25: 0.76},
    500: {0.0: 0.05, 0.05: 0.3, 0.1: 0.8, 0.25: 1.0},
    1500: {0.0: 0.05, 0.05: 0.74, 0.1: 0.94, 0.25: 1.0},
}
"""By window and share, a detector as the claim says one is."""
EVERYTHING = {n: dict.fromkeys(row, 1.0) for n, row in PAPER.items()}
NOTHING = {n: dict.fromkeys(row, 0.05) for n, row in PAPER.items()}
BACKWARDS = {
    n: {0.0: 0.4, 0.05: at_small, 0.1: at_small, 0.25: 0.1} for n, at_small in ((100, 0.45), (500, 0.3), (1500, 0.2))
}


def but(of, **changed):
    """The same rates but for some, as ``n100={share: rate}``."""
    return {n: {**row, **changed.get(f"n{n}", {})} for n, row in of.items()}


def measured(rates, seeds=SEEDS, trials=1000, nominal=0.05):
    """What the stage tables: scores over 1 in a share of the windows, one or two more or fewer by seed."""
    tables = []
    for seed in seeds:
        for window, row in rates.items():
            for share, rate in row.items():
                alarms = int(np.clip(round(rate * trials) + (seed % 3 - 1) * (0 < rate < 1), 0, trials))
                score = np.where(np.arange(trials) < alarms, 1.5, 0.5)
                told = {"seed": seed, "window": window, "nominal": nominal, "share": share, "group": "distil.x"}
                columns = {name: [value] * trials for name, value in told.items()}
                tables.append(pl.DataFrame({**columns, "score": score}, schema=SCHEMA))
    cells = {}
    for table in tables:
        cells.setdefault(table.select("seed", "window").row(0), []).append(table)
    return [pl.concat(own) for own in cells.values()]


ALL = {kind: {"supports"} for kind in ("false", "blind", "most", "share", "window")}
"""What each kind of evidence says of such a detector."""


@pytest.mark.parametrize(
    ("rates", "seeds", "verdict", "said"),
    [
        (PAPER, SEEDS, "holds", {}),
        (but(PAPER, n500={0.0: 0.15}), SEEDS, "partly", {"false": {"supports", "contradicts"}}),
        (but(PAPER, n1500={0.0: 0.005}), SEEDS, "partly", {"false": {"supports", "contradicts"}}),
        (but(PAPER, n100={0.05: 0.003}), SEEDS, "holds", {}),
        (but(PAPER, n100={0.05: 0.3}), SEEDS, "partly", {"blind": {"contradicts"}}),
        (but(PAPER, n100={0.05: 0.1}), SEEDS, "undecided", {"blind": {"open"}}),
        (but(PAPER, n1500={0.05: 0.4}), SEEDS, "partly", {"most": {"contradicts"}}),
        (but(PAPER, n1500={0.05: 0.5}), SEEDS, "undecided", {"most": {"open"}}),
        (but(PAPER, n500={0.25: 0.06}), SEEDS, "partly", {"share": {"supports", "contradicts"}}),
        (but(PAPER, n100={0.1: 0.94}), SEEDS, "partly", {"window": {"supports", "contradicts"}}),
        (
            EVERYTHING,
            SEEDS,
            "partly",
            {k: {"contradicts"} for k in ("false", "blind", "share", "window")},
        ),
        (NOTHING, SEEDS, "partly", {k: {"contradicts"} for k in ("most", "share", "window")}),
        (BACKWARDS, SEEDS, "fails", {k: {"contradicts"} for k in ALL}),
        (PAPER, (0,), "undecided", {k: {"open"} for k in ALL}),
        ({n: PAPER[n] for n in (100, 500)}, SEEDS, "undecided", {"most": {"open"}, "window": {"open"}}),
    ],
    ids=[
        "as published",
        "false alarms",
        "too few false alarms",
        "quite blind",
        "sees short windows",
        "who knows if blind",
        "misses most",
        "half",
        "sees no share",
        "sees at once",
        "everything",
        "nothing",
        "backwards",
        "one seed",
        "no long windows",
    ],
)
def test_verdicts(rates, seeds, verdict, said):
    claim = claim_of("window_detector")
    tables = measured(rates, seeds)
    finding = claim.judge_tables(tables)
    kinds = ["false"] * len(rates) + ["blind", "most"] + ["share"] * len(rates) + ["window"] * 2
    found = {kind: {g.says for k, g in zip(kinds, finding.evidence, strict=True) if k == kind} for kind in ALL}
    assert found == {**ALL, **said}, finding.evidence
    assert finding.verdict == verdict
    again = claim.judge_tables(tables[::-1])
    assert (again.evidence, again.table) == (finding.evidence, finding.table), "whatever comes first"


def test_the_table_has_a_line_for_each_window():
    finding = claim_of("window_detector").judge_tables(measured(PAPER))
    assert [row["window"] for row in finding.table.rows] == ["100", "500", "1,500"]
    for row, rates in zip(finding.table.rows, PAPER.values(), strict=True):
        assert [row[f"{share:g}"].value for share in rates] == pytest.approx(list(rates.values()), abs=3e-4)
    estimate = finding.evidence[4].found.estimate
    assert estimate.value == pytest.approx(0.24, abs=1e-3)
    assert finding.sentence.startswith("Alarms on honest windows less the nominal share: ")


def test_tables_of_several_detectors_are_refused():
    claim = claim_of("window_detector")
    with pytest.raises(ConfigError, match="several detectors"):
        claim.judge_tables(measured(PAPER) + measured(PAPER))
    with pytest.raises(ConfigError, match="several quantiles"):
        claim.judge_tables(measured(PAPER) + measured({200: PAPER[100]}, nominal=0.01))


def test_fields_are_checked():
    claim = claim_of("window_detector")
    for field, value, message in (
        ("faint", (), "name at least one"),
        ("faint", (0.1, 0.05), "must rise"),
        ("faint", (0.0,), "must rise"),
        ("heavy", 0.1, "must rise"),
        ("heavy", 1.5, "must rise"),
        ("long", 100, "more than short"),
        ("trials", 1, "at least 2"),
        ("near", 0.0, "between 0 and 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(claim, **{field: value})


def test_a_window_holds_its_share_of_one_group():
    found = library("hashing")
    groups = [name for name in found.groups if name.startswith(DISTIL)]
    turn = [groups[i % len(groups)] for i in range(30)]
    windows = mixed(found, turn, 40, 0.1, np.random.default_rng(0))
    assert windows.shape == (30, 40)
    names = np.array(found.groups)[found.group[windows]]
    for group, row in zip(turn, names, strict=True):
        assert row[:4].tolist() == [group] * 4
        assert set(row[4:]) <= set(HONEST)
    counts = [np.mean(names[:, 4:] == name) for name in HONEST]
    assert counts == pytest.approx([1 / len(HONEST)] * len(HONEST), abs=0.06)
    honest = mixed(found, turn, 40, 0.0, np.random.default_rng(0))
    assert not np.isin(np.array(found.groups)[found.group[honest]], groups).any()


def small(window: int = 30, seed: int = 1, shares: tuple[float, ...] = (0.0, 1.0)) -> WindowsStage:
    detector = MMDWindow(window=window, reference=2000, draws=200, landmarks=64, features=32)
    return WindowsStage(detector, "hashing", shares, 40, seed)


def ran(stage: WindowsStage) -> pl.DataFrame:
    return stage.run(Context({}, None, lambda *told: None)).tables["measured"]


def test_what_is_measured():
    table = ran(small())
    assert table.schema == pl.Schema(SCHEMA)
    assert table.select("seed", "window", "nominal").unique().row(0) == (1, 30, pytest.approx(0.05))
    assert table["share"].to_list() == [0.0] * 40 + [1.0] * 40
    honest, pure = (table.filter(pl.col("share") == share) for share in (0.0, 1.0))
    assert honest["group"].unique().to_list() == [""]
    assert pure["group"].n_unique() == 9
    assert (honest["score"] > 1).mean() < 0.2
    assert (pure["score"] > 1).mean() > 0.9
    assert ran(small()).equals(table), "the same seed"
    assert not ran(small(seed=2))["score"].equals(table["score"]), "a seed is another draw"


def test_scores_are_those_of_the_detector():
    """Fitted and asked by hand, on the same draws."""
    stage, found = small(shares=(0.0,)), library("hashing")
    rng = np.random.default_rng(derived_seed(1, "windows", "30"))
    prepared = stage.detector.fit(pooled(found, 2000 + 200 * 30, rng), None, rng)
    windows = mixed(found, [""] * 40, 30, 0.0, rng)
    score = stage.detector.judge(windows, found.prompts, prepared, {}) / float(prepared["threshold"])
    np.testing.assert_array_equal(ran(stage)["score"].to_numpy(), score)


def test_every_choice_is_in_the_key():
    stage = small()
    others = [
        replace(stage, seed=2),
        replace(stage, trials=41),
        replace(stage, shares=(0.0, 0.5)),
        replace(stage, encoder="minilm"),
        replace(stage, detector=replace(stage.detector, window=31)),
    ]
    assert len({each.key for each in (stage, *others)}) == 1 + len(others)
    assert small().key == stage.key


def test_the_detector_is_that_of_the_cell():
    claim = claim_of("window_detector")
    cell = cell_from(compose_one([*TINY, "seed=3", "defense=mmd_window", "defense.mmd_window.window=500"]).config)
    stage = claim.measurement(cell)
    assert (stage.detector.window, stage.seed, stage.shares) == (500, 3, (0.0, 0.05, 0.1, 0.25))
    with pytest.raises(ConfigError, match=r"claim\.detector = 'mmd_window'.*serves no cell"):
        claim.measurement(cell_from(compose_one([*TINY, "defense=none"]).config))
    with pytest.raises(ConfigError, match=r"claim\.detector = 'temperature'.*is a Temperature"):
        replace(claim, detector="temperature").measurement(
            cell_from(compose_one([*TINY, "defense=temperature"]).config)
        )
