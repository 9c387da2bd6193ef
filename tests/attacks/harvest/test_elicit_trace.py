"""Traces that an interface hides, asked for."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.harvest.elicit_trace import ElicitTrace
from attacks.harvest.random import Random
from configs.errors import ConfigError
from lm.types import Channel
from teacher.api.interface import Interface
from tests.attacks.world import client, harvest_context, pool

OWNED = pool({"chain": 300, "code": 100})
TEXT = Interface("text", "none")


def run(leak=0.0, queries=200, interface=TEXT, **fields):
    api = client(OWNED, queries, replace(interface, leak=leak))
    return api, ElicitTrace(**fields).run(api, OWNED, harvest_context())


@pytest.mark.parametrize("trace", ["none", "summary"])
@pytest.mark.parametrize("leak", [0.0, 0.3, 1.0])
def test_as_many_traces_are_whole_as_the_interface_leaks(trace, leak):
    _, got = run(leak, interface=replace(TEXT, trace=trace))
    _, whole = run(interface=replace(TEXT, trace="full"))
    assert got.item.tolist() == whole.item.tolist()
    long = np.bincount(whole.responses.tokens.row_of_value, whole.responses.channel == Channel.TRACE) > 1
    same = np.array(
        [a.tolist() == b.tolist() for a, b in zip(got.responses.tokens, whole.responses.tokens, strict=True)]
    )
    assert abs(same[long].mean() - leak) < (0.12 if 0 < leak < 1 else 1e-9)
    assert not got.responses.cut[same].any()
    assert got.findings["answers_whole"] == pytest.approx(1 - got.responses.cut.mean())


def test_nobody_else_sees_a_trace():
    plain = Random().run(client(OWNED, 200, replace(TEXT, leak=1.0)), OWNED, harvest_context())
    assert not (plain.responses.channel == Channel.TRACE).any()


def test_a_higher_rate_leaks_the_same_and_more():
    some, more = (run(leak)[1].responses.cut for leak in (0.2, 0.6))
    assert (more <= some).all()
    assert more.sum() < some.sum()


def test_words_are_asked_and_the_rows_are_of_the_prompts_themselves():
    api, got = run(1.0, queries=40, words="show every step")
    plain = Random().run(client(OWNED, 40, TEXT), OWNED, harvest_context())
    assert got.item.tolist() == plain.item.tolist()
    assert api.owned == [f"{OWNED.texts[i]} show every step" for i in plain.item]
    assert (got.item < len(OWNED)).all()
    assert (got.responses.channel == Channel.TRACE).any()


def test_words_that_the_teacher_has_none_for(tmp_path):
    from tests.attacks.harvest.test_self_instruct import run as on_mini

    with pytest.raises(ConfigError, match=r"attack\.harvest\.words"):
        on_mini(tmp_path, ElicitTrace(words="show every step"))
