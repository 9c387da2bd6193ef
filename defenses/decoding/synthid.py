"""SynthID-Text: the next token wins a tournament whose matches a key decides, and a student says winners more often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import at_least, between
from defenses.base import Evidence, RequestFacts, Serving
from defenses.decoding.marks import last, padding, texts_of
from defenses.decoding.watermark import Watermark
from defenses.keyed import secret_word
from defenses.strength import Strength
from lm.compiled import compiled
from lm.later import torch
from lm.randomness import mixed

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import SynthIDTextWatermarkLogitsProcessor

    from lm.types import Processor

TABLE, TABLE_SEED = 2**16, 0
"""Places and seed of the table of coins; transformers' own defaults. The secret is in the keys."""

FACTOR, ADDED = 6364136223846793005, 1
"""Of transformers' hash."""
NEVER = -1e9
"""Score of a token that lost all probability; finite, so that nothing becomes NaN."""


@dataclass(frozen=True)
class SynthID(Watermark):
    """Changes probabilities as a tournament of ``layers`` rounds between 2^layers draws does, whose winner is said.

    In round l the token with the larger g_l(c, x) in {0, 1} wins, a coin by key l of the context c, the last ``width``
    tokens, and of x: p(x) becomes p(x)(1 + g_l(c, x) − Σ p g_l), round by round (non-distortionary, two tokens a match).
    Over keys each token keeps its probability. Hash and coins are those of transformers'
    ``SynthIDTextWatermarkLogitsProcessor``; not its state, which knows the tokens of one batch alone: contexts are taken
    from the text so far, the prompt and a tool's results included, and a context that the text had before is not marked
    again, so that scores are a function of the text. Greedy responses bear no mark, as nothing is drawn there. The keys
    come from ``key`` and the provider's secret.

    `detect`: the weighted mean of g over different pairs and rounds, earlier rounds weighing more (10 to 1 as in the paper),
    since less is left to be decided in later ones. g is looked up in a table of 2^16 coins, where a key shifts all places:
    pairs that share a place share all their coins, and the table's share of ones is not quite ½. So it is not a sum of
    independent fair coins. What a key can make of the given pairs in one round is counted for every possible shift, which
    gives its mean μ and variance v exactly; rounds are independent, and p is that of a normal number with mean μ Σ w and
    variance v Σ w². (Pairs that come again would be in v as well: not falsely small, but no evidence either.)

    Args:
        layers: rounds, at least 0, at most 64; 0 changes nothing. The paper uses 30.
        width: tokens of context, at least 1; the paper uses 4.
        key: chooses the keys, with the provider's secret.
        tokens: most tokens of each answer that `detect` asks for.
    """

    name: ClassVar[str] = "synthid"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Dathathri et al., Nature 634, 2024; transformers"
    checked: ClassVar[str] = "transformers' own processor and detectors; p uniform without a mark"
    strength: ClassVar[Strength | None] = Strength("layers", 0, 30)

    layers: int = 30
    width: int = 2
    key: int = 0
    tokens: int = 64

    def __post_init__(self) -> None:
        between(self, 0, 64, "layers")
        at_least(self, 1, "width", "tokens")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None without rounds."""
        if self.layers == 0:
            return None
        return _Tournament(self, serving.seed, padding(serving.teacher), asked.temperature)

    def finding(self, context: NDArray[np.int64], tokens: NDArray[np.int64], secret: int) -> Evidence | None:
        """The weighted mean's normal test; None without rounds."""
        from scipy.stats import norm

        if self.layers == 0:
            return None
        coins = self.coins(secret)
        keys = coins.compute_ngram_keys(torch.from_numpy(np.column_stack([context, tokens]))[None])
        g = coins.sample_g_values(keys)[0].numpy()
        weight = np.linspace(10, 1, self.layers)
        mean, variance = _over_keys(keys[0, :, 0].numpy() % TABLE, coins.sampling_table.numpy())
        z = ((g.sum(0) - mean) @ weight) / np.sqrt(variance * (weight**2).sum())
        return Evidence(float(norm.sf(z)), float(z), len(tokens))

    def coins(self, secret: int) -> SynthIDTextWatermarkLogitsProcessor:
        """Transformers' processor, of which the state is not used. On the CPU: on other devices its coins are others."""
        return _coins(self.layers, self.width, self.key, secret % 2**64)


