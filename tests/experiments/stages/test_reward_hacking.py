"""A checker that can be fooled: the attacker sees his rewards rise, the held-out score is the task's own."""

from __future__ import annotations

from dataclasses import replace

from attacks.refine.rft import RFT
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store
from tests.experiments.test_cell import TINY

CELL = cell_from(compose_one([*TINY, "attack.harvest.repeats=1"]).config)


def test_what_the_attacker_takes_for_right_is_not_scored_as_right(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.stages.refine.checker", lambda *_: lambda item, text: True)
    store = Store(tmp_path)
    row = replace(CELL, refine={"rft": RFT(samples=1, rounds=1)}).row_stage()
    outcome = LocalEngine(workers=0).run(plan([Wanted(row, "test")], store), store, SilentDisplay())
    assert not outcome.failures, outcome.failures[0].traceback.read_text()
    assert store.get(row.refined).arrays("refining")["curve"].tolist() == [1.0], "all is right, he thinks"
    assert store.get(row.refined).meta["own_samples"] > 0
    told = store.get(row.scores["student"]).table("items")
    assert told.height > 0
    assert told["strict"].mean() < 0.5
