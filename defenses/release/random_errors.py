"""Make a share of the responses wrong. What a plausible wrong token is, the response format knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from defenses.base import Defense, ReleaseContext
from defenses.release.listing import exchanged
from defenses.strength import Strength
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class RandomErrors(Defense):
    """Puts one wrong token into the answer, or into one step of the trace, of a share of the responses.

    A chosen response has one token, drawn uniformly among those that can be wrong, exchanged by
    `lm.types.ResponseFormat.corrupted`: for ``answer`` among the answer's tokens, for ``step`` among the trace's
    sub-results. A wrong step is not carried forward: later steps and the answer stay as the teacher gave them, so an
    auditor can find it. A response without such a token is left alone.

    Sold logprobs tell the same lie: the wrong and the right token exchange their places in the listed distribution, so
    the position's ``logprob`` keeps its value, the list keeps its values, and only ids move.

    Args:
        rate: share of responses made wrong, in (0, 1]; 0.05–0.3 in the paper.
        where: ``answer`` or ``step``.

    Raises:
        ConfigError: on release, when steps are to be changed and no trace is sold.
    """

    name: ClassVar[str] = "random_errors"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835"
    checked: ClassVar[str] = "stated rate within its error; one token differs, with its listing"
    strength: ClassVar[Strength | None] = Strength("rate", 0, 1)
    rewords: ClassVar[bool] = True

    rate: float
    where: Literal["answer", "step"] = "answer"

    def __post_init__(self) -> None:
        require(0 < self.rate <= 1, "rate", self.rate, "must lie in (0, 1]")
        require(self.where in ("answer", "step"), "where", self.where, "must be 'answer' or 'step'")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Exchange one token in each chosen response."""
        chosen = np.flatnonzero(context.rng.random(len(responses)) < self.rate)
        candidate = self._candidates(responses, context)
        at, wrong = [], []
        for row in chosen:
            first, last = responses.tokens.offsets[row : row + 2]
            for index in context.rng.permutation(first + np.flatnonzero(candidate[first:last])):
                token = int(responses.tokens.values[index])
                other = context.format.corrupted(token, context.rng)
                if other != token:
                    at.append(int(index))
                    wrong.append(other)
                    break
        return exchanged(responses, np.asarray(at, np.int64), np.asarray(wrong, np.int32))

    def _candidates(self, responses: Responses, context: ReleaseContext) -> NDArray[np.bool_]:
        """(N,) tokens among which the wrong one is drawn."""
        wanted = Channel.ANSWER if self.where == "answer" else Channel.TRACE
        candidate: NDArray[np.bool_] = responses.channel == wanted
        if self.where == "answer":
            return candidate
        if context.interface.trace == "none":
            raise ConfigError("defense.random_errors.where", self.where, "has no steps to change: no trace is sold")
        return candidate & context.format.summary(responses.tokens, responses.channel)
