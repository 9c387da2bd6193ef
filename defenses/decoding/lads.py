"""Every account draws for itself, and all accounts draw the same: many accounts see no more than one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from defenses.base import Defense, RequestFacts, Serving
from defenses.keyed import Words, secret_word
from lm.randomness import mixed


@dataclass(frozen=True)
class LADS(Defense):
    """Draws each response with a seed that is PRF(secret, bucket of the prompt, how often this account asked it before).

    An account that asks again gets a fresh sample of the teacher's own distribution every time, so nobody loses anything.
    But all accounts get the same sample on their first visit, the same on their second, and so on: A accounts that ask a
    prompt once see one response to it, not A. The n responses of one request differ, as the place among them enters the
    seed too.

    The seed is keyed by (secret, bucket, visit, place among the responses of a request) and takes the place of the client's;
    tokens are drawn from the teacher's own distribution, whose logprobs stay what they are. Accounts whose prompts share a
    bucket but not all words use the same noise on different distributions. Greedy requests (temperature 0) have nothing to
    be drawn and are answered as without this defense.

    No cryptographic strength is claimed of the PRF.
    """

    name: ClassVar[str] = "lads"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "arXiv 2605.18829"
    checked: ClassVar[str] = "chi-square: one account sees the model's own distribution; equal visits see equal text"
    uses: ClassVar[tuple[str, ...]] = ()
    sees: ClassVar[tuple[str, ...]] = ("account", "bucket", "visit")

    def seeds(self, serving: Serving, asked: RequestFacts) -> NDArray[np.int64]:
        """See `Hooks.seeds`."""
        return streams(serving.seed, asked).view(np.int64)


def streams(seed: int, asked: RequestFacts) -> Words:
    """(R,) the word that seeds each response: of the secret, the bucket, the visit, the place among those of its request.

    Responses of a request are neighbours, and no other request of that account has its bucket and its visit.
    """
    request = np.stack([asked.account, asked.bucket, asked.visit])
    begins = np.concatenate([[True], (request[:, 1:] != request[:, :-1]).any(0)])[: len(asked)]
    at = np.arange(len(asked))
    place = at - np.maximum.accumulate(np.where(begins, at, 0))
    word = secret_word(seed)
    for column in (asked.bucket, asked.visit, place):
        word = mixed(word ^ mixed(column.astype(np.int64).view(np.uint64)))
    return word
