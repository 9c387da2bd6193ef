"""Words for a configuration: composed again, they give the same one."""

from __future__ import annotations

import pytest

from configs.build import describe
from experiments.cell_from import PARTS
from experiments.compose.compose import compose_one
from experiments.compose.words_for import words_for


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], []),
        (["seed=3", "max_tokens=12"], ["max_tokens=12", "seed=3"]),
        (["defense=trace_hidden", "attack=clean"], ["defense=trace_hidden", "attack=clean"]),
        (["defense=[trace_summary,token_bucket]"], ["defense=[trace_summary,token_bucket]"]),
        (["defense=industry", "api=full"], ["api=full", "defense=industry"]),
        (["attack=clean", "attack/refine=[rft]"], ["attack=clean", "attack/refine=rft"]),
        (["attack=rl", "attack.refine.rl.lr=0.0005"], ["attack=rl", "attack.refine.rl.lr=0.0005"]),
        (["++budget.mix={chain: 3, code: 1}"], ["+budget.mix.chain=3", "+budget.mix.code=1"]),
        (["defense=token_bucket", "defense.token_bucket.dollars_per_day=3"], None),
        (["student=hf", "student.path='a b\\'c'", "budget=lm", "task=reasoning_gym", "teacher=hf"], None),
        (["attack.name='it\\'s, [odd] = {x}\\\\'"], None),
        (["attack.name=null_and_void", "teacher.curriculum.code=[1,2]"], None),
        (["attack=imitate", "attack.name='true'"], ["attack.name='true'"]),
    ],
)
def test_there_and_back(given, found):
    config = described(given)
    words = words_for(config)
    if found is not None:
        assert words == found
    again = described(words)
    assert again == config
    assert list(again["defense"]) == list(config["defense"]), "the order of a stack matters"


def described(words):
    plain = compose_one(words).plain
    return {name: describe(plain[name]) for name in PARTS if name in plain}


def test_parts_of_other_packages(elsewhere):
    config = described([elsewhere, "defense=[shout,trace_hidden]", "defense.shout.volume=3.5"])
    assert words_for(config, [elsewhere]) == [elsewhere, "defense=[shout,trace_hidden]", "defense.shout.volume=3.5"]
    unnamed = words_for(config)  # written out, as no choice is called so
    assert not any("shout" in word for word in unnamed if word.startswith("defense="))
    assert described([elsewhere, *unnamed])["defense"].keys() == {"shout", "trace_hidden"}
