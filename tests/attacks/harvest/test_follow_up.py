import numpy as np
import pytest

from attacks.harvest.follow_up import FollowUp
from configs.errors import ConfigError
from teacher.api.interface import Interface
from tests.attacks.test_contract import Refuses
from tests.attacks.world import Table, client, harvest_context, pool

OWNED = pool({"chain": 60})
REQUEST = "first {prompt} then {answer} again"


def test_a_follow_up_quotes_the_prompt_and_what_was_answered_to_it():
    api = client(OWNED, 40, Interface())
    got = FollowUp(share=0.25, request=REQUEST).run(api, OWNED, harvest_context())
    assert api.remaining == 0
    assert len(got) == 40
    said = Table().decode(got.responses.tokens)
    want = [REQUEST.format(prompt=OWNED.texts[item], answer=said[row]) for row, item in enumerate(got.item[:10])]
    assert api.owned == want
    assert (got.item[:30] < 60).all()
    assert got.item[30:].tolist() == list(range(60, 70))


def test_what_was_not_answered_has_none_and_the_pool_is_asked_instead():
    api = client(OWNED, 40, Interface(), {"refuses": Refuses()})
    got = FollowUp(share=0.5, request=REQUEST).run(api, OWNED, harvest_context())
    assert api.remaining == 0
    assert got.asked == 40
    answered = np.unique(got.item[got.responses.request < 20])
    assert len(api.owned) == len(answered) < 20
    assert api._times_asked.max() == 1


def test_an_answer_without_words_is_not_asked_about(monkeypatch):
    said = Table.decode
    monkeypatch.setattr(
        Table, "decode", lambda self, rows: [" " if i % 2 else t for i, t in enumerate(said(self, rows))]
    )
    api = client(OWNED, 40, Interface())
    got = FollowUp(share=0.5, request=REQUEST).run(api, OWNED, harvest_context())
    assert len(api.owned) == 10
    assert got.asked == 40


def test_a_prompt_with_braces_is_quoted_as_it_is():
    assert FollowUp(request="{answer} {prompt}")._filled("a {answer}", "{prompt} b") == "{prompt} b a {answer}"


def test_the_mini_world_has_no_second_turn(tmp_path):
    from tests.attacks.harvest.test_self_instruct import run

    with pytest.raises(ConfigError, match=r"attack\.harvest\.request.*closed list"):
        run(tmp_path, FollowUp())


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 0.6}, {"request": "{prompt}"}, {"request": "{answer}"}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        FollowUp(**bad)
