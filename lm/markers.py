"""By what marks models of the field put their working apart, read off a tokenizer and its chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AUTO = "auto"
"""As `lm.huggingface.Pretrained.think_open`: both marks are looked up here."""


class Marks(NamedTuple):
    """What begins and what ends the working; "" for none. ``parts``: tokens or words of the template that tell of them."""

    open: str
    close: str
    parts: tuple[str, ...] = ()


KNOWN = (
    # gpt-oss (OpenAI's harmony format): messages in channels; the ends of messages in between are no ends of a turn.
    Marks("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", ("<|channel|>", "<|message|>")),
    Marks("[THINK]", "[/THINK]"),  # Magistral
    Marks("<seed:think>", "</seed:think>"),  # Seed-OSS
    Marks("<thought>", "</thought>"),  # EXAONE Deep
    Marks("<think>", "</think>"),  # DeepSeek-R1, Qwen3, QwQ, Phi-4-reasoning, GLM, SmolLM3
)
"""In the order in which they are looked for."""


def marks_of(tokenizer: PreTrainedTokenizerBase) -> Marks:
    """The first of `KNOWN` whose parts are all tokens of this tokenizer or in its chat template; none otherwise."""
    tokens, template = tokenizer.get_vocab(), str(tokenizer.chat_template or "")
    for marks in KNOWN:
        if all(part in tokens or part in template for part in marks.parts or marks[:2]):
            return marks
    return Marks("", "")
