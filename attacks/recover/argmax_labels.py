"""Believe of what is sold only which token comes first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from lm.examples import Examples


@dataclass(frozen=True)
class ArgmaxLabels(Recover):
    """Keeps the first sold token of each position, as if it had all probability: a defense that moves probabilities and
    leaves the order of the first alone changes nothing of what is learnt.

    Lists come in falling order. Matched with `student.objectives.topk_kl.TopKKL` this is cross-entropy on the first token,
    which need not be the drawn one; where nothing is listed the drawn token is learnt.
    """

    name: ClassVar[str] = "argmax_labels"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Mazeika et al., ICML 2022, arXiv 2206.14157 (their adversary that trains on the argmax)"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Rows without sold logprobs stay as they are."""
        if data.top_ids is None:
            return data
        first = data.top_ids[:, :1]
        return replace(data, top_ids=first, top_logprobs=np.where(first >= 0, np.float32(0), np.float32(-np.inf)))
