"""What an attacker draws from a model of his own and checks himself, within his budget of own compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from attacks.base import RefineContext
from attacks.compute import ComputeMeter
from configs.errors import ConfigError
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel, Processor, Sampling, ToolRunner

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class Drawing(Protocol):
    """What is needed to draw: `attacks.base.RefineContext` has it all; see there."""

    @property
    def prompts(self) -> Ragged: ...  # noqa: D102
    @property
    def check(self) -> Callable[[int, str], bool | None]: ...  # noqa: D102
    @property
    def tools(self) -> ToolRunner | None: ...  # noqa: D102
    @property
    def compute(self) -> ComputeMeter: ...  # noqa: D102
    @property
    def rng(self) -> np.random.Generator: ...  # noqa: D102
    @property
    def max_tokens(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class OwnSamples:
    """P prompts with G responses each.

    Args:
        rows: P·G responses, those of a prompt side by side; a weight of 1 on what the model said, 0 on tool results.
        right: (P, G) whether the attacker's own checker accepts each.
        logprob: (N,) log-probability that each token was drawn with; of no meaning on tool results.
    """

    rows: Examples
    right: NDArray[np.bool_]
    logprob: NDArray[np.float32]


def checkable(context: RefineContext, families: Sequence[str] = ()) -> NDArray[np.int64]:
    """Items whose responses the attacker can check, of these families; of all where none is named. A family is tried
    once, on an empty response.

    Raises:
        ConfigError: he owns no prompt of a family.
    """
    owned = {str(name): int(np.flatnonzero(context.family == name)[0]) for name in dict.fromkeys(context.family)}
    for name in families:
        if name not in owned:
            raise ConfigError("attack.refine.families", name, "is no family of the attacker's prompts", tuple(owned))
    wanted = [name for name in owned if name in (families or owned) and context.check(owned[name], "") is not None]
    return np.flatnonzero(np.isin(context.family.astype(str), wanted))


def rounds(items: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of ``size`` items (fewer where there are not as many) without end: each item once before any comes again."""
    size, left = min(size, len(items)), items[:0]
    while True:
        if len(left) < size:
            left = np.concatenate([left, np.setdiff1d(rng.permutation(items), left, assume_unique=True)])
        yield left[:size]
        left = left[size:]


def affordable(meter: ComputeMeter, each: int, max_tokens: int) -> int:
    """How many prompts can have ``each`` responses, should all of these be as long as can be."""
    return min(meter.left("samples") // each, meter.left("tokens") // (each * max_tokens))


@dataclass
class _CountedTools:
    """Tools for responses to these items; ``tokens`` counts those of their results. A `lm.types.ToolRunner`."""

    run: ToolRunner
    item: NDArray[np.int64]
    tokens: int = 0

    def __call__(self, rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
        results = self.run(self.item[rows], generated)
        self.tokens += sum(map(len, results))
        return results


def draw(
    context: Drawing,
    lm: LanguageModel,
    items: NDArray[np.int64],
    each: int,
    temperature: float = 1.0,
    processors: Sequence[Processor] = (),
) -> OwnSamples:
    """Sample and check ``each`` responses to each item, with these changes of the scores.

    As many tokens as they can have are reserved beforehand; those that were not drawn are left to be spent.

    Raises:
        ComputeExceededError: more than can be afforded (`affordable`); nothing is drawn.
    """
    asked = np.repeat(items, each)
    reserved = context.compute.reserve(len(asked), len(asked) * context.max_tokens)
    prompts = context.prompts.take(asked)
    tools = None if context.tools is None else _CountedTools(context.tools, asked)
    seeds = context.rng.integers(0, 2**63 - 1, len(asked))
    drawn = lm.generate(prompts, Sampling(temperature, context.max_tokens), seeds, processors, tools)
    said = drawn.channel != Channel.TOOL
    # Not ``said``: what follows a call is spelt like a tool's result, also where the model went on by itself.
    reserved.settle(len(drawn.tokens.values) - (tools.tokens if tools else 0))
    rows = Examples(
        prompts, drawn.tokens, drawn.channel, said.astype(np.float32), asked, np.zeros(len(asked), np.bool_)
    )
    check = cache(context.check)  # the samples of a prompt repeat themselves
    said_R = zip(asked.tolist(), lm.decode(drawn.tokens), strict=True)
    right = np.array([check(item, text) is True for item, text in said_R], np.bool_)
    return OwnSamples(rows, right.reshape(len(items), each), drawn.logprob)


class Anchor(NamedTuple):
    """What holds a policy near the distilled student.

    Args:
        student: near which it is held.
        kl: β of `lm.reinforce.anchored`; at 0 nothing is held.
        samples: of a group without advantages, how many responses stand for it (`lm.reinforce.stand_ins`); 0 for all.
        rng: draws these.
    """

    student: LanguageModel
    kl: float
    samples: int
    rng: np.random.Generator


def reinforced(drawn: OwnSamples, advantage: NDArray[np.float32], anchor: Anchor | None = None) -> Examples:
    """Rows from which a policy learns these advantages (P, G); none where all are 0, which says nothing.

    Args:
        drawn: from the policy of now, at temperature 1.
        advantage: of each response.
        anchor: responses of advantage 0 are learnt too where one holds: they are pulled back.
    """
    from lm.reinforce import anchored, stand_ins, standing_in, weighted_by

    flat = advantage.reshape(-1)
    if anchor is None or not anchor.kl or not flat.any():
        return weighted_by(drawn.rows, flat)
    rows, now = drawn.rows, drawn.logprob
    kept = stand_ins(advantage, anchor.samples, anchor.rng) if anchor.samples else None
    if kept is not None:  # before anything is scored: the student reads the stand-ins only
        rows, now, flat = rows.take(kept.rows), now[rows.completions.value_index(kept.rows)], flat[kept.rows]
    before = anchor.student.score(rows.prompts, rows.completions).logprob
    rows = anchored(rows, flat, now, before, anchor.kl)
    if kept is not None:
        rows = standing_in(rows, kept.times, int(np.count_nonzero(drawn.rows.weight)))
    return rows.where(np.bincount(rows.completions.row_of_value, rows.weight != 0, len(rows)) > 0)


def answered(context: RefineContext) -> Examples:
    """The rows of the training set that answer a prompt of the attacker's pool and of which something is learnt: what the
    teacher said where the student can be asked too."""
    learnt = np.bincount(context.data.completions.row_of_value, context.data.weight != 0, len(context.data)) > 0
    return context.data.where(learnt & (context.data.item >= 0) & (context.data.item < len(context.prompts)))
