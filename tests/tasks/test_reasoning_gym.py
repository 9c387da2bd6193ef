import json

import pytest

from configs.build import build, describe
from configs.errors import ConfigError
from tasks.base import Task
from tasks.splits import SPLITS, prompt_hash

pytest.importorskip("reasoning_gym")

from tasks.reasoning_gym import ReasoningGym

TASK = ReasoningGym(
    {"chain_sum": {"max_terms": 2, "max_digits": 2}, "spell_backward": {}}, harder={"chain_sum": {"max_terms": 4}}
)


def test_same_seed_same_items_and_more_begin_with_fewer() -> None:
    first = TASK.items("train", "chain_sum", 30, 5)
    assert first == ReasoningGym(TASK.datasets, TASK.harder).items("train", "chain_sum", 30, 5)
    assert TASK.items("train", "chain_sum", 40, 5)[:30] == first
    assert TASK.items("train", "chain_sum", 30, 6) != first


def test_no_prompt_is_in_two_splits_whatever_the_seeds() -> None:
    prompts = {
        split: {prompt_hash(i.prompt) for seed in (0, 1) for i in TASK.items(split, "chain_sum", 60, seed)}
        for split in SPLITS
    }
    assert all(len(found) >= 60 for found in prompts.values())
    assert sum(map(len, prompts.values())) == len(set().union(*prompts.values()))


def test_items_cross_json() -> None:
    item = TASK.items("harder", "chain_sum", 1, 0)[0]
    assert item.level == 2
    assert json.loads(json.dumps(item.payload)) == item.payload


@pytest.mark.parametrize("family", ["chain_sum", "spell_backward"])
def test_verdicts(family: str) -> None:
    item = TASK.items("heldout", family, 1, 0)[0]
    assert TASK.verify(item, item.reference) == (True, True)
    assert TASK.verify(item, f"thinking\nThe answer is **{item.answer}**.") == (False, True)
    assert TASK.verify(item, "Answer: 123456") == (False, False)
    assert TASK.verify(item, "") == (False, False)


def test_what_makes_items_is_in_the_description() -> None:
    described = describe(TASK)
    assert described["package"]
    assert build(described, Task, "task") == TASK


def test_bad_values() -> None:
    with pytest.raises(ConfigError, match="did you mean 'chain_sum'"):
        ReasoningGym({"chain_sums": {}})
    with pytest.raises(ConfigError, match="package"):
        ReasoningGym(package="0.0.1")
    with pytest.raises(ConfigError, match="harder"):
        TASK.items("harder", "spell_backward", 1, 0)
    with pytest.raises(ConfigError, match="only"):
        ReasoningGym({"coin_flip": {"max_trials": 3}}).items("train", "coin_flip", 60, 0)


def test_a_question_is_the_same_without_its_instruction() -> None:
    one, other = TASK.items("heldout", "chain_sum", 2, 0)
    question = one.prompt.removesuffix(TASK.instruction)
    assert question != one.prompt
    assert TASK.asks_for(question) == TASK.asks_for(one.prompt) != TASK.asks_for(other.prompt)
