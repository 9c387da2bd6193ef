"""Whole cells on a tiny recipe: what is shared, what is the same again, what refuses to start."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_cells, compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.stages.row import RowStage, result_of
from experiments.store.store import Store
from student.mini import MiniStudent

TINY = [
    "teacher.recipe.steps=3",
    "student.base_recipe.steps=3",
    "student.recipe.steps=3",
    "budget.queries=60",
    "budget.data=60",
    "measure.heldout=6",
    "measure.harder=2",
    "measure.population.accounts=30",
    "max_tokens=12",
]


def rows_of(*arguments: str) -> list[RowStage]:
    return [cell_from(c.config).row_stage() for c in compose_cells([*TINY, *arguments])]


def run(store: Store, rows: list[RowStage]) -> int:
    graph = plan([Wanted(row, "test") for row in rows], store)
    outcome = LocalEngine(workers=0).run(graph, store, SilentDisplay())
    assert not outcome.failures, Path(outcome.failures[0].traceback).read_text()
    return outcome.done


def table(store: Store, row: RowStage, name: str) -> pl.DataFrame:
    entry = store.get(row)
    assert entry is not None
    return entry.table(name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[RowStage]]:
    store = Store(tmp_path_factory.mktemp("store"))
    rows = [
        *rows_of("defense=none"),
        *rows_of("defense=trace_hidden"),
        *rows_of("defense=query_quota", "defense.query_quota.queries=7"),
    ]
    run(store, rows)
    return store, rows


def test_a_cell_has_all_its_tables(finished):
    store, (none, *_) = finished
    row = table(store, none, "row").to_dicts()[0]
    assert row["asked"] == row["accepted"] == 60
    assert row["refused"] == 0
    assert row["defense"] == "none"
    assert row["honest_drop/all/strict"] == 0
    items = table(store, none, "items")
    assert set(items["model"]) == {"student", "undefended", "self", "base", "teacher"}
    assert set(items["decoding"]) == {"greedy", "sampled"}
    assert set(items["split"]) == {"heldout", "harder"}
    assert table(store, none, "honest").filter(pl.col("defended")).height == 24
    result = result_of(store.get(none))
    assert result.seed == 0
    assert result.cell["settings"]["budget"]["queries"] == 60


def test_the_training_loss_of_a_student_is_stored(finished):
    store, (none, hidden, _) = finished
    for row in (none, hidden):
        losses = store.get(row.student).arrays("training")["loss"]
        assert losses.shape == (3,), "one a step"
        assert (np.isfinite(losses) & (losses > 0)).all()
        told = table(store, row, "row").row(0, named=True)["student_loss"]
        assert told == pytest.approx(float(losses[-1])), "the last tenth of three steps is the last"


def test_an_undefended_cell_is_its_own_twin(finished):
    _, (none, hidden, _) = finished
    assert none.scores["student"].key == none.scores["undefended"].key
    assert hidden.scores["student"].key != hidden.scores["undefended"].key == none.scores["student"].key


def test_limits_cap_what_is_learnt_from(finished):
    store, (*_, quota) = finished
    row = table(store, quota, "row").to_dicts()[0]
    assert row["accepted"] == 7
    assert row["refused"] == 53
    assert store.get(quota.student.training_set).arrays("examples")["item"].shape == (7,)


def test_defenses_after_decoding_share_what_was_generated(finished):
    store, (none, hidden, _) = finished
    responses = [store.get(row.harvest).arrays("responses") for row in (none, hidden)]
    assert len(responses[0]["tokens.values"]) > len(responses[1]["tokens.values"])
    assert (responses[0]["output_tokens"] == responses[1]["output_tokens"]).all()
    drawn = [m["config"]["model"]["decode"] for m in store.manifests("generations")]
    assert drawn.count([]) == len(drawn)
    # Harvests: the pool in full from the teacher and from the base, and what the quota lets through. Honest users: all they
    # ask, and what the quota lets through. Prompts of the provider's own, of which tampering is looked for.
    assert len(drawn) == 3 + 2 + 1


def test_the_same_cell_gives_the_same_bits(finished, tmp_path):
    store, (_, hidden, _) = finished
    other = Store(tmp_path / "other")
    run(other, [hidden])
    for name in ("items", "honest", "row"):
        assert table(store, hidden, name).equals(table(other, hidden, name), null_equal=True)


def test_nothing_is_done_twice(finished):
    store, rows = finished
    assert run(store, rows) == 0


def test_users_are_asked_for_the_attack_only_where_they_meet_it():
    alone, met = (rows_of(f"defense={name}", "budget.accounts=1,2") for name in ("query_quota", "linker"))
    for rows, of_users in ((alone, 1), (met, 2)):
        assert len({row.harvest.key for row in rows}) == 2
        assert len({row.honest.key for row in rows}) == of_users
    assert [row.honest.inputs()["harvest"].key for row in met] == [row.harvest.key for row in met]
    assert len({row.honest_clean.key for row in [*alone, *met]}) == 1
    other = [rows_of(f"defense={name}", "measure.patience=60")[0].harvest.key for name in ("query_quota", "linker")]
    assert (other[0] == alone[0].harvest.key, other[1] == met[0].harvest.key) == (True, False)


def test_all_requests_are_judged_and_a_sample_is_scored(finished):
    store, (none, _, quota) = finished
    load = table(store, quota, "load").to_dicts()
    accounts = store.get(quota.honest).table("accounts")
    everybody = load[0]
    assert everybody["group"] == "everybody"
    assert everybody["requests"] == accounts["requests"].sum() > 500
    assert everybody["refused"] == (accounts["requests"] - 7).clip(lower_bound=0).sum()
    users = table(store, quota, "honest").filter(pl.col("defended"))
    assert users.height == 24
    assert users["item"].n_unique() == 24
    assert set(users["kind"]) <= set(accounts["kind"])
    assert users["percentile"].is_between(0, 100).all()
    row = table(store, quota, "row").row(0, named=True)
    assert row["load_refused/everybody"] == pytest.approx(everybody["refused"] / everybody["requests"])
    assert table(store, none, "load").is_empty(), "nothing is judged where there is no limit"


def test_users_meet_the_attack_where_a_defense_looks_across_accounts(tmp_path):
    store = Store(tmp_path)
    (row,) = rows_of("defense=louvain", "defense.louvain.benign_requests=12000")
    run(store, [row])
    users = table(store, row, "honest").filter(pl.col("defended"))
    assert users.height == 24
    assert (users["status"] == 200).any()
    assert users["output_tokens"].sum() > 0
    assert table(store, row, "load").height > 4
    ledger = store.get(row.harvest).table("ledger")
    assert ledger.height == 60, "what was spent is the attacker's"


def test_strengths_and_the_control_share_a_preparation():
    rows = [
        *rows_of("defense=antidistillation", "defense.antidistillation.lam=0.1,0.2"),
        *rows_of("defense=permuted"),
    ]
    assert len({stage.key for row in rows for stage in row.honest.prepared.values()}) == 1
    assert len({row.honest.key for row in rows}) == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["budget.queries=61"], "budget.queries = 61: needs 61 distinct prompts"),
        (["budget.data=900000"], "budget.data = 900000"),
        (["budget.hours=0.4"], "takes 0.5 hours at budget.rate = 2 requests a minute"),
        (["budget.queries=0"], "budget.queries = 0: must be at least 1"),
        (["++budget.mix={chian: 1}"], "did you mean 'chain'"),
        (["defense=top_k"], "acts on top_logprobs, which the interface 'trace' does not sell"),
        (["api=text", "defense=trace_hidden"], "acts on trace, which the interface 'text' does not sell"),
        (["attack=logprobs"], "needs top_logprobs"),
        (
            ["defense=gumbel", "+defense.again={_target_: defenses.decoding.gumbel.Gumbel}"],
            "defense.again = 'Gumbel': chooses the tokens itself, as gumbel does: only one defense of a stack can",
        ),
        (["task=reasoning_gym"], "can only be trained on task 'mini'"),
        (["seed=-1"], "seed = -1: must be at least 0"),
        (["max_tokens=x"], "max_tokens = 'x': must be a whole number"),
        (["+sead=1"], "is not a part of a cell; did you mean 'seed'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(overrides, message):
    with pytest.raises(ConfigError) as error:
        rows_of(*overrides)
    assert message in str(error.value)


def test_a_part_that_names_itself_is_named_once():
    with pytest.raises(ConfigError) as error:
        rows_of("task=reasoning_gym")
    assert error.value.field == "teacher"


def test_an_attacker_cannot_check_what_he_wants_to_know():
    task = cell_from(compose_cells(TINY)[0].config).task
    assert set(task.families) - set(task.checkable) == {"facts"}


def test_the_order_of_a_stack_matters():
    stacks = ["defense=[trace_truncated,random_errors],[random_errors,trace_truncated]"]
    rows = rows_of(*stacks)
    assert len(rows) == 2
    assert len({row.harvest.key for row in rows}) == len({row.honest.key for row in rows}) == 2


def test_students_whose_weights_cannot_be_stored_again_are_not_refined(monkeypatch):
    monkeypatch.setattr(MiniStudent, "refinable", False)
    with pytest.raises(ConfigError, match=r"attack\.refine = 'rl'"):
        cell_from(compose_one([*TINY, "attack=rl"]).config)
    assert cell_from(compose_one([*TINY, "attack=imitate"]).config).refine == {}


def test_pass_at_k_is_of_as_many_items_as_asked_for_and_nothing_else_depends_on_it():
    of = {n: rows_of("attack=rl", f"measure.pass_items={n}")[0] for n in ("null", 2, 0)}
    assert not of[0].passes
    assert of["null"].passes.keys() == of[2].passes.keys() > {"student", "distilled"}
    assert of["null"].passes["student"].key != of[2].passes["student"].key
    assert {row.refined.key for row in of.values()} == {of[2].refined.key}
    assert {row.honest.key for row in of.values()} == {of[2].honest.key}
    for wrong in (-1, 7):
        with pytest.raises(ConfigError, match=r"pass_items.*null or from 0 to heldout, 6"):
            rows_of(f"measure.pass_items={wrong}")
