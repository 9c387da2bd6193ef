"""Every account draws for itself, and all accounts draw the same: many accounts see no more than one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from defenses.base import Defense, RequestFacts, Serving
from defenses.keyed import Words, secret_word
from lm.later import torch
from lm.randomness import mixed, uniforms

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor

NEVER = -1e9
"""Log-probability of a token that is not drawn; finite, since a logprob of −∞ stands for one that is missing."""


@dataclass(frozen=True)
class LADS(Defense):
    """Draws each response with a seed that is PRF(secret, bucket of the prompt, how often this account asked it before).

    An account that asks again gets a fresh sample of the teacher's own distribution every time, so nobody loses anything.
    But all accounts get the same sample on their first visit, the same on their second, and so on: A accounts that ask a
    prompt once see one response to it, not A. The n responses of one request differ, as the place among them enters the
    seed too.

    A token is argmax_v (log p(v) + G_v), with p at the client's temperature and G_v = −log(−log U_v) from a stream keyed by
    (secret, bucket, visit, place, tokens since the prompt's end), which is a draw from p. Accounts whose prompts share a
    bucket but not all words use the same noise on different p. Greedy requests (temperature 0) have nothing to be drawn and
    are answered as without this defense. The processor leaves a distribution with all its mass on the drawn token: put it
    last among defenses of decoding, and sell no logprobs beside it, since all of them, and the scores of completions, are
    those of this distribution.

    No cryptographic strength is claimed of the PRF.
    """

    name: ClassVar[str] = "lads"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arXiv 2605.18829"
    uses: ClassVar[tuple[str, ...]] = ()
    sees: ClassVar[tuple[str, ...]] = ("account", "bucket", "visit", "length")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor:
        """The processor; needs nothing of the model."""
        end = serving.teacher.tokenizer.eos_token_id
        pad = serving.teacher.tokenizer.pad_token_id
        return _Drawn(streams(serving.seed, asked), asked, pad if pad is not None else end)


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


class _Drawn:
    """Puts all mass on the token that a response's own stream draws.

    Args:
        words: (R,) of each response.
        asked: (R,) what is known of it.
        pad: the token that fills rows on the left.
    """

    def __init__(self, words: Words, asked: RequestFacts, pad: int) -> None:
        self.words, self.asked, self.pad = words, asked, pad
        self.rows = np.arange(len(asked))

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        self.rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), all mass on one token; those of greedy rows as they are."""
        written = ((input_ids != self.pad).cumsum(1) > 0).sum(1).cpu().numpy() - self.asked.length[self.rows]
        seeds = mixed(self.words[self.rows] ^ mixed(written.astype(np.int64).view(np.uint64))).view(np.int64)
        uniform = uniforms(seeds, np.zeros(len(seeds), np.int64), scores.shape[1])
        gumbel = -np.log(-np.log1p(-np.maximum(uniform, 2.0**-54)))
        token = (scores.double() + torch.from_numpy(gumbel).to(scores.device)).argmax(1, keepdim=True)
        drawn = torch.full_like(scores, NEVER).scatter(1, token, 0.0)
        if self.asked.temperature is None:
            return drawn
        greedy = torch.from_numpy(self.asked.temperature[self.rows] == 0).to(scores.device)
        return torch.where(greedy[:, None], scores, drawn)
