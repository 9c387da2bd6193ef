import math
from functools import cache

import numpy as np
import pytest

from configs.errors import ConfigError
from defenses.admission.limits.proof_of_work import ProofOfWork
from defenses.base import Preparation, Traffic
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.schema import RATE_LIMITED, Prompts
from tests.defenses.admission.states import judged, state
from tests.teacher.api.fakes import requests

TOPICS, D = 12, 16


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def library(seed=0):
    """40 benign prompts on each of 12 topics, then 200 that are on none."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(TOPICS, D))
    benign = np.repeat(centres, 40, 0) + 0.8 * rng.normal(size=(40 * TOPICS, D))
    embedding = unit(np.concatenate([benign, rng.normal(size=(200, D))]))
    return Prompts([f"p{i}" for i in range(len(embedding))], Ragged.of([]), embedding=embedding)


PROMPTS = library()


def table(count):
    accounts = Accounts()
    accounts.open(count)
    return accounts


def honest(count=60, each=40, seed=1):
    """Accounts that stay on one to three topics, some busier than others."""
    rng = np.random.default_rng(seed)
    who, prompt = [], []
    for account in range(count):
        topics = rng.choice(TOPICS, rng.integers(1, 4), replace=False)
        asks = int(rng.integers(5, each))
        who += [account] * asks
        prompt += (rng.choice(topics, asks) * 40 + rng.integers(0, 40, asks)).tolist()
    order = rng.permutation(len(who))
    batch = requests(np.arange(len(who)), np.array(who)[order], np.array(prompt)[order])
    return Traffic(batch, PROMPTS, table(count), np.full(len(batch), 9, np.int32))


def preparation(traffic, seed=0):
    return Preparation(None, lambda: None, lambda n: None, np.random.default_rng(seed), benign=lambda n: traffic)


def prepared(defense, traffic=None, seed=0):
    return defense.prepare(preparation(honest() if traffic is None else traffic, seed))


def test_accounts_that_never_asked_are_no_part_of_the_honest_curve():
    traffic = honest()
    idle = Traffic(traffic.requests, traffic.prompts, table(len(traffic.accounts) + 2), *traffic[3:])
    own, other = prepared(ProofOfWork(cells=8), traffic), prepared(ProofOfWork(cells=8), idle)
    assert own.keys() == other.keys()
    assert all(np.array_equal(own[name], other[name]) for name in own)


def opened(accounts, found):
    at = state(accounts)
    at.prompts, at.prepared = PROMPTS, found
    return at


DEFENSE = ProofOfWork(cells=16)


@cache
def found():
    """What most tests share, prepared when the first one asks for it."""
    return prepared(DEFENSE)


@pytest.mark.parametrize("fields", [{}, {"overhead": 1.5, "growth": 3.0}, {"most": 4.0, "answer_seconds": 1.0}])
def test_the_median_honest_account_pays_the_overhead(fields):
    """What calibration promises, replayed through `admit` on the traffic it was calibrated on."""
    defense, past = ProofOfWork(cells=16, **fields), honest()
    at = opened(60, prepared(defense, past))
    assert judged(defense, past.requests, at).ok.all()
    each = at.accounts.work / np.bincount(past.requests.account)
    assert 1 + np.median(each) / defense.answer_seconds == pytest.approx(defense.overhead)
    assert each.max() / each.min() <= defense.most * (1 + 1e-9)
    assert 2 ** defense.bits(at) / defense.hash_rate == pytest.approx(each.min())


def by_hand(defense, found, batch, accounts):
    """The formula of the docstring, a request after the other, with distances to all centres."""
    centres, curve = found["centres"].numpy().astype(float), found["curve"].numpy()
    knots = np.arange(len(curve))
    seen, leaked, asked, work = {}, np.zeros(accounts), np.zeros(accounts), np.zeros(accounts)
    for who, prompt in zip(batch.account.tolist(), batch.prompt.tolist(), strict=True):
        away = np.linalg.norm(centres - PROMPTS.embedding[prompt], axis=1)
        cell = int(away.argmin())
        weight = max(1.0, away[cell] / float(found["typical"][0]))
        leaked[who] += weight / (1 + seen.get((who, cell), 0))
        seen[who, cell] = seen.get((who, cell), 0) + 1
        asked[who] += 1
        at = math.log2(asked[who])
        assert at <= knots[-1]
        expected, spread = (2 ** np.interp(at, knots, curve[:, i]) for i in (0, 1))
        bits = min(math.log2(defense.most), defense.growth * max(0.0, (leaked[who] - expected) / spread))
        work[who] += float(found["base"][0]) * 2**bits
    return work


def test_agrees_with_the_formula():
    rng = np.random.default_rng(5)
    batch = requests(np.arange(150), rng.integers(0, 12, 150), rng.integers(0, len(PROMPTS.texts), 150))
    at = opened(12, found())
    parts = np.array_split(np.arange(150), [1, 2, 70])
    for part in parts:
        assert judged(DEFENSE, batch.take(part), at).ok.all()
    np.testing.assert_allclose(at.accounts.work, by_hand(DEFENSE, found(), batch, 12), rtol=1e-5)


def test_new_ground_costs_more_than_old_and_spreading_helps():
    at, count = opened(14, found()), 200
    foreign = np.arange(40 * TOPICS, 40 * TOPICS + count)
    broad = np.random.default_rng(0).permutation(40 * TOPICS)[:count]
    for account, prompt in enumerate([np.zeros(count, int), np.arange(count) % 40, broad, foreign]):
        judged(DEFENSE, requests(np.arange(count), account, prompt), at)
    same, topic, everything, off = at.accounts.work[:4]
    assert same == pytest.approx(count * float(found()["base"][0]))
    assert same <= topic < everything < off
    assert off > 20 * same
    judged(DEFENSE, requests(np.arange(count), 4 + np.arange(count) % 10, foreign), at)
    assert at.accounts.work[4:].sum() < 0.8 * off


def test_difficulty_never_falls_below_the_base_nor_rises_above_the_most():
    at = opened(1, found())
    base, before = float(found()["base"][0]), 0.0
    for i, prompt in enumerate(np.random.default_rng(3).permutation(len(PROMPTS.texts))[:300]):
        judged(DEFENSE, requests([i], 0, [prompt]), at)
        step, before = at.accounts.work[0] - before, at.accounts.work[0]
        assert base * (1 - 1e-9) <= step <= base * DEFENSE.most * (1 + 1e-9)


def test_nobody_waits_longer_than_their_patience():
    patient = float(found()["base"][0]) * 3
    defense = ProofOfWork(cells=16, max_seconds=patient)
    at, foreign = opened(2, found()), np.arange(40 * TOPICS, 40 * TOPICS + 100)
    verdicts = judged(defense, requests(np.arange(100), 0, foreign), at)
    assert set(verdicts.status.tolist()) == {200, RATE_LIMITED}
    assert set(verdicts.reason[~verdicts.ok].tolist()) == {"proof_of_work"}
    assert np.isnan(verdicts.retry_after).all()
    assert at.accounts.work[0] <= patient * verdicts.ok.sum()
    assert judged(defense, requests([100.0], 1, [0]), at).ok.all(), "another account is not affected"


def test_accounts_opened_later_and_other_prompts():
    at = opened(1, found())
    judged(DEFENSE, requests([0.0], 0, [0]), at)
    at.accounts.open(1)
    foreign = np.arange(40 * TOPICS, 40 * TOPICS + 50)
    judged(DEFENSE, requests(np.arange(50), 1, foreign), at)
    order = np.arange(len(PROMPTS.texts))[::-1]
    at.prompts = Prompts([PROMPTS.texts[i] for i in order], Ragged.of([]), embedding=PROMPTS.embedding[order])
    judged(DEFENSE, requests(np.arange(50), 0, np.argsort(order)[np.append(0, foreign[:-1])]), at)
    other = opened(1, found())
    judged(DEFENSE, requests(np.arange(51), 0, np.append([0, 0], foreign[:-1])), other)
    assert at.accounts.work[0] == pytest.approx(other.accounts.work[0])
    assert at.accounts.work[0] != pytest.approx(at.accounts.work[1])


def test_same_seed_same_preparation():
    again = prepared(DEFENSE)
    for name, tensor in found().items():
        assert (tensor == again[name]).all()


@pytest.mark.parametrize(
    "fields", [{"overhead": 1.0}, {"most": 1.0}, {"growth": -1}, {"cells": 1}, {"hash_rate": 0}, {"max_seconds": 0}]
)
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match=f"proof_of_work.{next(iter(fields))}"):
        ProofOfWork(**fields)


def test_too_little_to_calibrate_on():
    with pytest.raises(ConfigError, match=r"benign_requests.*needs at least 20"):
        prepared(DEFENSE, honest(count=19))
    with pytest.raises(ConfigError, match=r"cells.*distinct benign prompts"):
        prepared(ProofOfWork(cells=500))
    with pytest.raises(ConfigError, match=r"hash_rate.*less than one hash"):
        prepared(ProofOfWork(cells=16, hash_rate=0.01))
