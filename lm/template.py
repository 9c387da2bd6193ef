"""What a chat template writes around the words of a user. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from configs.errors import ConfigError

PLAIN = "plain"
"""The chat template of this name is that of a base model: what is said as it stands, each on a line of its own."""
_PLAIN = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
_USER = "the-words-of-the-user"
"""Stands for what a user says; any text would do that no template contains."""


class PromptStyle(NamedTuple):
    """What surrounds the user's words in a prompt of one turn. Rows made in one style and a model asked in another do not
    fit each other: compare these.

    Args:
        before: from the beginning, with the system message, up to the user's words.
        after: from there up to where the assistant speaks, with whatever the template makes the assistant begin with.
    """

    before: str
    after: str


def give_template(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    """Give the tokenizer a chat template in the place of its own: Jinja, or `PLAIN`, which begins as the tokenizer's own
    texts do (with the token for the beginning of a text, or without)."""
    if template == PLAIN:
        first = tokenizer("")["input_ids"][:1]
        begins = tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id]
        template = "{{ bos_token }}" * begins + _PLAIN
    tokenizer.chat_template = template


@lru_cache(maxsize=32)
def prompt_style(tokenizer: PreTrainedTokenizerBase, system: str) -> PromptStyle:
    """The style of this tokenizer's chat template with this system message, "" for none.

    Raises:
        ConfigError: the template fails, refuses a system message, or leaves out what the user says.
    """
    try:
        (text,) = rendered(tokenizer, system, [_USER])
    except (TemplateError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        if not system:
            raise ConfigError("chat_template", _shown(tokenizer), f"cannot be filled in: {reason}") from error
        prompt_style(tokenizer, "")  # raises where the system message is not to blame
        raise ConfigError("system", system, f'the chat template refuses it ({reason}); "" gives none') from error
    before, found, after = text.partition(_USER)
    if not found:
        raise ConfigError("chat_template", _shown(tokenizer), "leaves out what the user says")
    return PromptStyle(before, after)


def rendered(tokenizer: PreTrainedTokenizerBase, system: str, prompts: Sequence[str]) -> list[str]:
    """The text of each prompt inside the chat template, up to where the assistant speaks."""
    head: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []
    chats: list[Any] = [[*head, {"role": "user", "content": p}] for p in prompts]
    return [str(tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True)) for c in chats]


def _shown(tokenizer: PreTrainedTokenizerBase) -> str:
    """The beginning of the template, for messages."""
    text = " ".join(str(tokenizer.chat_template).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
