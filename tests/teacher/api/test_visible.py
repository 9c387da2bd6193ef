import numpy as np
import pytest

from configs.errors import ConfigError
from configs.identity import identity
from lm.types import Channel
from teacher.api.interface import Interface
from teacher.api.schema import Params
from teacher.api.visible import leaked
from tests.teacher.api.fakes import gateway, prompts, requests

LEAKY = Interface("leaky", "none", max_n=8, leak=0.25)
SEEDS = np.arange(4000, dtype=np.int64)


def test_the_share_is_the_rate_and_each_draw_of_a_request_has_its_own():
    shown = leaked(LEAKY, Params(n=2, elicits=True), SEEDS)
    assert len(shown) == 8000
    assert abs(shown.mean() - 0.25) < 0.02
    assert abs((shown[::2] & shown[1::2]).mean() - 1 / 16) < 0.015


def test_it_is_decided_by_the_requests_own_seed():
    params = Params(elicits=True)
    order = np.random.default_rng(0).permutation(4000)
    assert (leaked(LEAKY, params, SEEDS)[order] == leaked(LEAKY, params, SEEDS[order])).all()


def test_only_what_was_asked_for_leaks():
    asked = (np.arange(4000) % 2 == 0).tolist()
    shown = leaked(LEAKY, Params(elicits=asked), SEEDS)
    assert not shown[1::2].any()
    assert (shown[::2] == leaked(LEAKY, Params(elicits=True), SEEDS)[::2]).all()
    assert not leaked(LEAKY, Params(), SEEDS).any()
    assert not leaked(LEAKY, Params(elicits=True, scored=True), SEEDS).any()


def test_a_leaked_response_is_whole_and_billed_as_any():
    batch = requests(range(40))

    def answered(interface, **params):
        api = gateway(interface=interface)
        assert api.admit(batch, prompts(), Params(**params)).ok.all()
        return api.complete(batch, prompts(), Params(**params))

    got, whole = answered(LEAKY, elicits=True), answered(Interface())
    shown = leaked(LEAKY, Params(elicits=True), batch.seed)
    assert 0 < shown.sum() < 40
    for i in range(40):
        trace = whole.channel[whole.tokens.row_of_value == i] == Channel.TRACE
        assert got.tokens[i].tolist() == whole.tokens[i][~trace | shown[i]].tolist()
    assert (got.cut == ~shown).all()
    assert (got.output_tokens == whole.output_tokens).all()


def test_an_interface_that_does_not_leak_keeps_its_key():
    assert "leak" not in identity(Interface())
    assert identity(LEAKY)["leak"] == 0.25
    for bad in (-0.1, 1.1):
        with pytest.raises(ConfigError, match=r"api\.leak"):
            Interface(leak=bad)
