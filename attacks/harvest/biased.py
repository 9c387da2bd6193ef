"""Logits rebuilt from sold logprobs with the help of logit bias. Knows no attack.

A request raises some tokens and one reference r, the same in all requests, by the same B, so that they are the most probable
ones and are listed: z_i − z_r = logprob_i − logprob_r for each of them, whatever the others are. Where only the token i is
raised and r is listed all the same, it is logprob_i − logprob_r − B (Carlini et al. 2024, arXiv 2403.06634, section 5;
Finlayson et al. 2024, arXiv 2403.09539, section 4); raising both takes B out and lists r whatever its probability.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Raising(NamedTuple):
    """Which tokens are raised together.

    Args:
        groups_GK: tokens of each of G groups, -1 for none.
        reference: the token raised in all of them.
        bias: B.
    """

    groups_GK: NDArray[np.int64]
    reference: int
    bias: float

    @classmethod
    def of(cls, tokens: NDArray[np.integer], groups: int, per: int, bias: float) -> Raising:
        """The first of ``tokens`` as the reference, the others in so many groups of ``per``, as far as they reach."""
        padded = np.full(groups * per, -1)
        padded[: len(tokens) - 1] = tokens[1:]
        return cls(padded.reshape(groups, per), int(tokens[0]), bias)

    @property
    def biases(self) -> list[dict[int, float]]:
        """`Params.logit_bias` of a request of each group."""
        return [{int(t): self.bias for t in (self.reference, *group[group >= 0])} for group in self.groups_GK]


def groups_needed(tokens: int, per: int) -> int:
    """How many requests tell so many logits besides that of the reference, ``per`` of them each."""
    return -(-tokens // per)


def differences(
    ids_NK: NDArray[np.integer], logprobs_NK: NDArray[np.floating], wanted_NM: NDArray[np.integer], reference: int
) -> Array:
    """(N, M) logits of the wanted tokens less that of the reference, NaN where either is not listed.

    Args:
        ids_NK: the sold listing of N positions under equal bias on the wanted tokens and the reference.
        logprobs_NK: their logprobs.
        wanted_NM: tokens, -1 for none.
        reference: the token raised with them.
    """
    asked = np.concatenate([wanted_NM, np.full((len(wanted_NM), 1), reference)], 1)
    told = np.full(asked.shape, -np.inf)
    for ids, logprobs in zip(ids_NK.T, logprobs_NK.T, strict=True):  # k is small: (N, M) at a time, not (N, M, k)
        here = (ids[:, None] == asked) & (asked >= 0)
        told = np.where(here, np.maximum(told, logprobs[:, None].astype(np.float64)), told)
    told = np.where(np.isfinite(told), told, np.nan)
    return np.asarray(told[:, :-1] - told[:, -1:])


def normalised(differences_NM: Array) -> Array:
    """(N, M + 1) log-probabilities of the M tokens and, last, of the reference, where these are all tokens there are."""
    whole = np.concatenate([differences_NM, np.zeros((len(differences_NM), 1))], 1)
    largest = whole.max(1, keepdims=True)
    return np.asarray(whole - largest - np.log(np.exp(whole - largest).sum(1, keepdims=True)))
