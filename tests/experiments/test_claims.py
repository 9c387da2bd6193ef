"""The world as it is meant to behave, on whole cells: run with `make test-slow` (about five minutes on two cores)."""

import polars as pl
import pytest

from experiments.cell_from import cell_from
from experiments.compose.compose import compose_cells
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store

pytestmark = pytest.mark.slow

GRID = {
    "none": ["defense=none"],
    "hidden": ["defense=trace_hidden"],
    "quota": ["defense=query_quota"],
    "ads": ["defense=antidistillation", "defense.antidistillation.lam=0.2"],
    "permuted": ["defense=permuted", "defense.permuted.lam=0.4"],
    "active": ["attack=adaptive", "budget.queries=1064"],
    "passive": ["attack=clean", "budget.queries=1064"],
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    store = Store(tmp_path_factory.mktemp("store"))
    stages = {n: cell_from(compose_cells(line)[0].config).row_stage() for n, line in GRID.items()}
    graph = plan([Wanted(stage, name) for name, stage in stages.items()], store)
    outcome = LocalEngine().run(graph, store, SilentDisplay())
    assert not outcome.failures, outcome.failures
    found = {}
    for name, stage in stages.items():
        entry = store.get(stage)
        assert entry is not None
        table: pl.DataFrame = entry.table("row")
        found[name] = table.to_dicts()[0]
    return found


def test_the_teacher_knows_and_the_base_does_not(rows):
    for family in ("chain", "code", "facts", "tool"):
        assert rows["none"][f"T_clean/{family}/sampled/strict"] > 0.93
        assert rows["none"][f"S_base/{family}/greedy/strict"] < 0.2
        assert rows["none"][f"S_self/{family}/greedy/strict"] < 0.2


def test_hiding_the_trace_takes_reasoning_and_leaves_coding(rows):
    assert rows["none"]["transfer/chain/greedy/strict"] > 0.85
    assert rows["hidden"]["transfer/chain/greedy/strict"] < 0.15
    assert rows["hidden"]["transfer/code/greedy/strict"] > 0.9


def test_limits_cap_transfer_by_volume(rows):
    assert rows["quota"]["accepted"] == 500
    assert rows["quota"]["transfer/pooled/greedy/strict"] < rows["none"]["transfer/pooled/greedy/strict"] - 0.1
    assert 0.05 < rows["quota"]["refusals/all"] < 0.6, "heavy honest users pay for it too"


def test_antidistillation_costs_the_student_more_than_its_control_at_a_larger_teacher_drop(rows):
    assert rows["ads"]["T_def/all/strict"] > rows["permuted"]["T_def/all/strict"]
    assert rows["ads"]["S_def/chain/greedy/strict"] < rows["permuted"]["S_def/chain/greedy/strict"] - 0.1


def test_active_and_random_harvests_spend_the_same_budget(rows):
    assert rows["active"]["asked"] == rows["passive"]["asked"] == 1064
    assert rows["active"]["transfer/pooled/greedy/strict"] > 0.3
