"""Average the noise out of the sold logprobs of answers that came back more than once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.dedup import first_of_each
from lm.examples import Examples

_NO_TAIL = 1e-6
"""Mass below which the tokens not listed count as none: float32 logprobs of a full vocabulary sum to 1 within this."""


@dataclass(frozen=True)
class AverageLogprobs(Recover):
    """Merges rows with the same prompt and completion into one, averaging their sold top-k logprobs in log space.

    Which mean is unbiased depends on where the noise enters. Gaussian noise of standard deviation σ on log-probabilities,
    made a distribution again, sells p'_i = p_i e^{σξ_i} / Z with Z = r + Σ_j p_j e^{σξ_j} and leaves the tail
    r' = r / Z (r: mass of the tokens not listed). In log p'_i − log r' = log p_i − log r + σξ_i the normaliser cancels
    and the noise has mean zero, so the mean over n answers of these log-odds is unbiased with standard error σ/√n; a
    softmax over the k listed tokens and the tail gives probabilities back. The mean of p'_i itself is biased at every n
    (before normalising E e^{σξ} = e^{σ²/2}; after it, large probabilities shrink and small ones grow). Exact where the
    drawn token is among the k listed; the provider otherwise perturbs it inside the tail. Noise that is a function of
    the question does not average out at all.

    A token missing from some of the answers is averaged over those that list it; of more than k, those listed most
    often stay, then the likelier. Answers without logprobs are merged too. Order is that of first appearance.
    """

    name: ClassVar[str] = "average_logprobs"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tramèr et al. 2016, arXiv 1609.02943, section 7 (repeating a query against noisy outputs)"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`."""
        first, group = first_of_each(data)
        merged = data.take(first)
        if data.top_ids is None or data.top_logprobs is None or len(first) == len(data):
            return merged
        merged_ids, merged_logprobs = merged.top_ids, merged.top_logprobs
        assert merged_ids is not None
        assert merged_logprobs is not None
        members = np.argsort(group, kind="stable")
        for g, rows in enumerate(np.split(members, np.cumsum(np.bincount(group))[:-1])):
            if len(rows) == 1:
                continue
            at = data.completions.value_index(rows).reshape(len(rows), -1)
            into = slice(merged.completions.offsets[g], merged.completions.offsets[g + 1])
            merged_ids[into], merged_logprobs[into] = average(data.top_ids[at], data.top_logprobs[at])
        return replace(merged, top_ids=merged_ids, top_logprobs=merged_logprobs)


def average(ids: NDArray[np.int32], logprobs: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Mean of R listings of the same T positions, see `AverageLogprobs`.

    Args:
        ids: (R, T, k), -1 where missing.
        logprobs: (R, T, k), -inf where missing.

    Returns:
        ids (T, k) and logprobs (T, k), in falling order.
    """
    _, t, k = ids.shape
    out_ids, out_logprobs = np.full((t, k), -1, np.int32), np.full((t, k), -np.inf, np.float32)
    listed = (ids >= 0) & np.isfinite(logprobs)
    told = np.where(listed, logprobs.astype(np.float64), -np.inf)
    tail = 1 - np.exp(told).sum(-1)
    for at in range(t):
        answers = listed[:, at].any(-1)
        if not answers.any():
            continue
        has_tail = bool((tail[answers, at] > _NO_TAIL).all())
        base = np.log(tail[:, at]) if has_tail else np.zeros(len(ids))
        odds = (told[:, at] - base[:, None])[listed[:, at]]
        found, place = np.unique(ids[:, at][listed[:, at]], return_inverse=True)
        count = np.bincount(place)
        mean = np.bincount(place, odds) / count
        keep = np.lexsort((-mean, -count))[:k]
        keep = keep[np.argsort(-mean[keep], kind="stable")]
        normaliser = np.logaddexp.reduce(np.append(mean[keep], 0.0) if has_tail else mean[keep])
        out_ids[at, : len(keep)], out_logprobs[at, : len(keep)] = found[keep], mean[keep] - normaliser
    return out_ids, out_logprobs
