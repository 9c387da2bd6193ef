"""A detector as a defense of a lab cell, from its YAML to the row: who is found out is shut out."""

from __future__ import annotations

import pytest

from experiments.store.store import Store
from tests.experiments.test_cell import TINY, rows_of, run, table

QUERIES = 200
ONE_SUBJECT = [
    *[word for word in TINY if not word.startswith("budget.")],
    f"budget.queries={QUERIES}",
    f"budget.data={QUERIES}",
    "++budget.mix={chain: 1}",
]
DETECTOR = [
    "defense=mmd_window",
    "defense.mmd_window.window=50",
    "defense.mmd_window.reference=1000",
    "defense.mmd_window.draws=200",
    "defense.mmd_window.benign_requests=12000",
    "defense.mmd_window.landmarks=64",
    "++defense.mmd_window.every_hours=0.5",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Whoever asks of one subject only, without a defense and with a detector, and with one that acts a day later."""
    store = Store(tmp_path_factory.mktemp("store"))
    rows = {
        "none": rows_of(*ONE_SUBJECT, "defense=none")[0],
        "detector": rows_of(*ONE_SUBJECT, *DETECTOR)[0],
        "late": rows_of(*ONE_SUBJECT, *DETECTOR, "++defense.mmd_window.delay_hours=24")[0],
    }
    run(store, list(rows.values()))
    return store, rows


def counts(finished, name):
    store, rows = finished
    row = table(store, rows[name], "row").row(0, named=True)
    return row["accepted"], row["refused"]


def test_the_attacker_is_banned(finished):
    assert counts(finished, "none") == (QUERIES, 0)
    accepted, refused = counts(finished, "detector")
    assert accepted + refused == QUERIES
    assert 50 <= accepted < QUERIES, "not before the first window is full, and before the end"
    store, rows = finished
    learnt = store.get(rows["detector"].student.training_set).arrays("examples")["item"]
    assert learnt.shape == (accepted,)


def test_who_acts_late_shuts_nobody_out(finished):
    assert counts(finished, "late") == (QUERIES, 0)
