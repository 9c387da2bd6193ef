"""Training rows from one model's tokens to another's, by way of their text. For objectives that learn from text only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm.examples import Examples
from lm.ragged import Ragged
from lm.spans import spans_of

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.spans import Spans

_USER = "the-words-of-the-user"


def translate(rows: Examples, source: LanguageModel, target: LanguageModel) -> Examples:
    """The same rows in ``target``'s tokens, as ``target`` is going to be asked.

    Prompts are taken out of the source's chat template and put into the target's, where the two differ. Completions are
    decoded and encoded again, with the target's end of sequence where one that ends the source's responses stood at the end;
    a target token has the weight and the channel of the source token that its last character came from. Top-k logprobs do
    not survive (they belong to the source's tokens), except where both vocabularies agree: then the completions stay as
    they are, but for an end that is none of the target's.

    Raises:
        ValueError: a prompt that the source's chat template cannot have written.
    """
    shared = source.vocab == target.vocab
    if not (shared and source.prompt_style == target.prompt_style):
        rows = replace(rows, prompts=target.encode_prompts(user_texts(rows.prompts, source)))
    return _ended(rows, source, target) if shared else _encoded_again(rows, source, target)


def user_texts(prompts: Ragged, lm: LanguageModel) -> list[str]:
    """What the user said in each prompt of one user turn, without the chat template around it.

    Raises:
        ValueError: the template cannot have written a prompt.
    """
    head, _, tail = spans_of(lm.tokenizer, lm.encode_prompts([_USER])[0]).text.partition(_USER)
    texts = []
    for text in (spans_of(lm.tokenizer, row).text for row in prompts):
        if not (text.startswith(head) and text.endswith(tail)):
            raise ValueError(f"{text!r} is not a prompt in the chat template {head!r} … {tail!r}")
        texts.append(text[len(head) : len(text) - len(tail)])
    return texts


def foreign_share(prompts: Ragged, lm: LanguageModel, looked_at: int = 64) -> float:
    """Share of training prompts that are not in the chat template in which the model will be asked, of so many spread over
    all; 0 without prompts, and for a closed vocabulary, in which a template cannot be told from what it holds."""
    if _USER not in spans_of(lm.tokenizer, lm.encode_prompts([_USER])[0]).text:
        return 0.0
    spread = np.linspace(0, len(prompts) - 1, min(looked_at, len(prompts)))
    chosen = np.unique(spread.astype(np.int64))
    foreign = 0
    for row in chosen:
        try:
            user_texts(prompts.take(np.array([row])), lm)
        except ValueError:
            foreign += 1
    return foreign / max(1, len(chosen))


def _ended(rows: Examples, source: LanguageModel, target: LanguageModel) -> Examples:
    """Rows of a shared vocabulary, ending as the target's responses do. In the logprobs there the two ends change places."""
    filled = rows.completions.lengths > 0
    last = rows.completions.offsets[1:][filled] - 1
    foreign = np.setdiff1d(source.ends, target.ends)
    at = last[np.isin(rows.completions.values[last], foreign)]
    if not len(at):
        return rows
    own, values = np.int32(target.tokenizer.eos_token_id), rows.completions.values.copy()
    end = values[at]
    values[at] = own
    top_ids = rows.top_ids
    if top_ids is not None:
        listed = top_ids[at]
        top_ids = top_ids.copy()
        top_ids[at] = np.where(listed == end[:, None], own, np.where(listed == own, end[:, None], listed))
    return replace(rows, completions=Ragged(values, rows.completions.offsets), top_ids=top_ids)


def _encoded_again(rows: Examples, source: LanguageModel, target: LanguageModel) -> Examples:
    """Rows whose completions have gone by way of their text."""
    tokens: list[NDArray[np.int32]] = []
    origins: list[NDArray[np.int64]] = []
    for row, start in zip(rows.completions, rows.completions.offsets, strict=False):
        ended = len(row) > 0 and bool(np.isin(row[-1], source.ends))
        before = spans_of(source.tokenizer, row[: len(row) - ended])
        ids = target.encode([before.text])[0]
        origin = start + _origin(before, spans_of(target.tokenizer, ids))
        if ended:
            ids = np.append(ids, np.int32(target.tokenizer.eos_token_id))
            origin = np.append(origin, start + len(row) - 1)
        tokens.append(ids)
        origins.append(origin)
    at = np.concatenate([np.zeros(0, np.int64), *origins])
    unsold = replace(rows, top_ids=None, top_logprobs=None, logprob=None)
    return replace(unsold, completions=Ragged.of(tokens), channel=rows.channel[at], weight=rows.weight[at])


def _origin(before: Spans, after: Spans) -> NDArray[np.int64]:
    """(T,) for each token of ``after`` the token of ``before`` that its last character came from."""
    if not len(before.ends) or not len(after.ends):
        return np.zeros(0, np.int64)
    last = np.minimum(after.last, max(0, len(before.text) - 1))
    return np.searchsorted(before.ends, last, side="right").clip(0, len(before.ends) - 1)
