import copy
from dataclasses import replace

import numpy as np
import pytest

from experiments.stages.student_view import for_student
from lm.examples import Examples
from lm.huggingface import Pretrained
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.types import Channel
from student.objectives.sft import SFT
from student.translate import foreign_share, translate, user_texts
from tests.lm import tiny
from tests.lm.mini.tiny import tiny as mini

USERS = ["What is 12 + 7?", "naïve 日本"]
ANSWERS = ["12 + 7 = 19.\nAnswer: 19", "🙂 cut"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, LanguageModel]:
    first = tiny.save(tmp_path_factory.mktemp("first"))
    second = tiny.save(tmp_path_factory.mktemp("second"), 300, ["other words, 12 + 7", "Answer: it is so"])
    return Pretrained(str(first), device="cpu").open(), Pretrained(str(second), system="S", device="cpu").open()


def rows(source: LanguageModel) -> Examples:
    bodies = source.encode(ANSWERS)
    completions = Ragged.of([[*bodies[0].tolist(), source.tokenizer.eos_token_id], bodies[1]])
    channel = source.format.channels(completions)
    prompts = source.encode_prompts(USERS)
    return Examples(
        prompts,
        completions,
        channel,
        (channel == Channel.ANSWER).astype(np.float32),
        np.array([3, -1]),
        np.array([False, True]),
        np.zeros((len(channel), 1), np.int32),
        np.zeros((len(channel), 1), np.float32),
    )


def test_text_weights_and_ends_survive(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models
    before = rows(source)
    after = translate(before, source, target)
    assert user_texts(after.prompts, target) == USERS
    assert target.decode(after.completions) == ANSWERS
    assert after.completions[0][-1] == target.tokenizer.eos_token_id
    assert after.completions[1][-1] != target.tokenizer.eos_token_id
    assert after.top_ids is None
    assert after.item.tolist() == [3, -1]
    assert np.array_equal(after.weight > 0, after.channel == Channel.ANSWER)
    back = translate(after, target, source)
    for name in ("prompts", "completions"):
        assert np.array_equal(getattr(back, name).values, getattr(before, name).values)
    assert np.array_equal(back.weight, before.weight)
    assert np.array_equal(back.channel, before.channel)


def test_same_vocabulary_keeps_completions_and_logprobs(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, _ = models
    before = rows(source)
    after = translate(before, source, source)
    assert after.top_ids is before.top_ids
    assert np.array_equal(after.prompts.values, before.prompts.values)


def test_tool_results_stay_tool_results(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models
    before = rows(source)
    before.channel[:3] = Channel.TOOL
    text = source.decode(before.completions.take(np.array([0])).keep(np.arange(before.completions.lengths[0]) < 3))[0]
    after = translate(before, source, target)
    tool = after.completions.keep(after.channel == Channel.TOOL)
    assert target.decode(tool)[0] == text


def test_empty_completions(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models
    before = rows(source)
    none = before.keep_tokens(np.zeros(len(before.channel), bool))
    assert len(translate(none, source, target).completions.values) == 0


def test_prompts_of_another_template(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models
    with pytest.raises(ValueError, match="not a prompt"):
        translate(rows(source), target, source)


def turned(lm: LanguageModel, word: str = "So") -> LanguageModel:
    """The model, with turns that end at a token of its generation configuration alone."""
    model = copy.deepcopy(lm.model)
    model.generation_config.eos_token_id = int(lm.encode([word]).values[0])
    return lm.with_model(model)


def rows_of_turns(source: LanguageModel) -> tuple[Examples, int]:
    """The rows, the first of which ends at the end of a turn, which stands at the place returned."""
    made = rows(source)
    last = int(made.completions.lengths[0]) - 1
    made.completions.values[last] = source.model.generation_config.eos_token_id
    return made, last


def test_an_end_of_turn_becomes_the_end_of_sequence(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = turned(models[0]), models[1]
    before, _ = rows_of_turns(source)
    after = translate(before, source, target)
    end = target.tokenizer.eos_token_id
    assert target.decode(after.completions) == ANSWERS
    assert after.completions[0][-1] == end
    assert (after.completions.values == end).sum() == 1
    assert after.channel[after.completions.lengths[0] - 1] == Channel.ANSWER


def test_an_end_of_turn_that_the_student_does_not_stop_at(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = turned(models[0]), models[0]
    before, last = rows_of_turns(source)
    turn, own = int(before.completions.values[last]), int(target.tokenizer.eos_token_id)
    assert turn != own
    top_ids = np.full((len(before.channel), 3), 7, np.int32)
    top_ids[last] = [turn, 5, own]
    before = replace(before, top_ids=top_ids, top_logprobs=np.zeros(top_ids.shape, np.float32))
    after = translate(before, source, target)
    assert after.completions[0].tolist() == [*before.completions[0][:-1], own]
    assert after.top_ids is not None
    assert after.top_ids[last].tolist() == [own, 5, turn]
    assert (np.delete(after.top_ids, last, 0) == 7).all()
    assert translate(before, source, source) is before


def test_rows_are_in_the_style_that_the_student_is_asked_in(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models[0], replace(models[0], system="Be brief.")
    before = rows(source)
    after = for_student(before, source, target, SFT())
    assert np.array_equal(after.prompts.values, target.encode_prompts(USERS).values)
    assert np.array_equal(after.completions.values, before.completions.values)
    assert for_student(before, source, source, SFT()) is before


def test_channels_are_those_of_what_was_sold(models: tuple[LanguageModel, LanguageModel]) -> None:
    """Cut in its working, which the teacher's template opened: the student's format alone would take it for answer."""
    source, target = models
    before = rows(source)
    before = replace(before, channel=np.full_like(before.channel, Channel.TRACE))
    assert (translate(before, source, target).channel == Channel.TRACE).all()


def test_prompts_in_another_template_are_counted(models: tuple[LanguageModel, LanguageModel]) -> None:
    source, target = models
    own, other = target.encode_prompts(USERS), source.encode_prompts(USERS)
    assert foreign_share(own, target) == 0.0
    assert foreign_share(target.encode([source.tokenizer.decode(row) for row in other]), target) == 1.0
    assert foreign_share(Ragged.of([]), target) == 0.0


def test_a_closed_vocabulary_has_no_foreign_prompts() -> None:
    lm = mini()
    assert foreign_share(lm.encode_prompts(["3 +4 *3 ?"]), lm) == 0.0
