"""Fits a language model to training rows under an objective. Knows nothing of where the rows came from."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.examples import Examples
from lm.train import epochs, train
from lm.types import Progress
from student.objectives.base import Objective

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.recipe import Recipe


class Trained(NamedTuple):
    """A fitted model, and the (steps,) training loss of each step's rows before the step was taken."""

    lm: LanguageModel
    losses: NDArray[np.float32]


def fit(
    lm: LanguageModel, examples: Examples, objective: Objective, recipe: Recipe, seed: int, progress: Progress
) -> Trained:
    """Train a copy of ``lm`` on ``examples`` and return it; ``lm`` is left as it was.

    Rows are reshuffled every epoch over all families together, so that every batch mixes them.

    Args:
        lm: the base model.
        examples: at least one row, in the model's own tokens.
        objective: the loss.
        recipe: steps, batch size, optimizer.
        seed: of the order of the rows.
        progress: told after each step.

    Raises:
        ConfigError: no rows, or an objective that needs logprobs which the rows do not have.
    """
    require_rows(examples, objective)
    model = copy.deepcopy(lm.model)
    batches = epochs(examples, recipe, np.random.default_rng(seed))
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else 0
    curve = train(model, batches, objective.losses, recipe, int(pad), progress)
    return Trained(lm.with_model(model), curve)


def require_rows(examples: Examples, objective: Objective) -> None:
    """Refuse rows that an objective cannot learn from.

    Raises:
        ConfigError: there are none, or they lack logprobs.
    """
    require(len(examples) > 0, "examples", 0, "a student needs at least one training row")
    has_logprobs = not objective.needs_top_logprobs or examples.top_logprobs is not None
    require(has_logprobs, "objective", type(objective).__name__, "needs top-k logprobs, which these rows do not have")
