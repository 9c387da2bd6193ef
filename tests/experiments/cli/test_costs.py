"""``moatbench costs`` on a store of tiny cells."""

from __future__ import annotations

import csv
import io

import pytest

from experiments.cli import main
from experiments.cli.stored_costs import stored_costs
from experiments.stages import prepare, provider_models
from experiments.stages.prompts import draw, reference_examples
from experiments.store.store import Store
from tests.experiments.test_cell import TINY, rows_of, run

DEFENSES = ("none", "trace_hidden", "query_quota", "temperature", "antidistillation", "product_of_experts")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with all of them, and their rows by defense. References stand for the clean traces of a teacher that knows
    nothing yet."""

    def traces(teacher, lm, n, max_tokens, seed, store):
        return reference_examples(draw(teacher.task, "provider", dict.fromkeys(teacher.task.families, 20), seed), lm)

    store = Store(tmp_path_factory.mktemp("store"))
    rows = {name: rows_of(f"defense={name}")[0] for name in DEFENSES}
    with pytest.MonkeyPatch.context() as patch:
        for user in (prepare, provider_models):
            patch.setattr(user, "clean_traces", traces)
        run(store, list(rows.values()))
    return store, rows


def printed(capsys, store, *words):
    assert main(["costs", *words, f"store={store.root}", "--format", "csv"]) == 0
    return {row["defense"].partition("(")[0]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}


def test_every_defense_has_its_costs(stored, capsys):
    store, rows = stored
    found = printed(capsys, store, f"defense={','.join(DEFENSES)}", *TINY)
    assert list(found) == list(DEFENSES)
    passes = {name: float(row["passes"]) for name, row in found.items()}
    assert passes == pytest.approx(dict.fromkeys(DEFENSES, 0.0) | {"antidistillation": 2, "product_of_experts": 1})
    assert float(found["antidistillation"]["compute"]) == pytest.approx(
        2 * float(found["product_of_experts"]["compute"]), rel=1e-9
    ), "both run models of one shape"
    assert float(found["antidistillation"]["dollars"]) == pytest.approx(
        15 * float(found["antidistillation"]["compute"])
    )
    assert {name for name, row in found.items() if float(row["models"])} == {"product_of_experts"}
    assert (
        float(found["product_of_experts"]["models"])
        == store.get(rows["product_of_experts"].harvest.proxy_student).seconds
    )
    assert {name for name, row in found.items() if float(row["prepare"])} == {"antidistillation"}


def test_what_shares_raw_generations_costs_exactly_nothing_while_sampling(stored, capsys):
    store, _ = stored
    found = printed(capsys, store, f"defense={','.join(DEFENSES)}", *TINY)
    shared = {name for name, row in found.items() if (row["added"], row["ratio"]) == ("0.0", "1.0")}
    assert shared == {"none", "trace_hidden", "query_quota"}
    assert {name for name, row in found.items() if row["hooks"] == "0.0"} == {"none", "query_quota"}
    own, added, ratio = (float(found["antidistillation"][name]) for name in ("own", "added", "ratio"))
    assert own > 0
    assert ratio == pytest.approx(own / (own - added))


def test_sampling_is_seconds_over_tokens_of_the_stored_generations(stored):
    store, rows = stored
    (costs,) = stored_costs([rows["temperature"]], store)
    drawn = [e for e in store.entries("generations") if e.manifest["config"]["model"]["decode"][:1]]
    looked_at = {memo["key"] for memo in store.get(rows["temperature"].tampering).manifest["memos"]}
    own = [e for e in drawn if "'tau'" in str(e.manifest["config"]["model"]["decode"]) and e.key not in looked_at]
    assert len(own) == 2, "the attack's and the honest users'"
    tokens = sum(int((e.arrays("generations")["channel"] != 3).sum()) for e in own)
    assert costs.median("own") == pytest.approx(1e3 * sum(e.seconds for e in own) / tokens)


def test_rows_hold_what_was_counted_and_no_time(stored):
    store, rows = stored
    row = store.get(rows["antidistillation"]).table("row")
    assert row["extra_passes"].item() == pytest.approx(2)
    assert row["extra_compute"].item() == store.get(rows["antidistillation"].costs).meta["extra_compute"]
    assert not [name for name in row.columns if "hook" in name]
    for name in ("none", "query_quota", "trace_hidden", "temperature"):
        assert store.get(rows[name]).table("row")["extra_passes"].item() == 0


def test_all_is_every_stored_row_and_what_is_missing_is_said(stored, capsys, tmp_path):
    store, _ = stored
    every, asked = (printed(capsys, store, *w) for w in (["--all"], [f"defense={','.join(DEFENSES)}", *TINY]))
    assert every == asked
    assert main(["costs", "defense=none", "seed=0,1", *TINY, f"store={store.root}"]) == 0
    shown = capsys.readouterr()
    assert "1 cell not stored yet" in shown.err
    assert "What defenses cost their provider" in shown.out
    assert main(["costs", *TINY, f"store={tmp_path}"]) == 2
    assert "no such rows" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["markdown", "latex"])
def test_formats(stored, capsys, how):
    store, _ = stored
    assert main(["costs", "--all", f"store={store.root}", "--format", how]) == 0
    shown = capsys.readouterr().out
    assert "product" in shown
    assert "Trained once" not in shown, "one defense alone uses the student"
