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


def results(lines: list[str]) -> list[int]:
    """What each line states, computed again from its own left side."""
    values = []
    for line in lines:
        left, _, right = line.partition(" = ")
        first, sign, second = left.split()
        a, b = int(first), int(second)
        assert int(right) == {"+": a + b, "-": a - b, "mod": a % b if b else 0}[sign], line
        values.append(int(right))
    return values


def test_a_working_states_each_step_rightly_and_ends_with_the_answer() -> None:
    task = ReasoningGym({"chain_sum": {"min_terms": 3, "max_terms": 4, "max_digits": 2}, "gcd": {"max_numbers": 3}})
    for family in task.families:
        for item in task.items("public", family, 8, 0):
            *lines, last = task.worked(item).splitlines()
            values = results(lines)
            assert last == item.reference == f"Answer: {item.answer}"
            assert task.verify(item, task.worked(item)) == (True, True)
            if family == "chain_sum":
                terms = item.prompt.splitlines()[0].split(": ")[1].removesuffix(" =").split()
                assert [f"{sign} {term}" for sign, term in zip(terms[1::2], terms[2::2], strict=True)] == [
                    line.partition(" = ")[0].split(" ", 1)[1] for line in lines
                ], "each term once, in order"
                assert [line.split()[0] for line in lines] == [terms[0], *map(str, values[:-1])]
                assert values[-1] == int(item.answer)
            else:
                assert values[-1] == 0
                assert lines[-1].split()[2] == item.answer, "what last leaves nothing over divides all"


def test_without_a_known_working_the_reference_is_all_there_is() -> None:
    item = TASK.items("public", "spell_backward", 1, 0)[0]
    assert TASK.worked(item) == item.reference == f"Answer: {item.answer}"
