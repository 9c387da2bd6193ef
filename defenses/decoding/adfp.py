"""Antidistillation fingerprinting: green tokens are preferred where a student would take the preference over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import at_least
from defenses.base import Detection, Evidence, RequestFacts, Serving
from defenses.decoding.marks import firsts, green_tokens, last, pairs_of, texts_of
from defenses.decoding.watermark import SuspectSaid, Watermark
from defenses.strength import Strength
from lm.later import torch

if TYPE_CHECKING:
    from torch import Tensor

    from defenses.decoding.second_reader import SecondReader
    from lm.language_model import LanguageModel
    from lm.types import Processor

NUMBERS_AT_ONCE = 2**24
"""Probabilities of a suspect that are held together."""


@dataclass(frozen=True)
class ADFP(Watermark):
    """Samples from softmax([z_T + λ·p_P⊙(m − ⟨p_P, m⟩)] / τ): what raises the green mass of a student most.

    m is the 0/1 mask of tokens that are green after the last ``width`` tokens (`marks.green_tokens`), p_P the proxy's
    distribution at temperature 1, and p_P⊙(m − ⟨p_P, m⟩) the gradient of its green mass ⟨p_P, m⟩ by its logits: tokens that
    the proxy hardly says are left alone, whatever their colour. Where the end of the text is the likeliest token nothing is
    added, so that texts end where they did; λ is in nats of the teacher's logits, before the client's temperature τ (1
    where he is greedy, of which the largest score is taken). One forward pass of the proxy a token, keys and values cached.
    Tokens beyond the shared vocabulary are not changed. In the authors' code special tokens are never green, here they are
    as others are.

    `detect` (the paper's test of a suspect with open weights, on its own answers): in each different context of what it
    answers, where it is met first, the green share s of its own distribution over the vocabulary. Under a key that the
    suspect knows nothing of each token is green with probability γ by itself: given the distributions q_c, Σ s_c has mean
    γn and variance γ(1 − γ) Σ_c Σ_x q_c(x)², exactly, and is a sum of many small independent terms: p is that of a normal
    number. The authors print Hoeffding's bound exp(−2n(mean s − γ)²), which holds too and is far too large where the
    suspect is unsure.

    Args:
        lam: λ, at least 0; 0 changes nothing. The authors use 4 to 64.
        gamma: γ, the share of green tokens, in (0, 1).
        width: tokens of context, at least 1; 2 in the paper.
        key: chooses the green lists, with the provider's secret.
        tokens: most tokens of each answer that `detect` asks for.

    Raises:
        ConfigError: on decoding, when teacher and proxy have different vocabularies.
    """

    name: ClassVar[str] = "adfp"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Xu et al., ICML 2026, arXiv 2602.03812"
    uses: ClassVar[tuple[str, ...]] = ("proxy",)
    strength: ClassVar[Strength | None] = Strength("lam", 0, 64)

    lam: float
    gamma: float = 0.5
    width: int = 2
    key: int = 0
    tokens: int = 64

    def __post_init__(self) -> None:
        at_least(self, 0, "lam")
        require(0 < self.gamma < 1, "gamma", self.gamma, "must lie between 0 and 1")
        at_least(self, 1, "width", "tokens")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None at λ = 0."""
        if self.lam == 0:
            return None
        from defenses.decoding.second_reader import SecondReader, require_same_vocabulary

        proxy = serving.proxy()
        require_same_vocabulary(self.name, "proxy", serving.teacher, proxy)
        return _Fingerprint(self, SecondReader(proxy), serving.seed, serving.teacher.ends, asked.temperature)

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None for another vocabulary, and where the suspect says nothing."""
        said = self.ask(context)
        if said is None or not len(said.answers.values):
            return None
        pairs, _ = pairs_of(*said, self.width)
        return self.green_mass(context.suspect, said, firsts(pairs[:, :-1]), context.serving.seed)

    def green_mass(self, suspect: LanguageModel, said: SuspectSaid, at: NDArray[np.int64], secret: int) -> Evidence:
        """What a suspect's distributions show at places (n,) of its answers, whose contexts all differ."""
        from scipy.stats import norm

        context = pairs_of(*said, self.width)[0][:, :-1]
        longest, n = int(said.answers.lengths.max()), len(at)
        size, green, squares = max(1, NUMBERS_AT_ONCE // (suspect.vocabulary * longest)), 0.0, 0.0
        for start in range(0, len(said.answers), size):
            rows = np.arange(start, min(start + size, len(said.answers)))
            begins, ends = said.answers.offsets[[rows[0], rows[-1] + 1]]
            here = at[(at >= begins) & (at < ends)]
            scores = suspect.score(said.prompts.take(rows), said.answers.take(rows), suspect.vocabulary)
            assert scores.top_ids is not None
            assert scores.top_logprobs is not None
            ids = scores.top_ids[here - begins]
            mass = np.exp(scores.top_logprobs[here - begins].astype(np.float64)) * (ids < len(suspect.vocab))
            mass /= mass.sum(1, keepdims=True)
            green += mass[green_tokens(context[here], ids, self.gamma, self.key, secret)].sum()
            squares += (mass**2).sum()
        z = (green - self.gamma * n) / np.sqrt(self.gamma * (1 - self.gamma) * squares)
        return Evidence(float(norm.sf(z)), float(z), n)


class _Fingerprint:
    """Adds what raises a proxy's green mass to the scores.

    Args:
        mark: says which tokens are green.
        proxy: gives z_P.
        secret: the provider's.
        ends: tokens that end a text.
        temperature: (R,) τ of each response, 0 for greedy; None for 1 everywhere.
    """

    def __init__(
        self,
        mark: ADFP,
        proxy: SecondReader,
        secret: int,
        ends: NDArray[np.int64],
        temperature: NDArray[np.float64] | None,
    ) -> None:
        self.mark, self.proxy, self.secret, self.temperature = mark, proxy, secret, temperature
        self.ends = torch.from_numpy(ends)
        self._tau: Tensor | float = 1.0

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        from defenses.decoding.second_reader import temperatures

        self._tau = temperatures(self.temperature, rows)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), those of the shared vocabulary changed."""
        logits = self.proxy.logits(input_ids).float().to(scores.device)
        shared = min(self.proxy.width, logits.shape[1], scores.shape[1])
        p = logits[:, :shared].softmax(-1)
        context = last(texts_of(input_ids, self.proxy.pad), self.mark.width)
        tokens = np.arange(shared)
        m = torch.from_numpy(green_tokens(context, tokens, self.mark.gamma, self.mark.key, self.secret)).to(p)
        tau = self._tau if isinstance(self._tau, float) else self._tau.to(p)
        added = self.mark.lam * p * (m - (p * m).sum(1, keepdim=True)) / tau
        ending = torch.isin(scores.argmax(1, keepdim=True), self.ends.to(scores.device))
        changed = scores.clone()
        changed[:, :shared] += added.masked_fill(ending, 0.0).to(scores)
        return changed
