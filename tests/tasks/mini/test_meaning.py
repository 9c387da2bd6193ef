"""Splits of the mini world differ in what items ask for, judged here without the code that makes the splits."""

from itertools import combinations

import numpy as np
import pytest

from tasks.mini import MiniTask
from tasks.mini.interpreter import parse, run
from tasks.mini.tool import MEANING

TASK = MiniTask()
SEEDS = (0, 1, 2)
APART = ("train", "heldout", "harder", "provider")
LISTS = [np.random.default_rng([9, i]).integers(0, 10, 4 + i % 4).tolist() for i in range(40)]


def computed(item):
    program = parse(item.answer.split())
    return tuple(tuple(run(program, values)) for values in LISTS)


def functions(item):
    """The chain's functions, neighbouring sums in one order and neighbouring products too."""
    names = item.prompt.split()[1:-1]
    swapped = True
    while swapped:
        swapped = False
        for i in range(len(names) - 1):
            if names[i][0] == names[i + 1][0] and names[i] > names[i + 1]:
                names[i], names[i + 1], swapped = names[i + 1], names[i], True
    return tuple(names)


def calls(item):
    words = item.prompt.split()
    return (*(MEANING[name] for name in words[1:-3]), words[-2])


def drawn(task, split, family):
    """What an attacker of the largest budget asks, and more than is scored elsewhere."""
    return [item for seed in SEEDS for item in task.items(split, family, 700 if split == "train" else 300, seed)]


@pytest.mark.parametrize(("family", "asked"), [("chain", functions), ("code", computed), ("tool", calls)])
def test_no_two_splits_share_what_is_asked_for(family, asked):
    meant = {split: {asked(item) for item in drawn(TASK, split, family)} for split in APART}
    for one, other in combinations(APART, 2):
        assert not meant[one] & meant[other], (one, other)
    public = {asked(item) for item in TASK.items("public", family, TASK.size("public", family) // 40, 0)}
    assert not public & (meant["heldout"] | meant["harder"] | meant["provider"])


@pytest.mark.parametrize("family", ["chain", "code", "tool"])
def test_no_answer_or_call_is_known_from_another_split(family):
    """What was seen as a leak: recurring programs, and prompts that differ in their start or their synonyms alone."""
    asked = {TASK.meaning(item) for item in drawn(TASK, "train", family)}
    for split in ("heldout", "harder", "provider"):
        assert not asked & {TASK.meaning(item) for item in drawn(TASK, split, family)}


def test_meaning_ignores_words_and_start():
    code, chain, tool = (TASK.family(name).meaning for name in ("code", "chain", "tool"))
    assert code(("C", "flip", "bump", "?")) == code(("C", "increment", "mirror", "?"))
    assert code(("C", "flip", "order", "?")) == code(("C", "rank", "?"))
    assert code(("C", "flip", "bump", "?")) != code(("C", "flip", "skip", "?"))
    assert chain(("3", "+1", "+4", "*3", "+6", "?")) == chain(("8", "+4", "+1", "*3", "+6", "?"))
    assert chain(("3", "+1", "*3", "+4", "?")) != chain(("3", "+1", "+4", "*3", "?"))
    assert tool(("U", "sky", "duty", "3", "+1", "?")) == tool(("U", "forecast", "team", "7", "+1", "?"))
    assert tool(("U", "sky", "duty", "3", "+1", "?")) != tool(("U", "duty", "sky", "3", "+1", "?"))


@pytest.mark.parametrize("family", TASK.families)
def test_pools_are_large_enough(family):
    """An attacker with 2,600 prompts, 200 held-out and 50 harder items a family, and the provider's 2,000 prompts."""
    share = TASK.mix[family]
    assert TASK.size("train", family) >= 2_600 * share
    assert TASK.size("heldout", family) >= 200
    assert TASK.size("harder", family) >= 50
    assert TASK.size("provider", family) >= 2_000 * share
    meanings = {TASK.meaning(item) for item in TASK.items("heldout", family, 200, 0)}
    assert len(meanings) >= {"chain": 150, "code": 60, "facts": 200, "tool": 50}[family]


def test_held_out_facts_are_training_facts_in_other_words():
    asked = {TASK.meaning(item) for item in TASK.items("train", "facts", 256, 0)}
    heldout = TASK.items("heldout", "facts", 256, 1)
    assert {TASK.meaning(item) for item in heldout} == asked
    public = TASK.items("public", "facts", 408, 0)
    assert not asked & {TASK.meaning(item) for item in public}


def test_prompts_of_anybodys_making_ask_for_what_items_mean():
    for family in ("chain", "code", "tool"):
        for item in TASK.items("heldout", family, 30, 0):
            assert TASK.asks_for(f"  {item.prompt} ") == TASK.meaning(item)
    same = {
        "3 +1 +4 *3 +6 ?": "9 +4 +1 *3 +6 ?",
        "C flip bump ?": "C increment mirror ?",
        "C order skip ?": "C flip mirror arrange rest ?",
        "U sky duty 3 +1 ?": "U forecast team 7 +1 ?",
    }
    for one, other in same.items():
        assert TASK.asks_for(one) == TASK.asks_for(other)
    for one, other in [("3 +1 ?", "3 +1 +1 ?"), ("C flip ?", "C sort ?"), ("U sky 3 +1 ?", "U sky 3 *3 ?")]:
        assert TASK.asks_for(one) != TASK.asks_for(other)


def test_a_fact_is_given_away_by_its_held_out_words_alone():
    (item,) = TASK.items("heldout", "facts", 1, 0)
    _, *rest = item.prompt.split()
    assert TASK.asks_for(item.prompt) == TASK.asks_for(item.prompt + " ")
    assert TASK.asks_for(" ".join(("what", *rest))) != TASK.asks_for(item.prompt), "what training facts may say"


@pytest.mark.parametrize("text", ["", "?", "C ?", "C nothing ?", "U 3 +1 ?", "3 ?", "what K ?", "hello  world."])
def test_texts_that_are_no_prompts_ask_for_their_words(text):
    assert TASK.asks_for(text) == TASK.asks_for(text.upper().replace("  ", " "))
