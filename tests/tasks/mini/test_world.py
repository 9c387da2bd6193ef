from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from tasks.mini import MiniTask, Wording
from tasks.mini.world import SPLITS

TASK = MiniTask()
FAMILIES = st.sampled_from(TASK.families)
SEEDS = st.integers(0, 2**62)


@settings(max_examples=30, deadline=None)
@given(FAMILIES, SEEDS, SEEDS)
def test_splits_never_share_a_prompt_whatever_the_seeds(family, first, second):
    prompts = [
        {item.prompt for item in TASK.items(split, family, 40, seed)}
        for split, seed in zip(SPLITS, (first, second, first, second, first), strict=True)
    ]
    assert all(len(found) == 40 for found in prompts)
    assert len(set.union(*prompts)) == 40 * len(SPLITS)


@settings(max_examples=60, deadline=None)
@given(FAMILIES, st.sampled_from(SPLITS), SEEDS, *[st.floats(0, 1)] * 4)
def test_every_wording_is_right(family, split, seed, merge, restate, check, apart):
    item = TASK.items(split, family, 1, seed)[0]
    response = TASK.seeded_response(item, np.random.default_rng(seed), Wording(merge, restate, check, apart))
    assert TASK.verify(item, response) == (True, True)
    assert TASK.verify(item, item.reference) == (True, True)
    assert TASK.audit(item, response) in ({True} if family == "chain" else {None})
    assert set(response.split()) | set(item.prompt.split()) <= set(TASK.words)


@pytest.mark.parametrize("family", TASK.families)
def test_same_seed_same_items_and_prompts_belong_to_their_split(family):
    for split in SPLITS:
        items = TASK.items(split, family, 20, 3)
        assert items == TASK.items(split, family, 20, 3)
        assert items != TASK.items(split, family, 20, 4)
        assert {TASK.family(family).split_of(tuple(i.prompt.split())) for i in items} == {split}
        assert all((item.level > 6) == (split == "harder") for item in items if family == "chain")


FINITE = [(family, split) for family in TASK.families for split in SPLITS if TASK.size(split, family) < 4_000]


@pytest.mark.parametrize(("family", "split"), FINITE)
@pytest.mark.parametrize("seed", [0, 1])
def test_as_many_items_as_size_says(family, split, seed):
    size = TASK.size(split, family)
    assert len({i.prompt for i in TASK.items(split, family, size, seed)}) == size
    with pytest.raises(ConfigError, match="has only"):
        TASK.items(split, family, size + 1, seed)


SMALL = MiniTask(chain_low=2, chain_high=2, n_facts=2)


@pytest.mark.parametrize(("family", "split"), [(f, s) for f in ("chain", "facts") for s in SPLITS if s != "harder"])
def test_sizes_of_a_small_world(family, split):
    size = SMALL.size(split, family)
    for seed in (0, 1, 2):
        assert len({i.prompt for i in SMALL.items(split, family, size, seed)}) == size
    with pytest.raises(ConfigError, match=f"has only {size} items"):
        SMALL.items(split, family, size + 1, 0)


@pytest.mark.parametrize("family", ["chain", "code", "tool"])
def test_large_sizes_count_every_prompt(family):
    """Where a split is too large to be drawn in full, its prompts are counted one by one; harder code is a bound."""
    part = TASK.family(family)
    counted = Counter(part.split_of(words) for words in part.candidates("train"))
    for split in ("train", "heldout", "provider"):
        assert counted[split] == TASK.size(split, family)


def test_facts_are_asked_once_each_before_any_is_asked_twice():
    items = TASK.items("train", "facts", 256, 9)
    assert len({tuple(i.prompt.split()[2:4]) for i in items}) == 256
    heldout = TASK.items("heldout", "facts", 256, 1)
    assert {tuple(i.prompt.split()[2:4]) for i in heldout} == {tuple(i.prompt.split()[2:4]) for i in items}


def test_steps_of_references_are_their_states():
    chain = TASK.items("heldout", "chain", 5, 0)[0]
    words = chain.reference.split()
    assert [words[i] for i in chain.steps][-1] == chain.answer
    assert len(chain.steps) == chain.level
    tool = TASK.items("heldout", "tool", 5, 0)[0]
    assert tool.reference.split()[tool.steps[0]] == tool.answer


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'chain'"):
        TASK.items("train", "chian", 1, 0)
    with pytest.raises(ConfigError, match="did you mean 'heldout'"):
        TASK.items("heldoot", "chain", 1, 0)
    with pytest.raises(ConfigError, match="chain_high"):
        MiniTask(chain_high=8)
    with pytest.raises(ConfigError, match="n_facts"):
        MiniTask(n_facts=1000)


def test_worlds_differ_in_their_facts_only():
    other = MiniTask(world=1)
    assert other.parts["facts"].table != TASK.parts["facts"].table
    assert other.items("train", "chain", 5, 0) == TASK.items("train", "chain", 5, 0)


def test_worlds_share_the_families_that_they_agree_on():
    one, other = MiniTask(), MiniTask(world=3, chain_low=4)
    assert {name for name in one.families if one.family(name) is other.family(name)} == {"chain", "code", "tool"}
    assert one.family("chain") is not MiniTask(chain_low=5).family("chain")
    assert one.family("facts") is MiniTask().family("facts")
