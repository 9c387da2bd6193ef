import pytest

from lm.huggingface import Pretrained
from lm.markers import Marks, marks_of
from lm.ragged import Ragged
from lm.types import Channel
from tests.lm import tiny

HARMONY = (
    "{% for m in messages %}<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endfor %}<|start|>assistant"
)


def tokenizer(*words: str, template: str = tiny.TEMPLATE):  # type: ignore[no-untyped-def]
    made = tiny.tokenizer()
    made.add_tokens(list(words), special_tokens=True)
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("words", "template", "marks"),
    [
        ((), tiny.TEMPLATE, ("", "")),
        (("<think>", "</think>"), tiny.TEMPLATE, ("<think>", "</think>")),
        (("<think>",), tiny.TEMPLATE, ("", "")),
        ((), tiny.TEMPLATE + "{# <think> </think> #}", ("<think>", "</think>")),
        (("[THINK]", "[/THINK]", "<think>", "</think>"), tiny.TEMPLATE, ("[THINK]", "[/THINK]")),
        (("<|channel|>",), HARMONY, ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>")),
    ],
)
def test_marks_are_read_off_tokenizer_and_template(
    words: tuple[str, ...], template: str, marks: tuple[str, str]
) -> None:
    assert marks_of(tokenizer(*words, template=template))[:2] == marks


def test_the_channels_of_gpt_oss_are_working_and_answer() -> None:
    """The end of the first message is no end of the turn."""
    own = tokenizer("<|channel|>", "<|start|>", "<|message|>", "<|end|>", "<|return|>", template=HARMONY)
    form = Pretrained("openai/gpt-oss-20b", think_open="auto").format(own, (own.convert_tokens_to_ids("<|return|>"),))
    working = "<|channel|>analysis<|message|>12 + 7 = 19<|end|><|start|>assistant<|channel|>final<|message|>"
    tokens = Ragged.of([own(working + "It is 19<|return|>")["input_ids"], own(working[:40])["input_ids"]])
    channel = form.channels(tokens)
    first = tokens.row_of_value == 0
    assert own.decode(tokens.values[first & (channel == Channel.ANSWER)].tolist()) == "It is 19<|return|>"
    assert (channel[~first] == Channel.TRACE).all(), "cut off in its working"


def test_marks_of_the_configuration_stand() -> None:
    form = Pretrained("a/b", think_open="(", think_close=")").format(tokenizer("<think>", "</think>"), ())
    assert (form.open, form.close) == ("(", ")")
    assert marks_of(tokenizer()) == Marks("", "")
