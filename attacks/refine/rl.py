"""Reinforcement learning from the attacker's own checker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from attacks.base import Refine, RefineContext, Refined
from attacks.own_samples import Anchor, affordable, checkable, draw, reinforced, rounds
from configs.errors import require
from configs.identity import added
from configs.ranges import at_least


@dataclass(frozen=True)
class RL(Refine):
    """Samples the student on the attacker's own prompts and reinforces what his own checker accepts.

    A step draws G responses to each of P prompts at temperature 1 from the weights of now; a response's reward r is 1 where
    the checker accepts it, else 0, and with A = (r − mean of its group) / (sd of its group + ε) the step goes down
    −mean over tokens of A · log π(token). Groups without variance are left out; a batch of such groups takes no step, so a
    student that gets no signal stays as it is. Stops where the compute budget cannot pay another batch.

    With ``kl`` = β above 0 the step goes down −mean over tokens of [A · log π(token) − β (ρ − log ρ − 1)] instead, ρ the
    probability of the token under the distilled student over that of now: GRPO's estimate of KL(now ‖ distilled student).
    Responses without advantage are pulled back too, and most have none once the student is good; so that not all of them
    need be learnt, ``kl_samples`` of each group without variance can stand for it, drawn at random, each for G /
    ``kl_samples``. In expectation the step's gradient is then that of all responses. (Of trl's GRPOTrainer, β is 0 unless
    it is set, and the term is taken over all tokens; DAPO, which leaves groups without variance out, has no KL.)

    The reward is what the attacker himself can check; what he reports is scored by the task, on other items.

    Args:
        steps: most batches, one step each.
        prompts: P; each prompt comes once before any comes again.
        samples: G.
        lr: of AdamW, the same at every step.
        families: of the prompts that are used; () for all that he can check.
        advantage: ``grpo`` as above, or ``rloo``: r − mean of the other responses, no division.
        kl: β, at least 0; at 0 nothing holds the policy near the distilled student.
        kl_samples: how many responses stand for a group without variance, at most G; 0 for all. Says nothing at β = 0.
    """

    name: ClassVar[str] = "rl"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Javaheri et al. 2026, arXiv 2609.35699 (after distillation); Shao et al. 2024, arXiv 2402.03300, section 4.1.2 "
        "(GRPO); Ahmadian et al. 2024, arXiv 2402.14740 (RLOO)"
    )
    adaptive: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"lr": (5e-4, 1e-3, 2e-3)}

    steps: int = 50
    prompts: int = 64
    samples: int = 8
    lr: float = 1e-3
    families: tuple[str, ...] = ()
    advantage: Literal["grpo", "rloo"] = "grpo"
    kl: float = added(0.0)
    kl_samples: int = added(0)

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "prompts")
        at_least(self, 2, "samples")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(self.advantage in ("grpo", "rloo"), "advantage", self.advantage, "must be grpo or rloo")
        at_least(self, 0, "kl", "kl_samples")
        require(
            self.kl_samples <= self.samples, "kl_samples", self.kl_samples, f"must be at most samples = {self.samples}"
        )

    def run(self, context: RefineContext) -> Refined:
        """See `Refine.run`; the curve is the mean reward of each batch."""
        from lm.reinforce import advantages, policy_of, policy_recipe

        usable = checkable(context, self.families)
        if not len(usable):
            return Refined(context.student, np.zeros(0, np.float32))
        policy = policy_of(context.student, policy_recipe(self.steps, self.lr), resumes=True)
        anchor = Anchor(context.student, self.kl, self.kl_samples, context.rng)
        curve: list[float] = []
        for step, batch in zip(range(self.steps), rounds(usable, self.prompts, context.rng), strict=False):
            items = batch[: affordable(context.compute, self.samples, context.max_tokens)]
            if not len(items) or not context.compute.left("steps"):
                break
            drawn = draw(context, policy.lm, items, self.samples)
            curve.append(float(drawn.right.mean()))
            advantage = advantages(drawn.right.astype(np.float64), self.advantage)
            rows = reinforced(drawn, advantage, anchor)
            if len(rows):
                context.compute.book(steps=1)
                policy.learn(rows)
            context.progress(step + 1, self.steps, f"reward {curve[-1]:.3f}")
        return Refined(policy.lm, np.array(curve, np.float32))
