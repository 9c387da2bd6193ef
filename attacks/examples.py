"""From what an API answered to training rows. Knows nothing of models or of how the answers were come by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat

if TYPE_CHECKING:
    from attacks.client import Harvested

_UNSOLD: dict[str, Any] = {"top_ids": None, "top_logprobs": None, "logprob": None}
"""Nothing is sold of what the attacker wrote himself."""


def to_examples(harvested: Harvested, prompts: Ragged, format: ResponseFormat | None = None) -> Examples:
    """One training row a response, in the responses' tokens and order.

    Every visible token has weight 1 except tool results, which the student never has to produce and get 0. The end of
    sequence is part of a response only where the model reached it, so a response cut off by its length teaches no stop.
    Rows of which nothing is visible stay, empty. What was put at the start of a response (`Harvested.prefill`) is learnt as
    its beginning: nobody supplies it to the student later.

    Args:
        harvested: R responses and the pool's item that each answers.
        prompts: P rows of prompt tokens (chat template included), by item.
        format: tells the channels of what was put at the start; only needed where something was.

    Returns:
        R rows; the sold logprobs (none for what was put at the start), ``cut``, request and account are copied.
    """
    responses = harvested.responses
    rows = Examples(
        prompts=prompts.take(harvested.item),
        completions=responses.tokens,
        channel=responses.channel,
        weight=(responses.channel != Channel.TOOL).astype(np.float32),
        item=harvested.item.astype(np.int64),
        cut=responses.cut,
        top_ids=responses.top_ids,
        top_logprobs=responses.top_logprobs,
        logprob=responses.logprob,
        request=responses.request,
        account=harvested.account,
    )
    if harvested.prefill is None:
        return rows
    assert format is not None, "what was put at the start of responses has channels"
    return _begun(rows, harvested.prefill, format)


def _begun(rows: Examples, prefill: Ragged, format: ResponseFormat) -> Examples:
    """The rows with their prefill before them, empty rows as they are; its channels are the whole row's."""
    said = rows.completions
    given = prefill.keep(np.repeat(said.lengths > 0, prefill.lengths))
    lengths = given.lengths + said.lengths
    whole = Ragged.with_lengths(np.zeros(int(lengths.sum()), np.int32), lengths)
    first = whole.position < given.lengths[whole.row_of_value]
    whole.values[first], whole.values[~first] = given.values, said.values
    channel = format.channels(whole)[first]
    begun = replace(
        rows, completions=given, channel=channel, weight=(channel != Channel.TOOL).astype(np.float32), **_UNSOLD
    )
    apart = Examples.concat([begun, rows])  # says what stands where nothing was sold
    order = np.empty(len(first), np.int64)
    order[np.flatnonzero(first)], order[np.flatnonzero(~first)] = np.split(np.arange(len(first)), [len(given.values)])
    columns = ((name, getattr(apart, name)) for name in ("channel", "weight", *_UNSOLD))
    mixed: dict[str, Any] = {name: None if column is None else column[order] for name, column in columns}
    return replace(rows, completions=whole, **mixed)
