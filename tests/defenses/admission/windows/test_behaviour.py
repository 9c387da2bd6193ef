import math
from functools import cache

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from defenses.admission.windows.behaviour import Behaviour
from defenses.admission.windows.habits import FEATURES, Habits
from defenses.base import Traffic
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.schema import Prompts, Requests
from tests.defenses.admission.states import state

P = 300
PROMPTS = Prompts([f"p{i}" for i in range(P)], Ragged.of([]), sketch=np.arange(P, dtype=np.int32))
FAST = {"trees": 15, "folds": 3, "false_alarms": 0.01, "benign_requests": 10}
DEFENSE = Behaviour(**FAST)


def traffic(count, machine, seed, days=3.0):
    """Accounts that ask by day at a human pace, or round the clock at an even one; some of each sort in between."""
    rng = np.random.default_rng(seed)
    accounts = Accounts()
    accounts.open(
        count,
        created=rng.uniform(-200 * DAY, 0, count) if not machine else rng.uniform(-DAY, 0, count),
        payment=np.arange(count) // 5 if machine else None,
        fingerprint=rng.integers(0, 4, count),
    )
    columns = []
    for account in range(count):
        asks = int(rng.integers(25, 70))
        if machine:
            time = np.linspace(0, days * DAY, asks) + rng.normal(0, 200, asks)
            prompt = rng.integers(0, 6, asks)
        else:
            time = rng.integers(0, int(days), asks) * DAY + 3600 * np.clip(rng.normal(14, 3, asks), 0, 23.9)
            prompt = rng.integers(0, P, asks)
        columns.append((np.sort(np.clip(time, 0, days * DAY)), np.full(asks, account), prompt))
    time, who, prompt = (np.concatenate(part) for part in zip(*columns, strict=True))
    order = np.argsort(time, kind="stable")
    size = len(order)
    requests = Requests(
        time[order],
        who[order].astype(np.int32),
        prompt[order].astype(np.int64),
        rng.integers(20, 400, size).astype(np.int32),
        np.zeros(size, np.int64),
    )
    return Traffic(requests, PROMPTS, accounts, rng.integers(5, 300, size).astype(np.int32))


BENIGN, RED = traffic(300, False, 0), traffic(60, True, 1)


@cache
def fitted():
    """What most tests share, fitted when the first one asks for it."""
    return DEFENSE.fit(BENIGN, RED, np.random.default_rng(0))


def watched(seen, found=None, defense=DEFENSE, parts=1):
    at = state(0)
    at.accounts, at.prompts, at.prepared = seen.accounts, seen.prompts, found or fitted()
    for rows in np.array_split(np.arange(len(seen.requests)), parts):
        defense.watch(seen.requests.take(rows), seen.output_tokens[rows], at)
    return at


def test_tells_machines_from_people_it_has_not_seen():
    for machine, least, most in ((True, 0.9, 1.0), (False, 0.0, 0.05)):
        seen = traffic(150, machine, 7 + machine)
        found = DEFENSE.examine(watched(seen), 3 * DAY)
        assert sorted(found.account.tolist()) == list(range(150))
        assert (found.cluster == -1).all()
        assert least <= found.alarm.mean() <= most


def test_false_alarms_are_those_of_trees_that_have_not_seen_the_account():
    """With labels that mean nothing the threshold still lets through the share it promises."""
    red = traffic(60, False, 5)
    found = DEFENSE.fit(BENIGN, red, np.random.default_rng(0))
    rates = [DEFENSE.examine(watched(traffic(150, False, seed), found), 3 * DAY).alarm.mean() for seed in (11, 12, 13)]
    assert np.mean(rates) < 0.05
    trained_on = DEFENSE.examine(watched(red, found), 3 * DAY)
    assert trained_on.alarm.mean() > np.mean(rates), "in-sample scores would have given another threshold"


def by_hand(seen, account, now):
    """Each feature from the account's own requests, in plain arithmetic."""
    rows = np.flatnonzero(seen.requests.account == account)
    time, accounts = seen.requests.time[rows], seen.accounts
    n, hour = len(rows), np.floor(time / 3600).astype(int)
    by_hour = np.bincount(hour % 24, minlength=24) / n
    created = accounts.created[account]
    days = (now - max(created, seen.requests.time.min())) / DAY
    gaps = np.diff(time)
    tokens = [seen.requests.input_tokens[rows].astype(float), seen.output_tokens[rows].astype(float)]
    return {
        "age": math.log((now - created) / DAY),
        "per_day": math.log(n / days),
        "per_active_hour": math.log(n / len(set(hour.tolist()))),
        "active_share": len(set(hour.tolist())) / (hour[-1] - hour[0] + 1),
        "hour_entropy": -sum(p * math.log(p) for p in by_hour if p),
        "quietest_third": min(sum(by_hour[(start + i) % 24] for i in range(8)) for start in range(24)),
        "gap_mean": math.log1p(gaps.mean()),
        "gap_cv": gaps.std() / gaps.mean(),
        "input_mean": math.log1p(tokens[0].mean()),
        "input_cv": tokens[0].std() / tokens[0].mean(),
        "output_mean": math.log1p(tokens[1].mean()),
        "output_cv": tokens[1].std() / tokens[1].mean(),
        "dollars_per_day": math.log1p((3 * tokens[0].sum() + 15 * tokens[1].sum()) / 1e6 / days),
    }


