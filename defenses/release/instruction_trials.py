"""Instructions that were tried on a rewriter, with what came of each, and how they are stored. Knows nothing of who wrote
them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from defenses.base import Prepared
from lm.later import torch

AS_IT_IS = ""
"""The instruction to leave traces as they are: no rewriter is asked."""


class Trial(NamedTuple):
    """What came of an instruction.

    Args:
        accuracy: share of the tasks that a student solves who learned from traces rewritten so; NaN where none was trained,
            for the rewriter spoilt too many.
        share: of the traces that left rewritten.
    """

    accuracy: float
    share: float

    @property
    def scored(self) -> bool:
        """Whether a student was trained."""
        return not math.isnan(self.accuracy)


Trials = Mapping[str, Trial]
"""By instruction, in the order in which they were tried; the traces as they are come first."""


def best_of(tried: Trials) -> str:
    """The instruction with the lowest accuracy, the first of equal ones."""
    scored = [instruction for instruction, trial in tried.items() if trial.scored]
    return min(scored, key=lambda instruction: tried[instruction].accuracy)


def scores_of(tried: Trials) -> dict[str, float]:
    """What a proposer is shown: one minus the accuracy, of instructions that beat the traces as they are; of all that were
    scored where none does."""
    scores = {one: 1 - trial.accuracy for one, trial in tried.items() if one != AS_IT_IS and trial.scored}
    better = {one: score for one, score in scores.items() if tried[one].accuracy < tried[AS_IT_IS].accuracy}
    return better or scores


def stored(tried: Trials, searched: str, random: str) -> Prepared:
    """The trials as tensors, with the winner and the control.

    Returns:
        ``tried``, the bytes of all texts in UTF-8 end to end, with ``offsets`` (C + 1,); ``accuracy`` and ``share``, (C,)
        each; ``searched`` and ``random``, which of the C these are.
    """
    texts, order = [instruction.encode() for instruction in tried], list(tried)
    return {
        "tried": torch.tensor(list(b"".join(texts)), dtype=torch.uint8),
        "offsets": torch.tensor(np.cumsum([0, *(len(text) for text in texts)])),
        "accuracy": torch.tensor([trial.accuracy for trial in tried.values()], dtype=torch.float64),
        "share": torch.tensor([trial.share for trial in tried.values()], dtype=torch.float64),
        "searched": torch.tensor(order.index(searched)),
        "random": torch.tensor(order.index(random)),
    }


def text_of(prepared: Prepared, which: int) -> str:
    """The text of one of the instructions that were stored."""
    start, end = prepared["offsets"][which : which + 2].tolist()
    return bytes(prepared["tried"][start:end].tolist()).decode()
