import numpy as np
import pytest

from lm.marked_format import MarkedFormat
from lm.ragged import Ragged
from lm.types import Channel
from tests.lm.tiny import tokenizer

TOK = tokenizer()
FORMAT = MarkedFormat(TOK)


def shown(text: str, channel: Channel, form: MarkedFormat = FORMAT) -> str:
    tokens = Ragged.of([TOK(text)["input_ids"]])
    return TOK.decode(tokens.values[form.channels(tokens) == channel].tolist())


@pytest.mark.parametrize(
    ("text", "trace", "answer"),
    [
        ("<think>1 + 1 = 2.</think>\n\nIt is 2.<|im_end|>", "<think>1 + 1 = 2.</think>\n\n", "It is 2.<|im_end|>"),
        ("1 + 1 = 2.</think>2", "1 + 1 = 2.</think>", "2"),
        ("<think>1 + 1 =", "<think>1 + 1 =", ""),
        ("<think>1 + 1 =<|im_end|>", "<think>1 + 1 =", "<|im_end|>"),
        ("Answer: 3? No.\n**ANSWER: 4**<|im_end|>", "Answer: 3? No.\n", "**ANSWER: 4**<|im_end|>"),
        ("So the answer is 9", "So ", "the answer is 9"),
        ("just this<|im_end|>", "", "just this<|im_end|>"),
        ("", "", ""),
        ("<think>日本🙂</think>naïve", "<think>日本🙂</think>", "naïve"),
    ],
)
def test_channels(text: str, trace: str, answer: str) -> None:
    assert shown(text, Channel.TRACE).strip() == trace.strip()
    assert shown(text, Channel.ANSWER).strip() == answer.strip()
    assert shown(text, Channel.TRACE) + shown(text, Channel.ANSWER) == text


def test_the_break_before_the_marker_goes_with_the_answer() -> None:
    """So that the answer's line is one whatever a defense does to the working."""
    assert shown("1 + 1 = 2\n\n**Answer: 2**", Channel.TRACE) == "1 + 1 = 2"
    assert shown("1 + 1 = 2\nAnswer: 2", Channel.ANSWER) == "\nAnswer: 2"


def test_rows_are_independent() -> None:
    texts = ["<think>a", "b", "</think>c"]
    whole = Ragged.of([TOK(t)["input_ids"] for t in texts])
    apart = [FORMAT.channels(Ragged.of([row])) for row in whole]
    assert np.array_equal(FORMAT.channels(whole), np.concatenate(apart))


def test_no_marks_configured() -> None:
    assert shown("Answer: 3", Channel.ANSWER, MarkedFormat(TOK, "", "", ())) == "Answer: 3"


def test_summary_keeps_results_without_their_derivation() -> None:
    text = "<think>First 3 * 4 = 12. I like it.\nSo the total is 12. And 1.5 more</think>Answer: 12"
    tokens = Ragged.of([TOK(text)["input_ids"]])
    kept = FORMAT.summary(tokens, FORMAT.channels(tokens))
    summary = TOK.decode(tokens.values[kept].tolist())
    assert "12." in summary
    assert "So the total is 12." in summary
    for dropped in ("3 * 4", "I like it", "1.5 more", "Answer"):
        assert dropped not in summary


def test_corrupted_changes_digits_only() -> None:
    rng = np.random.default_rng(0)
    digit, word = TOK("7")["input_ids"][0], TOK("Think")["input_ids"][0]
    drawn = {TOK.decode([FORMAT.corrupted(digit, rng)]) for _ in range(100)}
    assert drawn == set("012345689")
    assert FORMAT.corrupted(word, rng) == word


OPENED = MarkedFormat(TOK, opening="<|im_end|>\n<|im_start|>assistant\n<think>\n")
CLOSED = MarkedFormat(TOK, opening="<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("form", "text", "trace", "answer"),
    [
        (OPENED, "12 + 7: first 12 + 3 = 15", "12 + 7: first 12 + 3 = 15", ""),
        (OPENED, "I should say Answer: 15, or", "I should say Answer: 15, or", ""),
        (OPENED, "12 + 7 = 19.</think>\nAnswer: 19<|im_end|>", "12 + 7 = 19.</think>\n", "Answer: 19<|im_end|>"),
        (OPENED, "So 19.\nAnswer: 19<|im_end|>", "So 19.\n", "Answer: 19<|im_end|>"),
        (OPENED, "So 19.<|im_end|>", "So 19.", "<|im_end|>"),
        (OPENED, "", "", ""),
        (CLOSED, "So 19.\nAnswer: 19", "So 19.\n", "Answer: 19"),
        (CLOSED, "It is 19", "", "It is 19"),
    ],
)
def test_a_chat_template_may_have_opened_the_working(form: MarkedFormat, text: str, trace: str, answer: str) -> None:
    assert shown(text, Channel.TRACE, form).strip() == trace.strip()
    assert shown(text, Channel.ANSWER, form).strip() == answer.strip()


@pytest.mark.parametrize(
    ("prefill", "text", "trace"),
    [
        ("<think>", "12 + 7 =", "12 + 7 ="),
        ("<think>So", " 19.</think>19", "19.</think>"),
        ("<think>So 19.</think>", "So Answer: 19", ""),
        ("Answer:", " 19", ""),
        ("", "Hence Answer: 19", "Hence"),
    ],
)
def test_a_prefill_is_read_with_the_response(prefill: str, text: str, trace: str) -> None:
    before, tokens = (Ragged.of([TOK(t)["input_ids"], TOK("7")["input_ids"]]) for t in (prefill, text))
    channel = FORMAT.channels_after(before, tokens)
    assert len(channel) == len(tokens.values)
    first = channel[: tokens.lengths[0]]
    assert TOK.decode(tokens[0][first == Channel.TRACE].tolist()).strip() == trace


def test_every_end_of_a_turn_is_answer() -> None:
    turn = TOK("<|im_start|>")["input_ids"][0]
    tokens = Ragged.of([[*TOK("<think>3 * 4 =")["input_ids"], turn]])
    assert FORMAT.channels(tokens)[-1] == Channel.TRACE
    assert MarkedFormat(TOK, ends=(turn, TOK.eos_token_id)).channels(tokens)[-1] == Channel.ANSWER
