"""LADS: one account sees independent draws of the model's own distribution, all accounts see the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from defenses.base import Serving
from defenses.decoding.lads import LADS, streams
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model

TEACHER = model(seed=1)
PROMPT = [1, 5, 6]


def drawn(facts, prompts=None, seed=3, tau=1.0, most=1, order=None):
    rows = [PROMPT] * len(facts) if prompts is None else prompts
    order = np.arange(len(facts)) if order is None else order
    facts = facts.take(order)
    seeds = LADS().seeds(Serving(TEACHER, seed=seed), facts)
    return TEACHER.generate(Ragged.of(rows).take(order), Sampling(tau, most), seeds).tokens


def facts(n, **columns):
    return asked(n, length=len(PROMPT), **columns)


@torch.no_grad()
def probabilities(ids, tau=1.0):
    return (TEACHER.model(input_ids=torch.tensor([ids])).logits[0, -1] / tau).softmax(-1).double().numpy()


def fits(tokens, expected, least=0.001):
    """Whether tokens look drawn from these probabilities, rare ones in one cell (chi-square)."""
    rare = expected * len(tokens) < 5
    counts = np.bincount(tokens, minlength=len(expected))
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum()) * len(tokens)
    keep = wanted > 0
    return stats.chisquare(observed[keep], wanted[keep] * observed.sum() / wanted[keep].sum()).pvalue > least


@pytest.mark.parametrize("tau", [1.0, 0.6])
def test_over_visits_an_account_sees_the_models_own_distribution(tau):
    n = 4000
    tokens = drawn(facts(n, visit=np.arange(n), temperature=np.full(n, tau)), tau=np.full(n, tau)).values
    assert fits(tokens, probabilities(PROMPT, tau))
    assert not fits(tokens, probabilities(PROMPT, 2.5)), "and the test can tell"
    pairs = tokens[:-1].astype(int) * 24 + tokens[1:]
    p = probabilities(PROMPT, tau)
    assert fits(pairs, np.outer(p, p).ravel()), "one visit says nothing of the next"


def test_the_second_token_has_noise_of_its_own():
    n = 4000
    tokens = drawn(facts(n, visit=np.arange(n)), most=2)
    first = np.bincount([row[0] for row in tokens if len(row) == 2]).argmax()
    second = np.array([row[1] for row in tokens if len(row) == 2 and row[0] == first])
    assert fits(second, probabilities([*PROMPT, int(first)]))


def test_accounts_at_the_same_visit_get_the_same_text_and_at_another_visit_another():
    n = 40
    texts = drawn(facts(2 * n, account=np.arange(2 * n) % 2, visit=np.arange(2 * n) // 2), most=10)
    rows = [row.tolist() for row in texts]
    assert rows[::2] == rows[1::2]
    assert len({tuple(row) for row in rows}) > n - 5
    other_secret = [row.tolist() for row in drawn(facts(n, visit=np.arange(n)), most=10, seed=4)]
    other_bucket = [row.tolist() for row in drawn(facts(n, visit=np.arange(n), bucket=1), most=10)]
    for other in (other_secret, other_bucket):
        assert sum(a == b for a, b in zip(rows[::2], other, strict=True)) < 5


def test_the_batch_says_nothing():
    prompts = [PROMPT, [1, 9], [1, 4, 4, 7, 8], PROMPT]
    known = asked(4, account=[0, 0, 0, 1], bucket=[0, 1, 2, 0], visit=[0, 0, 0, 0], length=[3, 2, 5, 3])
    whole = drawn(known, prompts, most=8)
    alone = [drawn(known, prompts, most=8, order=np.array([r]))[0] for r in range(4)]
    assert [row.tolist() for row in whole] == [row.tolist() for row in alone]
    assert whole[0].tolist() == whole[3].tolist()


def test_responses_of_one_request_differ_and_the_first_is_that_of_a_request_for_one():
    known = facts(6, account=[0, 0, 0, 1, 1, 1], visit=0)
    words = streams(3, known)
    assert words[:3].tolist() == words[3:].tolist()
    assert len(set(words[:3].tolist())) == 3
    assert words[0] == streams(3, facts(1, visit=0))[0]
    assert len(streams(3, facts(0))) == 0
    texts = [tuple(row.tolist()) for row in drawn(known, most=10)]
    assert len(set(texts)) == 3
