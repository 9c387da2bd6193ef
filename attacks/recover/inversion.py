"""A model that writes whole working around what an API shows of it. Knows nothing of where its pairs came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.base import RecoverContext
from attacks.compute import ComputeMeter
from attacks.own_samples import draw
from attacks.recover.retelling import Retelling
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import ToolRunner
from student.objectives.sft import SFT

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


def asked_with(prompts: Sequence[str], shown: Sequence[str]) -> list[str]:
    """What a model that inverts is asked: each prompt, and what was shown as the answer to it."""
    return [f"{prompt}\n{text}" for prompt, text in zip(prompts, shown, strict=True)]


def inverter(
    context: RecoverContext, prompts: Sequence[str], shown: Sequence[str], whole: Sequence[str]
) -> LanguageModel:
    """The attacker's own model, fitted to write ``whole`` where it is asked a prompt and what is shown of the answer."""
    assert context.fit is not None
    assert context.own is not None
    assert context.rows is not None
    rows = context.rows(asked_with(prompts, shown), whole)
    return context.fit(context.own(rows, SFT()), objective=SFT(), seed=1)


def told_whole(context: RecoverContext, lm: LanguageModel) -> Callable[[Examples], Retelling]:
    """Writes the responses of rows of the attacker's own prompts again, whole, at temperature 1."""
    assert context.compute is not None

    def tell(rows: Examples) -> Retelling:
        asked = asked_with([context.texts[int(i)] for i in rows.item], context.decode(rows))
        drawing = _Rows(rows.item, lm.encode_prompts(asked), context)
        said = draw(drawing, lm, np.arange(len(rows)), 1).rows.completions
        last = said.values[np.maximum(said.offsets[1:] - 1, 0)] if len(said.values) else np.zeros(len(said), np.int32)
        return Retelling(lm.decode(said), (said.lengths > 0) & np.isin(last, lm.ends))

    return tell


@dataclass(frozen=True)
class _Rows:
    """An `attacks.own_samples.Drawing` whose items are rows of a training set, unchecked.

    Args:
        item: (B,) the prompt of the attacker's that each answers.
        prompts: B, what the model is asked instead.
        context: of the step.
    """

    item: NDArray[np.int64]
    prompts: Ragged
    context: RecoverContext

    @property
    def check(self) -> Callable[[int, str], bool | None]:
        return lambda row, text: None

    @property
    def tools(self) -> ToolRunner | None:
        run = self.context.tools
        return None if run is None else lambda rows, said: run(self.item[rows], said)

    @property
    def compute(self) -> ComputeMeter:
        assert self.context.compute is not None
        return self.context.compute

    @property
    def rng(self) -> np.random.Generator:
        return self.context.rng

    @property
    def max_tokens(self) -> int:
        return self.context.max_tokens
