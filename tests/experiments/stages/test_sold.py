"""How far sold probabilities are from the truth: of defenses whose distance is known, through the real gateway."""

from __future__ import annotations

import json

import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.compose.compose import compose_cells
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store
from tests.experiments.test_cell import TINY

WHOLE = ("api=logprobs", "api.top_logprobs=500")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("sold"))


def cell(*words):
    (found,) = compose_cells([*TINY, *words])
    return cell_from(found.config)


def sold(store, *words):
    stage = cell(*words).distance_stage((0,)).sold["0"]
    outcome = LocalEngine(workers=0).run(plan([Wanted(stage, "sold")], store), store, SilentDisplay())
    assert not outcome.failures
    return store.get(stage)


@pytest.mark.parametrize(
    ("words", "l1", "top1"),
    [
        (("defense=none",), 0.0, 1.0),
        (("defense=trace_hidden",), 0.0, 1.0),
        (("defense=top_k", "defense.top_k.k=3"), 0.0, 1.0),
        (("defense=random_vertex", "defense.random_vertex.epsilon=0.5"), 0.5, None),
        (("defense=modelguard_w", "defense.modelguard_w.epsilon=0.02"), 0.02, 1.0),
        (("defense=[trace_truncated,mad]", "defense.mad.epsilon=0.3"), 0.3, None),
        (("defense=stingy", "defense.stingy.k=1"), None, 1.0),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_is_what_the_defense_says(store, words, l1, top1):
    found = sold(store, *WHOLE, *words)
    table = found.table("sold")
    assert table["tokens"].sum() > 100
    assert found.meta["l1"] == pytest.approx(table["l1"].sum() / table["tokens"].sum())
    if l1 is not None:
        assert found.meta["l1"] == pytest.approx(l1, abs=2e-5)
    else:  # all on the first token, from what it had
        assert 0.1 < found.meta["l1"] < 2
    if top1 is not None:
        assert found.meta["top1"] == top1


def test_what_is_not_listed_is_one_class(store):
    part = sold(store, "api=logprobs", "defense=random_vertex").meta["l1"]
    assert 0.1 < part <= 0.5


def test_is_measured_where_a_defense_acts_on_what_is_sold():
    for words, there in (
        (("api=logprobs", "defense=mad"), True),
        (("api=logprobs", "defense=[query_quota,rounding]"), True),
        (("api=logprobs", "defense=none"), False),
        (("api=logprobs", "defense=temperature"), False),
    ):
        row = cell(*words).row_stage()
        assert (row.sold is not None) == there
        assert ("sold" in row.inputs()) == there
    with pytest.raises(ConfigError, match=r"api\.top_logprobs = 0: sells no probabilities"):
        cell("defense=temperature").distance_stage((0,))


def test_a_strength_is_calibrated_to_a_distance(store, tmp_path, capsys):
    words = [*TINY, *WHOLE, f"store={store.root}", f"out={tmp_path}/out", "--workers", "0"]
    assert main(["calibrate", *words, "defense=random_vertex", "l1=0.25", "seed=0", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["strength"] == pytest.approx(0.25, abs=0.005)
    assert found["l1"] == pytest.approx(0.25, abs=0.005)
    assert main(["calibrate", *words, "defense=random_vertex", "l1=0.25", "seed=0"]) == 0
    assert "sells probabilities at an L1 distance of 0.25" in capsys.readouterr().out
    assert main(["calibrate", *words, "defense=modelguard_w", "l1=1.99", "seed=0"]) == 2
    assert "puts what is sold 1.99 from the truth; the largest L1 distance found is" in capsys.readouterr().err


def test_a_row_holds_it(store):
    row = cell("api=logprobs", "defense=modelguard_w", "attack=logprobs").row_stage()
    outcome = LocalEngine(workers=0).run(plan([Wanted(row, "row")], store), store, SilentDisplay())
    assert not outcome.failures
    table = store.get(row).table("row")
    assert 0 < table["sold_l1"].item() < 1
    assert table["sold_top1"].item() == 1
