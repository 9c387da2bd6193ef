"""Locality reinforced distillation: the student ranks two samples of its own by which way the teacher's answers moved it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import Refine, RefineContext, Refined
from attacks.own_samples import affordable, answered, draw
from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class LoRD(Refine):
    """LoRD: of two samples of the student, the one that became more probable while it learnt is the better one.

    Two responses to each prompt are drawn at temperature 1 before a period of training and ranked after it, by the change Δ
    of their log-probability: y⁺ is the one with the larger Δ, y⁻ the other. Where y⁺ is still improbable (below τ₁) or
    became less probable (Δ⁺ below τ₂), the victim's response y_vic takes its place; so it does everywhere in the first
    period, which has no period before it. The period then goes down, prompt by prompt,

        σ(2 [(1 − λ) log P(y⁻)/P(y⁺) + λ clip(log P(y⁻)/P(y_vic))]),

    at λ = 1/2 the paper's loss (L_obj + L_reg in a sigmoid); a small λ leans on exploration, which is how the paper evades
    watermarks. clip is PPO's, to [log(1 − ε), log(1 + ε)]: outside there is no gradient. The two samples of the next period
    are drawn before the period starts to learn. No checker is used, nor anything of the teacher but the harvest.

    Written from summaries of the paper's section 4 and algorithm 1 and from the authors' code (liangzid/LoRD-MEA), and
    otherwise than there: log P is the *mean* over a response's tokens, so that long ones do not saturate the sigmoid (the
    code takes means and no sigmoid); P in the test of τ₁ is the mean probability of a token, as in the code, which compares
    that between the two instead of Δ and does not test τ₂ this way; it starts from the distilled student, as do all parts
    here, and not from the base; a period passes over all rows once, by AdamW at a constant rate.

    Mini world, one seed, undefended, imitation first: pass@1 falls from .81 to .31 with these rates, untuned: pushing own
    samples down has no bound here.

    Rows of a prompt that is not in the pool are left out. Where the budget cannot pay two responses to each of the others,
    it goes on with as many as it can; it stops where it cannot pay another step or another draw.

    Args:
        periods: of training; samples are drawn before all but the last (before the only one, if there is one).
        prompts: rows a step.
        lr: of AdamW.
        tau_1: τ₁, a probability.
        tau_2: τ₂, in nats a token.
        lam: λ, share of the part that keeps to the victim's responses, in [0, 1].
        clip: ε, in (0, 1).
    """

    name: ClassVar[str] = "lord"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Liang et al. 2025 (LoRD), ACL, arXiv 2409.02718, section 4 and algorithm 1"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    periods: int = 3
    prompts: int = 64
    lr: float = 3e-4
    tau_1: float = 0.8
    tau_2: float = -0.1
    lam: float = 0.5
    clip: float = 0.2

    def __post_init__(self) -> None:
        at_least(self, 1, "periods", "prompts")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(0 <= self.tau_1 <= 1, "tau_1", self.tau_1, "must lie in [0, 1]")
        require(0 <= self.lam <= 1, "lam", self.lam, "must lie in [0, 1]")
        require(0 < self.clip < 1, "clip", self.clip, "must lie between 0 and 1")

    def run(self, context: RefineContext) -> Refined:
        """See `Refine.run`; the curve is the loss of each step before it was taken."""
        from lm.reinforce import policy_of, policy_recipe

        most = affordable(context.compute, 2, context.max_tokens)
        victim = answered(context)
        victim = victim.take(np.sort(context.rng.permutation(len(victim))[:most]))
        if not len(victim) or not context.compute.left("steps"):
            return Refined(context.student, np.zeros(0, np.float32))
        steps, curve = -(-len(victim) // self.prompts), list[float]()
        policy = policy_of(context.student, policy_recipe(self.periods * steps, self.lr))
        two = _Two.drawn(context, policy.lm, victim)
        for period in range(self.periods):
            better, worse = (victim, two.second) if period == 0 else self._ranked(two, policy.lm, victim)
            if 0 < period < self.periods - 1:
                if affordable(context.compute, 2, context.max_tokens) < len(victim):
                    break
                two = _Two.drawn(context, policy.lm, victim)
            for batch in np.array_split(context.rng.permutation(len(victim)), steps):
                if not context.compute.left("steps"):
                    break
                three = (rows.take(batch) for rows in (better, worse, victim))
                loss, learnt = self._learnt(policy.lm, *three)
                if len(learnt):
                    context.compute.book(steps=1)
                    policy.learn(learnt)
                curve.append(loss)
                context.progress(len(curve), self.periods * steps, f"loss {curve[-1]:.3f}")
        return Refined(policy.lm, np.array(curve, np.float32))

    def _ranked(self, two: _Two, lm: LanguageModel, victim: Examples) -> tuple[Examples, Examples]:
        """y⁺ and y⁻ of each row."""
        (now_1, sure_1), (now_2, sure_2) = (_said(lm, rows) for rows in (two.first, two.second))
        rise_1, rise_2 = now_1 - two.before_1, now_2 - two.before_2
        swapped = rise_2 > rise_1
        cold = (np.where(swapped, sure_2, sure_1) < self.tau_1) | (np.maximum(rise_1, rise_2) < self.tau_2)
        rows, n = Examples.concat([two.first, two.second, victim]), len(victim)
        at = np.arange(n)
        return rows.take(at + np.where(cold, 2 * n, np.where(swapped, n, 0))), rows.take(at + np.where(swapped, 0, n))

    def _learnt(self, lm: LanguageModel, better: Examples, worse: Examples, victim: Examples) -> tuple[float, Examples]:
        """The mean loss of B prompts, and rows a step on which is a step down it."""
        rows, n = Examples.concat([better, worse, victim]), len(victim)
        mean, _ = _said(lm, rows)
        loss_B, slope_3B = lord_loss(mean.reshape(3, n), self.lam, self.clip)
        said = rows.weight != 0
        count = np.bincount(rows.completions.row_of_value, said, len(rows))
        each = (-slope_3B.reshape(-1) / n / np.maximum(count, 1))[rows.completions.row_of_value] * said
        # The learner takes the mean over the tokens that have a weight, of which the sum is wanted.
        weighted = rows.with_weight(each * np.count_nonzero(each))
        return float(loss_B.mean()), weighted.where(
            np.bincount(rows.completions.row_of_value, each != 0, len(rows)) > 0
        )


class _Two(NamedTuple):
    """Two samples of each row, and the (B,) mean log-probabilities of their tokens when they were drawn."""

    first: Examples
    second: Examples
    before_1: NDArray[np.float64]
    before_2: NDArray[np.float64]

    @classmethod
    def drawn(cls, context: RefineContext, lm: LanguageModel, victim: Examples) -> _Two:
        rows = draw(replace(context, check=lambda item, text: None), lm, victim.item, 2).rows
        first, second = (rows.take(np.arange(at, len(rows), 2)) for at in (0, 1))
        return cls(first, second, _said(lm, first)[0], _said(lm, second)[0])


def lord_loss(mean_3B: NDArray[np.float64], lam: float, clip: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B,) the loss of `LoRD`, and (3, B) its slope by the mean log-probabilities of y⁺, y⁻ and y_vic, which are its
    input."""
    better, worse, victim = mean_3B
    apart = worse - victim
    inside = (apart > np.log1p(-clip)) & (apart < np.log1p(clip))
    z = 2 * ((1 - lam) * (worse - better) + lam * np.clip(apart, np.log1p(-clip), np.log1p(clip)))
    loss = 1 / (1 + np.exp(-np.clip(z, -60, 60)))
    explore, keep = np.full(len(z), 2 * (1 - lam)), 2 * lam * inside
    return loss, loss * (1 - loss) * np.stack([-explore, explore + keep, -keep])


def _said(lm: LanguageModel, rows: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B,) twice: mean log-probability and mean probability of the tokens of each row that were said, 0 for none."""
    logprob = lm.score(rows.prompts, rows.completions).logprob.astype(np.float64)
    said, row = rows.weight != 0, rows.completions.row_of_value
    count = np.maximum(1, np.bincount(row, said, len(rows)))
    mean, sure = (np.bincount(row, np.where(said, of, 0.0), len(rows)) / count for of in (logprob, np.exp(logprob)))
    return mean, sure