@lru_cache(maxsize=8)
def _coins(layers: int, width: int, key: int, secret: int) -> SynthIDTextWatermarkLogitsProcessor:
    from transformers import SynthIDTextWatermarkLogitsProcessor

    words = mixed(mixed(secret_word(key) ^ np.uint64(secret)) ^ np.arange(layers, dtype=np.uint64))
    return SynthIDTextWatermarkLogitsProcessor(
        ngram_len=width + 1,
        keys=words.view(np.int64).tolist(),
        sampling_table_size=TABLE,
        sampling_table_seed=TABLE_SEED,
        context_history_size=1,
        device=torch.device("cpu"),
    )


def _over_keys(place: NDArray[np.int64], table: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and variance, over all keys of a round, of how many of N pairs at these places (N,) of the table get a 1.

    A key shifts all places by the same amount (`accumulate_hash` multiplies by an odd number, so every shift is as likely):
    all their sums are one circular correlation.
    """
    pairs = np.fft.rfft(np.bincount(place, minlength=len(table)))
    sums = np.fft.irfft(np.conj(pairs) * np.fft.rfft(table), len(table))
    return float(sums.mean()), float(sums.var())


class _Tournament:
    """Changes the scores as the rounds do.

    Args:
        mark: rounds and contexts.
        secret: the provider's.
        pad: token that fills rows on the left.
        temperature: (R,) τ of each response, 0 for greedy; None where none is.
    """

    def __init__(self, mark: SynthID, secret: int, pad: int, temperature: NDArray[np.float64] | None) -> None:
        self.mark, self.secret, self.pad, self.temperature = mark, secret, pad, temperature
        self._greedy: NDArray[np.bool_] | None = None

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        self._greedy = None if self.temperature is None else self.temperature[rows] == 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), those of rows in a new context changed."""
        texts = texts_of(input_ids, self.pad)
        marked = ~_met_before(texts, self.mark.width)
        if self._greedy is not None:
            marked &= ~self._greedy
        rows = torch.from_numpy(np.flatnonzero(marked)).to(scores.device)
        context = torch.from_numpy(last(texts, self.mark.width)).to(scores.device)
        changed = scores.clone()
        changed[rows] = self.won(context[rows], scores[rows])
        return changed

    def won(self, context: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) of the winners after contexts (B, width)."""
        coins = self.mark.coins(self.secret)
        words = coins.accumulate_hash(torch.ones_like(context[:, 0]), context).cpu()
        moves = coins.accumulate_hash(torch.zeros_like(coins.keys), coins.keys[:, None]) - ADDED
        p = scores.double().softmax(1).cpu().numpy()
        _play((words % TABLE).numpy(), (moves % TABLE).numpy(), coins.sampling_table.to(torch.uint8).numpy(), p)
        won = torch.from_numpy(p).log().clamp_min(NEVER).to(scores)
        return won.masked_fill(torch.isneginf(scores), -torch.inf)


@compiled
def _play(words: Any, moves: Any, table: Any, p: Any) -> None:
    """Every round of the tournament, on probabilities (B, V) in place.

    Transformers' hash goes from h to (h + next)·`FACTOR` + `ADDED`, and what is kept of it are its lowest bits, a place in
    the table of coins. So these alone are reckoned with, and a key moves the places of all tokens alike.

    Args:
        words: (B,) hashes of the contexts, their lowest bits.
        moves: (layers,) how far the key of each round moves a place.
        table: coins, 0 or 1.
        p: (B, V).
    """
    size, factor = len(table), FACTOR % len(table)
    place = np.empty(p.shape[1], np.int64)
    coin = np.empty(p.shape[1], np.float64)
    for r in range(p.shape[0]):
        for v in range(p.shape[1]):
            place[v] = ((words[r] + v) * factor + ADDED) % size * factor + ADDED
        for move in moves:
            mean = 0.0
            for v in range(p.shape[1]):
                coin[v] = table[(place[v] + move) & (size - 1)]
                mean += coin[v] * p[r, v]
            for v in range(p.shape[1]):
                p[r, v] *= max(1.0 + coin[v] - mean, 0.0)  # rounding leaves less than 0


def _met_before(texts: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """(B,) whether the last ``width`` tokens of each text (B, T) stand in it before."""
    if texts.shape[1] <= width:
        return np.zeros(len(texts), np.bool_)
    windows = np.lib.stride_tricks.sliding_window_view(texts, width, axis=1)
    met: NDArray[np.bool_] = (windows[:, :-1] == windows[:, -1:]).all(-1).any(1)
    return met
