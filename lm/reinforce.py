"""Reinforcement learning of a model from rewards of its own responses. Knows nothing of who gives them.

The policy gradient (Williams 1992) with the advantage of a response in its group as its reward, as in GRPO (Shao et al.,
arXiv 2402.03300, section 4.1.2) with one step a batch: the ratio of new to old policy is then 1, and there is nothing to
clip. There is no reference model, hence no KL term, unless the rows say so (`anchored`).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lm.examples import Examples
from lm.later import torch
from lm.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch
    from lm.language_model import LanguageModel
    from lm.train import Losses

Baseline = Literal["grpo", "rloo"]
POLICY_TOKENS = 4096
"""Of a micro-batch of a model that is no mini model."""
EPS = 1e-4
"""Added to a group's standard deviation."""


def advantages(reward_PG: NDArray[np.floating], baseline: Baseline = "grpo") -> NDArray[np.float32]:
    """(P, G) how much better each response is than the others to its prompt; exactly 0 in groups of equal rewards.

    ``grpo``: (r − mean) / (sd + `EPS`), mean and sd over the group (divisor G). ``rloo`` (Ahmadian et al., arXiv
    2402.14740): r − the mean of the other G − 1, which is G/(G − 1) · (r − mean).
    """
    reward = reward_PG.astype(np.float64)
    apart = reward - reward.mean(1, keepdims=True)
    if baseline == "rloo":
        found = apart * reward.shape[1] / max(1, reward.shape[1] - 1)
    else:
        found = apart / (reward.std(1, keepdims=True) + EPS)
    unequal = reward.max(1, keepdims=True) > reward.min(1, keepdims=True)
    return np.where(unequal, found, 0.0).astype(np.float32)


def weighted_by(rows: Examples, advantage: NDArray[np.float32]) -> Examples:
    """Rows to learn from: tokens that were learnt weigh their row's advantage (B,); rows of advantage 0 are dropped."""
    weight = (rows.weight != 0) * advantage[rows.completions.row_of_value]
    return rows.with_weight(weight).where(advantage != 0)


def anchored(
    rows: Examples, advantage: NDArray[np.float32], now: NDArray[np.float32], before: NDArray[np.float32], beta: float
) -> Examples:
    """Rows to learn from, held near an earlier policy: a token that was learnt weighs A − β·(1 − ρ), ρ = p_before / p_now.

    That is the gradient of A·log π − β·(ρ − log ρ − 1), whose last factor estimates KL(now ‖ before) without bias (GRPO,
    arXiv 2402.03300, equation 4), at the policy that drew the rows. The mean of *its* gradient over what that policy draws
    is the gradient of the other direction, KL(before ‖ now) (Tang and Munos 2025, arXiv 2506.09477); near ``before`` the
    two agree.

    Args:
        rows: that ``now`` drew.
        advantage: (B,) A of each row.
        now, before: (N,) log-probabilities of the tokens under both.
        beta: β.
    """
    pull = beta * -np.expm1(before.astype(np.float64) - now)
    return rows.with_weight(np.where(rows.weight != 0, advantage[rows.completions.row_of_value] - pull, 0.0))


class StandIns(NamedTuple):
    """Rows of a batch that stand for all of them in a mean.

    Args:
        rows: (R,) int64 which, in order.
        times: (R,) float32 how many rows each stands for, itself included.
    """

    rows: NDArray[np.int64]
    times: NDArray[np.float32]


