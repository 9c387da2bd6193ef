"""Harvested responses said again, by a model of the attacker's own. Knows no defense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import RecoverContext
from attacks.compute import ComputeMeter
from attacks.own_samples import draw
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel, Processor, ToolRunner

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class Retelling(NamedTuple):
    """R responses.

    Args:
        texts: R.
        finished: (R,) whether each ended by itself.
    """

    texts: Sequence[str]
    finished: NDArray[np.bool_]


@dataclass(frozen=True)
class _Drawing:
    """An `attacks.own_samples.Drawing` of a recover step, whose samples are not checked."""

    prompts: Ragged
    tools: ToolRunner | None
    compute: ComputeMeter
    rng: np.random.Generator
    max_tokens: int

    @property
    def check(self) -> Callable[[int, str], bool | None]:
        return lambda item, text: None


def own_words(
    context: RecoverContext, lm: LanguageModel, processors: Sequence[Processor] = ()
) -> Callable[[Examples], Retelling]:
    """Answers the prompts of rows anew, by a model of the attacker's at temperature 1."""
    assert context.compute is not None, "a step that draws says that it `trains`"
    prompts = lm.encode_prompts(context.texts)
    drawing = _Drawing(prompts, context.tools, context.compute, context.rng, context.max_tokens)

    def tell(rows: Examples) -> Retelling:
        said = draw(drawing, lm, rows.item, 1, processors=processors).rows.completions
        last = said.values[np.maximum(said.offsets[1:] - 1, 0)] if len(said.values) else np.zeros(len(said), np.int32)
        return Retelling(lm.decode(said), (said.lengths > 0) & np.isin(last, lm.ends))

    return tell


def retold(data: Examples, context: RecoverContext, tell: Callable[[Examples], Retelling], tries: int) -> Examples:
    """The rows of the attacker's own prompts with other responses of the same answer; other rows stay as they are.

    A response is taken if it ended and its answer (`Channel.ANSWER`, in words) is that of the row; where a row shows no
    answer, any is. Rows for which none is found are dropped, and so are those that the compute budget cannot pay.

    Args:
        data: rows, in the teacher's tokens.
        context: as of the step.
        tell: what says them again.
        tries: at most so often.
    """
    assert context.encode is not None
    assert context.compute is not None
    own = np.flatnonzero(data.item >= 0)
    wanted = answers(data.take(own), context)
    pending, places, kept = np.arange(len(own)), [own[:0]], [data.take(own[:0])]
    for _ in range(tries):
        left = min(context.compute.left("samples"), context.compute.left("tokens") // context.max_tokens)
        pending = pending[:left]
        if not len(pending):
            break
        asked = data.take(own[pending])
        told = tell(asked)
        rows = context.encode(asked.item, told.texts)
        same = [wanted[at] in ("", said) for at, said in zip(pending, answers(rows, context), strict=True)]
        right = told.finished & np.array(same, np.bool_)
        kept.append(rows.where(right))
        places.append(pending[right])
        pending = pending[~right]
    found = Examples.concat(kept).take(np.argsort(np.concatenate(places), kind="stable"))
    return Examples.concat([found, data.where(data.item < 0)])


def answers(rows: Examples, context: RecoverContext) -> list[str]:
    """What each row says as its answer, "" where it shows none."""
    return context.decode(rows.keep_tokens(rows.channel == Channel.ANSWER))
