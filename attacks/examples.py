"""From what an API answered to training rows. Knows nothing of models or of how the answers were come by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel

if TYPE_CHECKING:
    from attacks.client import Harvested


def to_examples(harvested: Harvested, prompts: Ragged) -> Examples:
    """One training row a response, in the responses' tokens and order.

    Every visible token has weight 1 except tool results, which the student never has to produce and get 0. The end of
    sequence is part of a response only where the model reached it, so a response cut off by its length teaches no stop.
    Rows of which nothing is visible stay, empty.

    Args:
        harvested: R responses and the pool's item that each answers.
        prompts: P rows of prompt tokens (chat template included), by item.

    Returns:
        R rows; the sold logprobs and ``cut`` are copied.
    """
    responses = harvested.responses
    return Examples(
        prompts=prompts.take(harvested.item),
        completions=responses.tokens,
        channel=responses.channel,
        weight=(responses.channel != Channel.TOOL).astype(np.float32),
        item=harvested.item.astype(np.int64),
        cut=responses.cut,
        top_ids=responses.top_ids,
        top_logprobs=responses.top_logprobs,
        logprob=responses.logprob,
    )
