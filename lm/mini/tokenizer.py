"""A word-level tokenizer over a closed list of words, as an ordinary transformers fast tokenizer."""

from __future__ import annotations

from functools import lru_cache

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
SPECIAL = (PAD, BOS, EOS, UNKNOWN)
"""Ids 0 to 3, in this order."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %} {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %} {{ eos_token }}{% endif %}{% endfor %}"
)
"""A conversation is its words in order; the assistant speaks after the user's last word without further mark."""


@lru_cache(maxsize=8)
def build_tokenizer(words: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """Tokenizer whose ids are the special tokens followed by ``words`` in the given order.

    Raises:
        ValueError: a word occurs twice, is empty or holds white space.
    """
    if len(set(words)) != len(words) or any(w.split() != [w] for w in words) or set(words) & set(SPECIAL):
        raise ValueError("words must be distinct, without white space, and none of the special tokens")
    table = {word: i for i, word in enumerate((*SPECIAL, *words))}
    core = Tokenizer(WordLevel(vocab=table, unk_token=UNKNOWN))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )
