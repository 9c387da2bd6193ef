"""A student's answers, judged by a real model behind the real gateway."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.harvest.approved import Approved, best, verdicts
from configs.errors import ConfigError
from tests.attacks.harvest.test_on_policy import LATER, SOLD, STUDENT, TEACHER, run
from tests.attacks.test_contract import EVERYTHING
from tests.attacks.world import client, harvest_context, pool


def test_the_answer_that_the_teacher_finds_most_probable_is_kept(tmp_path):
    client, fits, go = run(tmp_path, Approved(0.5, draws=2, keep=1.0))
    kept = {}
    score = client.score
    client.score = lambda items, said: kept.setdefault("all", score(items, said))
    got = go()
    assert client.remaining == 0
    assert [(len(rows), start) for rows, start in fits] == [(20, STUDENT)]
    judged, own = kept["all"], got.take(np.arange(20, len(got)))
    assert got.findings == {"answers_judged": 20, "answers_kept": 10}
    assert len(set(own.item.tolist())) == 10
    assert not set(own.item.tolist()) & set(got.item[:20].tolist())
    scores = TEACHER.score(client.prompts.tokens.take(judged.item), judged.responses.tokens)
    mean = np.bincount(judged.responses.tokens.row_of_value, scores.logprob) / judged.responses.tokens.lengths
    np.testing.assert_allclose(verdicts(judged), mean, atol=1e-4)
    for row, item in enumerate(own.item):
        pair = np.flatnonzero(judged.item == item)
        top = pair[mean[pair].argmax()]
        assert own.responses.tokens[row].tolist() == judged.responses.tokens[top].tolist()


def test_they_are_the_fitted_students_own(tmp_path):
    _, _, go = run(tmp_path, Approved(0.5, draws=1, keep=1.0))
    one = go()
    assert LATER is not STUDENT
    own = one.take(np.arange(20, 40))
    asked = STUDENT.encode_prompts([f"{i // 6} rev {i % 6}" for i in own.item])
    by = {lm: lm.score(asked, own.responses.tokens).logprob.sum() for lm in (LATER, STUDENT)}
    assert by[LATER] > by[STUDENT]


@pytest.mark.parametrize(("keep", "count"), [(1.0, 10), (0.5, 5), (0.01, 1)])
def test_the_best_share_is_kept_in_order(tmp_path, keep, count):
    _, _, go = run(tmp_path, Approved(0.5, draws=2, keep=keep))
    got = go()
    assert len(got) == 20 + count
    assert (np.diff(got.responses.request) > 0).all()


def test_each_family_keeps_its_share():
    owned = pool({"chain": 30, "code": 30})
    judged = client(owned, 40, EVERYTHING).ask(np.arange(10, 50))
    judged.responses.logprob[:] = -np.arange(len(judged.responses.logprob))
    rows = best(judged, owned.family[judged.item], 0.2)
    assert rows.tolist() == [0, 1, 2, 3, 20, 21, 22, 23]
    judged.responses.logprob[:] = np.nan
    assert len(best(judged, owned.family[judged.item], 0.2)) == 0


def test_a_budget_that_leaves_nothing_to_judge():
    owned = pool({"chain": 30})
    got = Approved(0.9, draws=8).run(client(owned, 5, EVERYTHING), owned, harvest_context())
    assert len(got) == 5
    assert got.findings["answers_judged"] == 0


@pytest.mark.parametrize("lacks", [{"prompt_scoring": False}, {"top_logprobs": 0}])
def test_what_is_not_sold_is_said_before_anything_is_spent(tmp_path, lacks):
    client, _, go = run(tmp_path, Approved(), replace(SOLD, **lacks))
    with pytest.raises(ConfigError, match=f"api.{next(iter(lacks))}"):
        go()
    assert client.remaining == 40


@pytest.mark.parametrize(
    "bad", [{"initial": 0.0}, {"initial": 1.0}, {"draws": 0}, {"keep": 0.0}, {"own_temperature": 0.0}]
)
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Approved(**bad)