@pytest.mark.parametrize("seen", [BENIGN, RED], ids=["people", "machines"])
@pytest.mark.parametrize("parts", [1, 9])
def test_features_are_what_they_say(seen, parts):
    habits = watched(seen, parts=parts).memory["habits"]
    ids, now = np.array([0, 7, 31]), 3 * DAY
    got = habits.features(ids, seen.accounts, now)
    assert got.shape == (3, len(FEATURES))
    for row, account in enumerate(ids):
        for name, value in by_hand(seen, account, now).items():
            assert got[row, FEATURES.index(name)] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_counts_of_distinct_things():
    accounts = Accounts()
    accounts.open(2, created=0.0)
    n = 40
    requests = Requests(
        np.arange(2 * n) * 1000.0,
        np.repeat([0, 1], n).astype(np.int32),
        np.concatenate([np.zeros(n, int), np.arange(n)]),
        np.full(2 * n, 9, np.int32),
        np.zeros(2 * n, np.int64),
        np.concatenate([np.full(n, 3), np.arange(n) // 4]).astype(np.int32),
    )
    habits = watched(Traffic(requests, PROMPTS, accounts, np.full(2 * n, 9, np.int32))).memory["habits"]
    same, many = (
        dict(zip(FEATURES, row.tolist(), strict=True)) for row in habits.features(np.arange(2), accounts, DAY)
    )
    assert same["templates"] == pytest.approx(1 / n, rel=0.02)
    assert many["templates"] == pytest.approx(1.0, rel=0.3)
    assert (same["top_template"], same["template_entropy"]) == (1.0, 0.0)
    assert many["top_template"] < 0.3
    assert same["networks"] == pytest.approx(1, rel=0.02)
    assert many["networks"] == pytest.approx(10, rel=0.3)
    assert same["first_day"] == pytest.approx(1.0), "all of the first day is an average day"


def test_habits_start_afresh_after_the_window():
    habits, at = Habits(DAY), watched(BENIGN)
    take = BENIGN.requests.take
    for low, high, begun in ((0.0, 0.5, 0.0), (0.5, 0.9, 0.0), (1.5, 2.0, 1.5)):
        rows = np.flatnonzero((BENIGN.requests.time >= low * DAY) & (BENIGN.requests.time < high * DAY))
        habits.add(take(rows), BENIGN.output_tokens[rows], at)
        assert habits.since >= begun * DAY
    assert habits.sums[:, 0].sum() == len(rows)


def test_only_accounts_with_news_and_enough_requests_are_judged():
    at = watched(BENIGN)
    assert len(DEFENSE.examine(at, 3 * DAY).account) == 300
    assert len(DEFENSE.examine(at, 3 * DAY).account) == 0
    few = Traffic(BENIGN.requests.take(np.arange(50)), PROMPTS, BENIGN.accounts, BENIGN.output_tokens[:50])
    assert len(DEFENSE.examine(watched(few), 3 * DAY).account) == 0


def test_same_data_same_scores_and_tensors_are_enough():
    found, again = fitted(), DEFENSE.fit(BENIGN, RED, np.random.default_rng(0))
    assert all(torch.equal(found[name], again[name]) for name in found)
    copied = {name: tensor.clone() for name, tensor in found.items()}
    scores = [DEFENSE.examine(watched(RED, each), 3 * DAY).score for each in (found, copied)]
    np.testing.assert_array_equal(*scores)


def test_who_is_genuine_does_not_matter():
    one, other = traffic(40, True, 3), traffic(40, True, 3)
    other.accounts.genuine[:] = False
    scores = [DEFENSE.examine(watched(seen), 3 * DAY).score for seen in (one, other)]
    np.testing.assert_array_equal(*scores)


def test_too_few_accounts_says_how_many_are_needed():
    with pytest.raises(ConfigError, match=r"at least 1000 benign accounts .* there are 300"):
        Behaviour(benign_requests=10).fit(BENIGN, RED, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="red team"):
        DEFENSE.fit(BENIGN, traffic(10, True, 0), np.random.default_rng(0))


@pytest.mark.parametrize(
    "fields",
    [
        {"false_alarms": 0},
        {"least_requests": 1},
        {"folds": 1},
        {"window_hours": 0},
        {"most_accounts": 999},
        {"trees": 0},
    ],
)
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Behaviour(**fields)
