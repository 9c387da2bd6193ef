"""Learn from harvested text which tokens a watermark prefers, and learn the text without the preference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.retelling import own_words, retold
from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples
from lm.later import torch
from lm.ragged import Ragged
from lm.types import Scores

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import Tensor

    from lm.language_model import LanguageModel

RAREST = 5e-5
"""Share of the positions below which a prefix is not looked at (the authors' value)."""
ALPHA = 0.3
"""Exponent of the weights of prefixes (the authors' value)."""


@dataclass(frozen=True)
class NeutraliseWatermark(Recover):
    """Says harvested responses again by a model that was fitted to them, with what rose in it after each prefix subtracted.

    After a prefix p of n tokens (n = 0 to ``width``), P_after(x|p) and P_before(x|p) are the mean probabilities of token x
    over all places of the harvested text that follow p: in a model fitted to that text and in the one that it is compared
    with. Risen tokens get d_n(x; p) = ½ min(2, P_after/P_before), others 0. A prefix of frequency f has the weight
    w(p) = 1/(log f / log f_max)^0.3, the empty one 1. The responses are drawn from scores − δ' Σ_n w(p) d_n(x; p), and those
    that keep the answer take the place of the harvested ones (`attacks.recover.retelling`).

    Two differences from the paper. There the fitted model itself is used so when it serves; here a student learns the
    result, so that nothing is to be done at inference. And there the model before training is the base; where that is far
    from the task, all words of the task rise and all are pushed down alike. With ``public_rows`` it is the base fitted to
    so much public data, which knows the task and no watermark. What the teacher says otherwise than public data do rises
    too, so that the answers of hard tasks are lost first: fewer rows are left, and what they say is less like the teacher.
    Too large a δ' turns the watermark around, which a test in the other direction would see.

    Args:
        strength: δ' in nats, at least 0.
        width: longest prefix, 1 to 3: the attacker's guess of the watermark's context.
        public_rows: that the model compared with is fitted to; 0 for the base itself.
        tries: most responses drawn for a row, until one has its answer.
        top: most probable tokens looked at after each place.
    """

    name: ClassVar[str] = "neutralise_watermark"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Pan et al. 2025, arXiv 2502.11598, watermark neutralization (and the authors' code)"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    checks: ClassVar[bool] = False

    strength: float = 2.5
    width: int = 2
    public_rows: int = 2000
    tries: int = 3
    top: int = 50

    def __post_init__(self) -> None:
        require(self.strength >= 0, "strength", self.strength, "must be at least 0")
        require(1 <= self.width <= 3, "width", self.width, "must be 1, 2 or 3")
        at_least(self, 1, "tries", "top")
        at_least(self, 0, "public_rows")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`."""
        assert context.fit is not None
        assert context.own is not None
        assert context.student is not None
        if not (data.item >= 0).any() or not len(data.completions.values):
            return data
        rows = context.own(data)
        after, before = context.fit(rows), context.student()
        if self.public_rows:
            before = context.fit(context.own(context.public(self.public_rows)), seed=1)
        found = risen(after, before, rows, self.width, self.top)
        return retold(data, context, own_words(context, after, [Inverse(found, self.strength)]), self.tries)


class Risen(NamedTuple):
    """What rose after the prefixes of one length.

    Args:
        length: n, tokens of a prefix.
        keys: (P,) sorted `keyed` numbers of the prefixes.
        weighted: (P, V) w(p) d_n(x; p).
    """

    length: int
    keys: NDArray[np.int64]
    weighted: csr_matrix


class Inverse:
    """Subtracts δ' Σ_n w(p) d_n(x; p) from scores (B, V) after tokens (B, T); a `lm.types.Processor`."""

    def __init__(self, found: Sequence[Risen], strength: float) -> None:
        self.found, self.strength = found, strength

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: D102
        ids, much = input_ids.cpu().numpy(), np.zeros(scores.shape, np.float32)
        for length, keys, weighted in self.found:
            if ids.shape[1] < length:
                continue
            own = keyed(ids[:, ids.shape[1] - length :], scores.shape[1])
            at = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
            known = np.flatnonzero(keys[at] == own)
            much[known] += weighted[at[known]].toarray()
        return scores - self.strength * torch.from_numpy(much).to(scores)


def keyed(prefixes: NDArray[np.integer], vocabulary: int) -> NDArray[np.int64]:
    """(B,) a number for each prefix (B, n) of tokens, n up to 3."""
    return prefixes.astype(np.int64) @ np.power(vocabulary, np.arange(prefixes.shape[1]), dtype=np.int64)


def risen(after: LanguageModel, before: LanguageModel, rows: Examples, width: int, top: int) -> list[Risen]:
    """What rose from one model to another in these rows, after prefixes of 0 to ``width`` tokens; see the class."""
    from scipy.sparse import csr_matrix

    vocabulary, count = after.vocabulary, len(rows.completions.values)
    whole = Ragged.of([np.concatenate(pair) for pair in zip(rows.prompts, rows.completions, strict=True)])
    places = np.flatnonzero(whole.position >= rows.prompts.lengths[whole.row_of_value])
    k = min(top, vocabulary)
    high, _ = _probabilities(after.score(rows.prompts, rows.completions, k), vocabulary)
    low, rest = _probabilities(before.score(rows.prompts, rows.completions, k), vocabulary)
    found = []
    for length in range(width + 1):
        far = np.flatnonzero(whole.position[places] >= length)
        if not len(far):
            break
        keys = keyed(whole.values[places[far, None] - np.arange(length, 0, -1)], vocabulary)
        prefixes, of, times = np.unique(keys, return_inverse=True, return_counts=True)
        mean = csr_matrix((1 / times[of], (of, far)), (len(prefixes), count))
        up, down, floor = (mean @ high).tocoo(), csr_matrix(mean @ low), np.asarray(mean @ rest)
        base = np.maximum(np.asarray(down[up.row, up.col]).ravel(), floor[up.row])
        d = np.where(up.data > base, 0.5 * np.minimum(2, up.data / base), 0)
        weighted = (d * weights(times / count)[up.row], (up.row, up.col))
        found.append(Risen(length, prefixes, csr_matrix(weighted, (len(prefixes), vocabulary))))
    return found


def weights(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) w(p) of the prefixes of one length; 0 for rare ones, 1 for the most frequent."""
    most = float(frequency.max(initial=0))
    often = frequency > RAREST
    rarity = np.log(np.where(often, frequency, most)) / np.log(most) if 0 < most < 1 else np.ones(len(frequency))
    return np.where(often, rarity**-ALPHA, 0.0)


def _probabilities(scores: Scores, vocabulary: int) -> tuple[csr_matrix, NDArray[np.float64]]:
    """(N, V) those of the listed tokens, and (N,) at most what each unlisted one has."""
    from scipy.sparse import csr_matrix

    assert scores.top_ids is not None
    assert scores.top_logprobs is not None
    count, k = scores.top_ids.shape
    p = np.exp(scores.top_logprobs.astype(np.float64))
    listed = csr_matrix((p.ravel(), (np.repeat(np.arange(count), k), scores.top_ids.ravel())), (count, vocabulary))
    left = np.maximum(1 - p.sum(1), 0) / max(vocabulary - k, 1)
    return listed, np.maximum(np.minimum(left, p.min(1)), 1e-12)
