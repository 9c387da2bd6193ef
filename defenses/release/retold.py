"""The base of defenses that say the same trace in another way: by the grammar of the response format, or by a language model
that follows an instruction. Knows no single way."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import Defense, Preparation, Prepared, ReleaseContext
from defenses.release.model_rewriter import ModelRewriter
from defenses.release.rewriter import Arrangement, Desk, release_as, release_rows
from lm.huggingface import Pretrained
from lm.ragged import Ragged
from teacher.api.schema import Responses


@dataclass(frozen=True)
class Retold(Defense):
    """Base: traces leave in other words, answers, calls and tool results token by token as they were.

    Where ``rewriter`` is None the response format's own statements are arranged anew, which keeps them as true as they
    were. A model is tried on clean traces before the API opens and refused if it spoils more than half of them
    (`ModelRewriter.require_answers`). A row whose text would change the answer, or leave no trace, or be longer than the
    client allows, is released as it was, by the grammar and by a model alike: an API cannot refuse an answer that it has
    sold. `Serving.memory` counts these rows, by reason, as ``rewriter``. Rewritten rows have no logprobs: the teacher did
    not draw that text. Tokens are billed as generated.

    Args:
        rewriter: the model that rewrites; None for the grammar, the way for formats that know statements (the mini world).
        instruction: what that model is told.
    """

    needs: ClassVar[tuple[str, ...]] = ("trace",)
    rewords: ClassVar[bool] = True

    rewriter: Pretrained | None = field(default=None, kw_only=True)
    instruction: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        told = self.rewriter is None or bool(self.instruction.strip())
        require(told, "instruction", self.instruction, "must tell the rewriter what to do")

    def acts(self, hook: str) -> bool:
        """Only a model is tried beforehand."""
        return super().acts(hook) and (hook != "prepare" or self.rewriter is not None)

    def prepare(self, context: Preparation) -> Prepared:
        """Nothing; refuses a model that spoils answers."""
        if self.rewriter is not None:
            ModelRewriter(self.rewriter, self.told()).require_answers(context, self.name)
        return {}

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Say the traces anew."""
        if self.rewriter is None:
            desk = Desk.at(context, responses)
            return release_as(Arrangement(self.arranged(responses, desk)), responses, context)
        rows = np.flatnonzero(self.chosen(responses, context))
        return release_rows(ModelRewriter(self.rewriter, self.told()), rows, responses, context)

    @abstractmethod
    def arranged(self, responses: Responses, desk: Desk) -> Ragged:
        """R rows of new tokens, by the grammar."""

    def chosen(self, responses: Responses, context: ReleaseContext) -> NDArray[np.bool_]:
        """(R,) which rows a model rewrites: all."""
        return np.ones(len(responses), np.bool_)

    def told(self) -> str:
        """The instruction as the model gets it."""
        return self.instruction
