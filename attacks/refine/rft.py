"""Rejection sampling and fine-tuning on the attacker's own correct answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Refine, RefineContext, Refined
from attacks.compute import ComputeExceededError
from attacks.own_samples import affordable, checkable, draw
from attacks.recover.dedup import first_of_each
from configs.ranges import at_least
from lm.examples import Examples


@dataclass(frozen=True)
class RFT(Refine):
    """Round by round: samples the student on the attacker's own prompts at temperature 1, keeps the responses that his own
    checker accepts, each once, and trains the student of this round further on them.

    Stops where the compute budget cannot pay another round. A round without a right response changes nothing.

    Args:
        rounds: of sampling and training.
        samples: responses a prompt and round.
        keep_data: whether what was harvested is learnt along with them (as in RFT; without it, as in STaR and ReST).
        families: of the prompts that are used; () for all that he can check.
    """

    name: ClassVar[str] = "rft"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Yuan et al. 2023 (RFT), arXiv 2308.01825; Zelikman et al. 2022 (STaR), arXiv 2203.14465"
    adaptive: ClassVar[bool] = True

    rounds: int = 2
    samples: int = 4
    keep_data: bool = True
    families: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least(self, 1, "rounds", "samples")

    def run(self, context: RefineContext) -> Refined:
        """See `Refine.run`; the curve is the share of right responses of each round."""
        usable, student, curve = checkable(context, self.families), context.student, list[float]()
        for _ in range(self.rounds):
            most = affordable(context.compute, self.samples, context.max_tokens)
            items = context.rng.permutation(usable)[:most]
            if not len(items):
                break
            drawn = draw(context, student, items, self.samples)
            curve.append(float(drawn.right.mean()))
            right = drawn.rows.where(drawn.right.reshape(-1))
            rows = right.take(first_of_each(right)[0])
            if not len(rows):
                continue
            try:
                student = context.fit(Examples.concat([context.data, rows]) if self.keep_data else rows, student)
            except ComputeExceededError:
                break
        return Refined(student, np.array(curve, np.float32))