def stand_ins(advantage_PG: NDArray[np.floating], each: int, rng: np.random.Generator) -> StandIns:
    """All rows of groups that have an advantage, and ``each`` of the G of groups that have none, drawn without putting back;
    each of these stands for G / ``each``, so that in expectation a sum over the stand-ins is the sum over all rows.

    Args:
        advantage_PG: (P, G), the responses to a prompt side by side.
        each: 1 to G.
        rng: draws them.
    """
    groups, size = advantage_PG.shape
    place_PG = rng.permuted(np.tile(np.arange(size), (groups, 1)), axis=1)
    whole_P = (advantage_PG != 0).any(1)
    kept = np.flatnonzero(whole_P[:, None] | (place_PG < each))
    return StandIns(kept, np.where(whole_P, 1.0, size / each)[kept // size].astype(np.float32))


def standing_in(rows: Examples, times: NDArray[np.float32], tokens: int) -> Examples:
    """Rows to learn from, so that the loss of a step (`policy_losses`, a mean over the tokens it is given) is the sum over
    rows, each as often as it stands for, over *all* the tokens of the batch.

    Args:
        rows: the stand-ins.
        times: (B,) see `StandIns`.
        tokens: that the whole batch would have been learnt from.
    """
    given = np.count_nonzero(rows.weight)
    share = np.float32(given / tokens)
    return rows.with_weight(rows.weight * times[rows.completions.row_of_value] * share)


def policy_losses(logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """−A · log π of each target and its weight: 1 wherever there is an advantage, so that the step's loss is the mean over
    *tokens* (as in DAPO, arXiv 2503.14476, eq. 8: long responses count by their length); see `lm.train.Losses`."""
    from lm.half_entropy import cross_entropies

    ce_BT = cross_entropies(logits_BTV, batch.target_BT)
    return ce_BT * batch.weight_BT, (batch.weight_BT != 0).float()


def policy_recipe(steps: int, lr: float, clip: float = 1.0) -> Recipe:
    """AdamW at one rate throughout."""
    return Recipe(steps=steps, optimizer="adamw", lr=lr, other_lr=lr, warmup=0.0, decay=0.0, clip=clip)


class Learner(Protocol):
    """A model in reinforcement learning.

    Attributes:
        lm: with its weights of now: to be sampled from.
    """

    lm: LanguageModel

    def learn(self, rows: Examples) -> None:
        """One step on rows of `weighted_by`, at least one of them."""
        ...


def policy_of(lm: LanguageModel, recipe: Recipe, resumes: bool = False) -> Learner:
    """A copy of a model, to be trained by `policy_losses`; all its weights are. ``resumes``: see `learner_of`."""
    return learner_of(lm, recipe, policy_losses, resumes)


def learner_of(lm: LanguageModel, recipe: Recipe, losses: Losses, resumes: bool = False) -> Learner:
    """A copy of a model, to be trained a step at a time; all its weights are.

    Args:
        lm: the model.
        recipe: how.
        losses: what to minimise.
        resumes: a large model goes on, after a kill, from the last state that was kept (`lm.underway`): it has the weights
            of then, and passes over as many steps as were taken. For work whose steps depend on nothing but samples, which
            are read again, and what is fixed; not where another model in training has a say.
    """
    from lm.mini.modeling import MiniForCausalLM

    own = lm.with_model(copy.deepcopy(lm.model))
    if isinstance(own.model, MiniForCausalLM):
        return _MiniPolicy(own, recipe, losses)
    return _PlainPolicy(own, recipe, losses, resumes)


class _MiniPolicy:
    """By the mini models' program of training (`lm.mini.program`): no padding and no tape."""

    def __init__(self, lm: LanguageModel, recipe: Recipe, losses: Losses = policy_losses) -> None:
        from lm.mini.stack import Stack, StackOptimizer

        self.lm, self._losses = lm, losses
        self._stack = Stack([lm.model])
        self._optimizer = StackOptimizer(self._stack, [recipe])
        self._done = 0

    def learn(self, rows: Examples) -> None:
        """See `Learner.learn`."""
        from lm.mini.packing import pack
        from lm.mini.program import forward
        from lm.train import weighed

        packed = pack([rows], int(self.lm.tokenizer.pad_token_id), self._stack.device)
        logits_GMV, back = forward(self._stack, packed)
        leaf = logits_GMV.requires_grad_()
        loss_GM, weight_GM = weighed(self._losses, leaf, packed.batch)
        (slope_GMV,) = torch.autograd.grad((loss_GM * weight_GM).sum() / weight_GM.sum(), leaf)
        back(slope_GMV)
        self._optimizer.step(self._stack, self._done)
        self._done += 1
        self._stack.write(0, self.lm.model)


class _PlainPolicy:
    """By the training loop of all other models."""

    def __init__(
        self, lm: LanguageModel, recipe: Recipe, losses: Losses = policy_losses, resumes: bool = False
    ) -> None:
        from lm.fitting import Fitting
        from lm.train import Trainer

        pad = lm.tokenizer.pad_token_id
        self.lm, self._done = lm, 0
        self._trainer = Trainer(lm.model, losses, replace(recipe, micro_tokens=POLICY_TOKENS), int(pad or 0))
        self._fitting = Fitting(lm.model, self._trainer, np.zeros(recipe.steps, np.float32)) if resumes else None
        lm.model.eval()

    def learn(self, rows: Examples) -> None:
        """See `Learner.learn`."""
        step, self._done = self._done, self._done + 1
        if self._fitting is not None and step < self._fitting.first:
            return
        self.lm.model.train()
        self._trainer.step(rows)
        self.lm.model.eval()
        if self._fitting is not None:
            self._fitting.after(step, rows)
