"""Finds what the model behind the API generated, for responses as the attacker received them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import MoatBenchError
from experiments.store.layout import ref_of
from lm.examples import from_arrays
from lm.types import Channel, Generations

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from experiments.store.store import Store
    from teacher.api.schema import Responses


def generated(harvest: Entry, responses: Responses, prompts: Sequence[str], store: Store) -> list[Generations]:
    """The batches of raw generations that R responses were made from, in their order: together they have R rows.

    Requests that are sent together are answered as one batch, which the store keeps (`ModelBackend.complete`). The manifest
    of a harvest names its batches but not their order: a batch belongs where its prompts and billed lengths are found.

    Args:
        harvest: the stored harvest.
        responses: that it holds.
        prompts: R texts, the prompt of each response.
        store: that it is in.

    Raises:
        MoatBenchError: batches are missing.
    """
    refs = [ref_of(memo["stage"], memo["key"]) for memo in harvest.manifest["memos"]]
    left = [memo for ref in refs if ref.stage == "generations" and (memo := store.entry(ref)) is not None]
    found: list[Generations] = []
    start = 0
    while start < len(responses):
        for memo in left:
            raw = from_arrays(Generations, memo.arrays("generations"))
            here = slice(start, start + len(raw.tokens))
            first = np.flatnonzero(np.diff(responses.request[here], prepend=-1))  # of each request's responses
            asked = hashlib.sha256("\0".join(prompts[start + at] for at in first.tolist()).encode()).hexdigest()
            own = np.bincount(raw.tokens.row_of_value, raw.channel != Channel.TOOL, len(raw.tokens))
            if asked == memo.manifest["config"]["prompts"] and np.array_equal(own, responses.output_tokens[here]):
                break
        else:
            raise MoatBenchError(f"the store does not hold what was generated for response {start}, {prompts[start]!r}")
        left.remove(memo)
        found.append(raw)
        start += len(raw.tokens)
    return found
