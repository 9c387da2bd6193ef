"""What honest users get: a row a defense, and columns only where something was measured."""

from __future__ import annotations

from experiments.measure.cell_result import by_configuration
from experiments.measure.summary import estimated, summarise
from experiments.report.quality_table import quality_table
from tests.experiments.report.cells import one


def table(*cells):
    return quality_table(estimated([summarise(group) for group in by_configuration(list(cells))]))


def defended(seed, attack="imitate", **served):
    return one("antidistillation", ("lam", 0.2), 0.55, 0.79, seed, attack, **served)


def test_each_defense_once_whatever_the_attacks():
    cells = [one("none", None, 0.95, 0.99, seed, attack) for seed in (1, 2) for attack in ("imitate", "adaptive")]
    cells += [defended(seed, attack) for seed in (1, 2) for attack in ("imitate", "adaptive")]
    found = table(*cells)
    assert [row["defense"] for row in found.rows] == ["none", "antidistillation(lam=0.2)"]
    lost = found.rows[1]["drop"]
    assert 0 < lost.value < 0.2, "a fifth of one of several families"
    assert lost.low < lost.value < lost.high


def test_what_was_not_measured_has_no_column():
    bare = table(*[defended(seed) for seed in (1, 2)])
    assert not {"tampering", "dollars", "passes"} & {column.key for column in bare.columns}
    whole = table(*[defended(s, tampering=0.6 + s / 10, extra_passes=2.0, extra_dollars=1e-4) for s in (1, 2)])
    (row,) = whole.rows
    assert row["tampering"].value == 0.75
    assert (row["passes"], row["dollars"]) == (2.0, 1e-4)
    assert {"tampering", "dollars", "passes"} <= {column.key for column in whole.columns}


def test_none_where_nothing_is_defended():
    assert table(*[one("none", None, 0.95, 0.99, seed) for seed in (1, 2)]) is None
