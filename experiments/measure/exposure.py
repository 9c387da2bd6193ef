"""What the attacker has before he learns anything from it: how many prompts, how many cut answers, and how much of it the
defense changed. Knows no table and no file."""

from __future__ import annotations

from collections import Counter

import numpy as np

from attacks.client import Harvested


def exposure(harvest: Harvested, undefended: Harvested) -> dict[str, float | int | None]:
    """Facts of a harvest, by name.

    ``distinct_prompts``: prompts of which at least one answer came back. ``cut_share``: share of the answers that end at
    ``max_tokens``; None without answers. ``changed_share``: see `changed_share`.

    Args:
        harvest: what the attack got.
        undefended: what the same attack got from the undefended API.
    """
    finished = harvest.responses.finished
    return {
        "distinct_prompts": len(np.unique(harvest.item)),
        "cut_share": float(1 - finished.mean()) if len(finished) else None,
        "changed_share": changed_share(harvest, undefended),
    }


def changed_share(harvest: Harvested, undefended: Harvested) -> float | None:
    """Share of the attacker's requests whose answer the defense changed or refused.

    Answers are paired by prompt and by the how-manieth answer to it they are. Sampling noise is the same with and without
    the defense, so an answer that it leaves alone is equal to the last number sold of it. What only one of the two attacks
    asked (an adaptive one goes its own way) is left out.

    Args:
        harvest: on the defended API.
        undefended: on the undefended one.

    Returns:
        None where nothing was asked in both.
    """
    ours, theirs = _contents(harvest), _contents(undefended)
    both = ours.keys() & theirs.keys()
    changed = sum(ours[place] != theirs[place] for place in both)
    refused = harvest.asked - len(np.unique(harvest.responses.request))
    compared = len(both) + refused
    return (changed + refused) / compared if compared else None


def _contents(harvest: Harvested) -> dict[tuple[int, int], tuple[bytes, ...]]:
    """All that is sold of each answer, by its prompt and the how-manieth answer to it, from 0."""
    got = harvest.responses
    sold = [a for a in (got.tokens.values, got.logprob, got.top_ids, got.top_logprobs) if a is not None]
    times: Counter[int] = Counter()
    found = {}
    for row, prompt in enumerate(harvest.item.tolist()):
        start, end = got.tokens.offsets[row : row + 2]
        found[prompt, times[prompt]] = tuple(part[start:end].tobytes() for part in sold)
        times[prompt] += 1
    return found
