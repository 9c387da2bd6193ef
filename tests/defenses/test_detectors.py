"""What every detector in ``configs/defense`` promises, and every defense that judges requests, whoever wrote it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from configs.errors import ConfigError
from defenses.admission.detector import Detector
from defenses.admission.identity.verification import Verification
from defenses.base import AdmissionState, Preparation, hooks_of
from teacher.api.admission import Admission
from teacher.api.clock import DAY, VirtualClock
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import FORBIDDEN, OK
from tests.defenses.admission import detected
from tests.defenses.test_contract import DEFENSES, defense_of

ADMITTING = [name for name in DEFENSES if "admit" in hooks_of(defense_of(name))]
DETECTORS = [name for name in ADMITTING if isinstance(defense_of(name), Detector)]
OTHERS = [name for name in ADMITTING if name not in DETECTORS]


@cache
def small(name):
    return detected.smaller(name, defense_of(name)) if name in DETECTORS else defense_of(name)


def prepared_on(name, benign, red_team, seed=5):
    defense = small(name)
    if "prepare" not in hooks_of(defense):
        return {}
    nobody = lambda *_: pytest.fail("a model was asked for")  # noqa: E731
    rng = np.random.default_rng(seed)
    return defense.prepare(Preparation(None, nobody, nobody, rng, lambda _: benign, lambda _: red_team))


@cache
def prepared(name):
    return prepared_on(name, detected.benign(), detected.red_team())


def state_of(name, traffic, found=None):
    found = prepared(name) if found is None else found
    accounts = copy.deepcopy(traffic.accounts)
    return AdmissionState(Ledger(), {}, accounts, Prices(), 64, traffic.prompts, found)


def shown(name, state, traffic, rows=None):
    """Watch some rows of traffic."""
    rows = np.arange(len(traffic.requests)) if rows is None else rows
    small(name).watch(traffic.requests.take(rows), traffic.output_tokens[rows], state)
    return float(traffic.requests.time[rows].max(initial=0.0))


def suspicion(name, traffic, found=None):
    state = state_of(name, traffic, found)
    return small(name).examine(state, shown(name, state, traffic))


def assert_sound(found, accounts):
    size = {len(column) for column in found}
    assert len(size) == 1
    assert found.account.dtype == np.int32
    assert found.alarm.dtype == np.bool_
    assert len(np.unique(found.account)) == len(found.account)
    assert ((found.account >= 0) & (found.account < len(accounts))).all()
    assert np.isfinite(found.score).all()
    assert (found.cluster >= -1).all()


def assert_same(first, second):
    for name, a, b in zip(first._fields, first, second, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_all_of_them_are_here():
    assert set(DETECTORS) >= {"mmd_window", "prada", "seat", "hoda", "behaviour"}
    assert set(DETECTORS) >= {"linker", "fraudar", "louvain", "sybilrank"}
    assert set(OTHERS) >= {"verification", "proof_of_work", "token_bucket", "anthropic_tiers", "openai_tiers"}


@pytest.mark.parametrize("name", DETECTORS)
def test_what_was_watched_is_examined_soundly(name):
    traffic = detected.present()
    found = suspicion(name, traffic)
    assert_sound(found, traffic.accounts)
    assert len(found.account), "there was something to say about somebody"
    assert set(found.account.tolist()) <= set(traffic.requests.account.tolist())


@pytest.mark.parametrize("name", DETECTORS)
def test_a_crude_attack_is_found_and_few_honest_accounts_with_it(name):
    found = suspicion(name, detected.present())
    guilty = found.account[found.alarm]
    assert set(detected.HONEST + np.arange(detected.ATTACKERS)) <= set(guilty.tolist())
    assert (guilty < detected.HONEST).sum() <= 0.1 * detected.HONEST


@pytest.mark.parametrize("name", DETECTORS)
def test_nobody_is_suspected_where_nothing_was_watched(name):
    traffic = detected.present()
    state = state_of(name, traffic)
    assert_sound(small(name).examine(state, 0.0), traffic.accounts)
    assert not len(small(name).examine(state, 3600.0).account)
    shown(name, state, traffic, np.zeros(0, np.int64))
    assert not len(small(name).examine(state, 7200.0).account)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_again_gives_the_same(name):
    again = prepared_on(name, detected.benign(), detected.red_team())
    assert prepared(name).keys() == again.keys()
    for key, value in prepared(name).items():
        assert torch.equal(value, again[key]), key
    assert_same(suspicion(name, detected.present()), suspicion(name, detected.present(), again))


@pytest.mark.parametrize("name", DETECTORS)
def test_what_was_fitted_can_be_stored(name):
    stored = load(save({key: value.contiguous() for key, value in prepared(name).items()}))
    assert_same(suspicion(name, detected.present()), suspicion(name, detected.present(), stored))


@pytest.mark.parametrize("name", DETECTORS)
def test_how_a_day_of_requests_is_cut_changes_nothing(name):
    traffic = detected.present()
    today = np.flatnonzero(traffic.requests.time >= 6 * DAY)
    whole, pieces = state_of(name, traffic), state_of(name, traffic)
    now = shown(name, whole, traffic, today)
    for rows in np.array_split(today, 5):
        shown(name, pieces, traffic, rows)
    a, b = (small(name).examine(state, now) for state in (whole, pieces))
    assert len(a.account)
    for column in ("account", "alarm"):  # groups of equal worth may be found in another order
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
    np.testing.assert_allclose(a.score, b.score, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_accounts_that_are_opened_later_are_judged_too(name):
    traffic = detected.present()
    state, late = state_of(name, traffic), detected.HONEST + np.arange(detected.ATTACKERS)
    before = np.flatnonzero(~np.isin(traffic.requests.account, late))
    for column in vars(state.accounts):
        setattr(state.accounts, column, getattr(state.accounts, column)[: detected.HONEST])
    now = shown(name, state, traffic, before)
    assert_sound(small(name).examine(state, now), state.accounts)
    state.accounts.open(detected.ATTACKERS, payment=np.full(detected.ATTACKERS, 10_000), genuine=False)
    now = max(now, shown(name, state, traffic, np.setdiff1d(np.arange(len(traffic.requests)), before)))
    found = small(name).examine(state, now)
    assert_sound(found, state.accounts)
    assert set(found.account.tolist()) & set(late.tolist())


@pytest.mark.parametrize("name", DETECTORS)
def test_identities_are_not_looked_at(name):
    sides = [detected.flipped(t) for t in (detected.benign(), detected.red_team(), detected.present())]
    other = prepared_on(name, *sides[:2])
    for key, value in prepared(name).items():
        assert torch.equal(value, other[key]), key
    assert_same(suspicion(name, detected.present()), suspicion(name, sides[2], other))


@pytest.mark.parametrize("name", [n for n in DETECTORS if "prepare" in hooks_of(defense_of(n)) and n != "linker"])
def test_too_little_past_traffic_is_refused(name):
    benign = detected.benign()
    few = benign._replace(requests=benign.requests.take(np.arange(5)), output_tokens=benign.output_tokens[:5])
    with pytest.raises(ConfigError):
        prepared_on(name, few, detected.red_team())


def judged(name, traffic, rows, cuts):
    """Statuses and reasons of these requests through `Admission`, in as many batches."""
    found = {name: prepared(name)}
    accounts = copy.deepcopy(traffic.accounts)
    at = Admission({name: small(name)}, accounts, Prices(), VirtualClock(), Ledger(), 3, found)
    said = []
    for batch in np.array_split(rows, cuts):
        verdicts = at.judge(traffic.requests.take(batch), traffic.prompts, 64)
        assert len(verdicts.status) == len(verdicts.reason) == len(verdicts.retry_after) == len(batch)
        said += list(zip(verdicts.status.tolist(), verdicts.reason.tolist(), strict=True))
    return said


@pytest.mark.parametrize("name", ADMITTING)
@pytest.mark.parametrize("form", ["all", "one by one", "empty"])
def test_every_request_has_a_verdict(name, form):
    traffic = detected.present()
    rows = np.arange(len(traffic.requests) - 400, len(traffic.requests))
    rows = rows[:0] if form == "empty" else rows
    said = judged(name, traffic, rows, len(rows) if form == "one by one" else 1)
    assert len(said) == len(rows)
    assert all((status == OK) == (reason == "") for status, reason in said)
    if name in DETECTORS:
        assert set(said) <= {(OK, ""), (FORBIDDEN, "suspected")}


@pytest.mark.parametrize("name", DETECTORS)
def test_who_is_marked_is_answered_and_is_who_would_have_been_refused(name):
    """Until the examination after the first one that finds somebody: from then on a detector that marks has seen more."""
    traffic = detected.present()
    said = {}
    for action in ("refuse", "mark"):
        detector, state = replace(small(name), action=action), state_of(name, traffic)
        said[action] = detector.admit(traffic.requests, state)
        found = len(detector.shut_out(state.memory)) > 0
        assert found == (action == "refuse" and name != "hoda"), "lengths of answers are not known at admission"
    refused, marked = ~said["refuse"].ok, said["mark"].marked
    assert said["mark"].ok.all()
    assert not said["refuse"].marked.any()
    assert refused.any() == marked.any() == (name != "hoda")
    first = float(traffic.requests.time[refused].min(initial=traffic.requests.time[-1]))
    early = traffic.requests.time < (first // 3600.0 + 1.0) * 3600.0
    np.testing.assert_array_equal(refused[early], marked[early])


def test_an_action_is_one_of_two():
    with pytest.raises(ConfigError, match=r"detector.action"):
        replace(small("prada"), action="ban")


@pytest.mark.parametrize("name", ADMITTING)
def test_requests_are_judged_one_by_one_as_all_at_once(name):
    traffic = detected.present()
    rows = np.arange(len(traffic.requests) - 400, len(traffic.requests))
    assert judged(name, traffic, rows, 400) == judged(name, traffic, rows, 1)


@pytest.mark.parametrize("name", ADMITTING)
def test_only_an_identity_check_asks_who_it_is(name):
    rows = np.arange(len(detected.present().requests))
    true, false = (judged(name, t, rows, 4) for t in (detected.present(), detected.flipped(detected.present())))
    assert (true != false) == isinstance(defense_of(name), Verification)
