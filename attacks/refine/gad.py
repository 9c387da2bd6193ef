"""On-policy distillation from words alone: the student against a discriminator of the attacker's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from attacks.base import Refine, RefineContext, Refined
from attacks.own_samples import Anchor, affordable, answered, draw, reinforced, rounds
from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples


@dataclass(frozen=True)
class GAD(Refine):
    """Generative adversarial distillation: a discriminator D learns to tell the teacher's responses from the student's, and
    the student is reinforced to be taken for the teacher.

    A step takes P rows (x, y_t) of the training set and draws G responses y_s to each x at temperature 1. D's scores are
    the student's rewards: its advantages are GRPO's, and the step goes down −mean over tokens of [A · log π − β · KL(π ‖
    distilled student)] (`lm.reinforce.anchored`). D, in the same step, goes down −log σ(D(x, y_t) − D(x, y_s)), mean over
    all P·G pairs (the paper's minimax game, equations 1 to 3). Nothing but the harvest is used of the teacher, and no
    checker.

    As in the paper, the game follows a warm-up: the student's is its distillation; D, a copy of the student with a scalar
    read-out of the last token (`lm.discriminator`), first takes ``warmup`` steps against the student as it is. Otherwise
    than there: the paper warms up both together for an epoch; its roll-outs are at temperature 0.8 (authors' scripts), here
    at 1, so that the policy gradient is that of the policy; one step a batch, so there is no ratio to clip; and the rates
    are those of a mini model (AdamW, constant).

    Mini world, one seed, undefended, imitation first: pass@1 falls from .81 to .61 with these rates, untuned (reasoning from
    .81 to .18): to be taken for the teacher is not to be right.

    Rows of a prompt that is not in the pool are left out: the student could not be asked it with its tools. Every draw, and
    every step of either model, is booked; it stops where the budget cannot pay another batch.

    Args:
        steps: of the game, at most.
        warmup: steps of the discriminator alone.
        prompts: P; each row comes once before any comes again.
        samples: G.
        lr: of the student.
        discriminator_lr: of D.
        kl: β, at least 0.
    """

    name: ClassVar[str] = "gad"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Ye et al. 2025 (GAD), arXiv 2511.10643, section 2, and the authors' scripts (microsoft/LMOps)"
    )
    checks: ClassVar[bool] = False

    steps: int = 50
    warmup: int = 10
    prompts: int = 32
    samples: int = 8
    lr: float = 3e-4
    discriminator_lr: float = 1e-3
    kl: float = 0.001

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "prompts")
        at_least(self, 2, "samples")
        at_least(self, 0, "warmup", "kl")
        for name in ("lr", "discriminator_lr"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be positive")

    def run(self, context: RefineContext) -> Refined:
        """See `Refine.run`; the curve is the share of pairs in which D, as it was before the step, scored the teacher's
        response above the student's: 1/2 where it cannot tell them apart."""
        from lm.discriminator import Discriminator, bradley_terry
        from lm.reinforce import advantages, policy_of, policy_recipe

        told, curve = answered(context), list[float]()
        if not len(told):
            return Refined(context.student, np.zeros(0, np.float32))
        total = self.warmup + self.steps
        policy = policy_of(context.student, policy_recipe(self.steps, self.lr))
        judge = Discriminator(context.student, policy_recipe(total, self.discriminator_lr))
        anchor = Anchor(context.student, self.kl, 0, context.rng)
        unchecked = replace(context, check=lambda item, text: None)
        batches = rounds(np.arange(len(told)), self.prompts, context.rng)
        for step, batch in zip(range(total), batches, strict=False):
            rows = told.take(batch[: affordable(context.compute, self.samples, context.max_tokens)])
            playing = step >= self.warmup
            if not len(rows) or context.compute.left("steps") < 1 + playing:
                break
            drawn = draw(unchecked, policy.lm, rows.item, self.samples)
            theirs_P, own_PG = judge.scores(rows), judge.scores(drawn.rows).reshape(len(rows), self.samples)
            _, theirs_slope, own_slope = bradley_terry(theirs_P, own_PG)
            context.compute.book(steps=1)
            judge.learn(Examples.concat([rows, drawn.rows]), np.concatenate([theirs_slope, own_slope.reshape(-1)]))
            if playing and len(learnt := reinforced(drawn, advantages(own_PG), anchor)):
                context.compute.book(steps=1)
                policy.learn(learnt)
            # A sample in the teacher's very words is a tie, up to the rounding of another batch.
            above_PG = np.sign(np.round(theirs_P[:, None] - own_PG, 4))
            curve.append(float((1 + above_PG.mean()) / 2))
            context.progress(step + 1, total, f"told apart {curve[-1]:.3f}")
        return Refined(policy.lm, np.array(curve, np.float32))
