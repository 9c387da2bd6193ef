"""Make the step wrong on which the answer hinges, where it is hard to see. What a wrong step is, the format knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from configs.ranges import at_least
from defenses.base import Defense, Preparation, Prepared, ReleaseContext, Serving
from defenses.release.listing import exchanged
from defenses.strength import Strength
from lm.later import torch
from lm.ragged import Ragged
from lm.types import Channel
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class AnchorPoisoning(Defense):
    """Puts one wrong token into the step on which the answer hinges most, in a share of the responses, if it is hard to see.

    Of each chosen response every token of a sub-result (`lm.types.ResponseFormat.summary`) that can be wrong is made wrong
    for itself (`ResponseFormat.corrupted`). Detectability is a constraint: such a variant is allowed if the judge gives the
    wrong token, where it stands, at least the log-probability that it gives to all but a share ``quantile`` of the
    sub-results of clean traces (`prepare` measures that). Of the allowed ones the variant leaves in which the teacher finds
    the given answer least likely: its step is the anchor, measured as the drop of the log-probability of all answer tokens
    (or of all that follows: ``hinge``). A step without a drop is no anchor, and a response without an anchor is left alone.
    Later steps, calls and the answer stay; sold logprobs tell the same lie, as in `random_errors`.

    The paper (TraceGuard) finds anchors as sentences at which sampled continuations branch, with a black box, and bounds
    semantic and syntactic detectability; here the teacher is at hand, and the drop is what branching stands for. Where an
    answer repeats the last sub-result, as in the mini world, it hinges on the last step nearly always, and a wrong last step
    stands right beside the right answer: the bound, which looks at what comes before, does not see that.

    The control is `random_errors` with ``where: step``: a wrong token in one random step of a share of the responses, no
    matter whether it is seen. Its ``rate`` means the same; where the constraint leaves responses alone, compare at the share
    that really was poisoned (`Serving.memory` counts ``chosen`` and ``poisoned`` responses).

    Args:
        rate: share of responses that are to be poisoned, in [0, 1]; 0 changes nothing.
        quantile: share of clean sub-results that look less likely than a wrong one may, in [0, 1); 0 asks only that it be
            as likely as the least likely clean one.
        judge: who finds a wrong step unlikely: the ``proxy``, as an attacker could, or the ``teacher``.
        hinge: what a step has to matter for: the ``answer``, or the ``rest``, all that follows it.
        traces: clean traces that the constraint is measured on.

    Raises:
        ConfigError: on preparing, the proxy has other tokens than the teacher, or clean traces have no steps.
    """

    name: ClassVar[str] = "anchor_poisoning"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "TraceGuard: Hartman et al., arXiv 2604.23238"
    checked: ClassVar[str] = "the model's own scores step by step; stated rate within its error"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    uses: ClassVar[tuple[str, ...]] = ("proxy",)
    rewords: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("rate", 0, 1)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("quantile", "judge", "traces")

    rate: float
    quantile: float = 0.05
    judge: Literal["proxy", "teacher"] = "proxy"
    hinge: Literal["answer", "rest"] = "answer"
    traces: int = 500

    def __post_init__(self) -> None:
        require(0 <= self.rate <= 1, "rate", self.rate, "must lie in [0, 1]")
        require(0 <= self.quantile < 1, "quantile", self.quantile, "must lie in [0, 1)")
        require(self.judge in ("proxy", "teacher"), "judge", self.judge, "must be 'proxy' or 'teacher'")
        require(self.hinge in ("answer", "rest"), "hinge", self.hinge, "must be 'answer' or 'rest'")
        at_least(self, 1, "traces")

    def asks_teacher(self) -> bool:
        """See `Hooks.asks_teacher`."""
        return self.judge == "teacher"

    def prepare(self, context: Preparation) -> Prepared:
        """``least`` (): the log-probability that a wrong token needs, in nats."""
        judge = context.teacher if self.judge == "teacher" else context.proxy()
        if judge.vocab != context.teacher.vocab:
            reason = "has other tokens than the teacher"
            raise ConfigError("defense.anchor_poisoning.judge", self.judge, reason, ("teacher",))
        clean = context.clean_traces(self.traces)
        stated = context.teacher.format.summary(clean.completions, clean.channel)
        require(bool(stated.any()), "defense.anchor_poisoning", "no step", "poisons steps, and clean traces have none")
        found = judge.score(clean.prompts, clean.completions).logprob[stated]
        return {"least": torch.tensor(float(np.quantile(found, self.quantile)), dtype=torch.float64)}

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Exchange one token in each chosen response that has an anchor."""
        serving = context.serving
        if self.rate == 0 or not serving.prepared or not len(responses):
            return responses
        chosen = context.rng.random(len(responses)) < self.rate
        variants = _variants(responses, chosen, context)
        prompts = _asked(responses, context)
        seen = self._judge(serving).score(prompts.take(variants.row), variants.tokens)
        allowed = seen.logprob[variants.tokens.offsets[:-1] + variants.place] >= float(serving.prepared["least"])
        variants = variants.where(allowed)
        drop = _drops(responses, variants, prompts, serving.teacher, self.hinge == "rest")
        order = np.lexsort((variants.at, -drop, variants.row))
        first = order[np.unique(variants.row[order], return_index=True)[1]]
        anchors = first[drop[first] > 0]
        for name, count in (("chosen", int(chosen.sum())), ("poisoned", len(anchors))):
            serving.memory[name] = serving.memory.get(name, 0) + count
        return exchanged(responses, variants.at[anchors], variants.wrong[anchors])

    def _judge(self, serving: Serving) -> LanguageModel:
        return serving.teacher if self.judge == "teacher" else serving.proxy()


class _Variants(NamedTuple):
    """W responses with one wrong token each.

    Args:
        row: (W,) which response.
        at: (W,) flat position of the wrong token in the responses' tokens.
        place: (W,) its place within the row.
        wrong: (W,) int32 the token.
        tokens: W rows.
    """

    row: NDArray[np.int64]
    at: NDArray[np.int64]
    place: NDArray[np.int64]
    wrong: NDArray[np.int32]
    tokens: Ragged

    def where(self, mask: NDArray[np.bool_]) -> _Variants:
        """Those where ``mask`` (W,) holds."""
        kept = self.tokens.take(np.flatnonzero(mask))
        return _Variants(self.row[mask], self.at[mask], self.place[mask], self.wrong[mask], kept)


def _variants(responses: Responses, chosen: NDArray[np.bool_], context: ReleaseContext) -> _Variants:
    """Every token of a sub-result of the chosen rows that can be wrong, made wrong."""
    tokens = responses.tokens
    stated = context.format.summary(tokens, responses.channel) & chosen[tokens.row_of_value]
    places = np.flatnonzero(stated)
    others = [context.format.corrupted(int(token), context.rng) for token in tokens.values[places]]
    wrong = np.asarray(others, np.int32)
    able = wrong != tokens.values[places]
    at, wrong = places[able], wrong[able]
    row, place = tokens.row_of_value[at], tokens.position[at]
    rows = tokens.take(row)
    rows.values[rows.offsets[:-1] + place] = wrong
    return _Variants(row, at, place, wrong, rows)


def _asked(responses: Responses, context: ReleaseContext) -> Ragged:
    """R prompts, with what the client put at the start of the answer."""
    prompts = context.prompts.tokens.take(context.requests.prompt[responses.request])
    if not any(context.params.prefills):
        return prompts
    texts = context.params.prefills
    first = context.codec.encode([texts[i if len(texts) > 1 else 0] for i in responses.request])
    return Ragged.of([np.concatenate(pair) for pair in zip(prompts, first, strict=True)])


def _drops(
    responses: Responses, variants: _Variants, prompts: Ragged, teacher: LanguageModel, rest: bool
) -> NDArray[np.float64]:
    """(W,) by how much each variant makes the answer, or all that follows the wrong token, less likely, nats."""
    rows, which = np.unique(variants.row, return_inverse=True)
    clean = responses.tokens.take(rows)
    before = teacher.score(prompts.take(rows), clean).logprob.astype(np.float64)[clean.value_index(which)]
    after = teacher.score(prompts.take(variants.row), variants.tokens).logprob.astype(np.float64)
    channel = responses.channel[responses.tokens.value_index(variants.row)]
    of = variants.tokens.row_of_value
    behind = (variants.tokens.position > variants.place[of]) & (channel != Channel.TOOL)
    hinges = behind if rest else channel == Channel.ANSWER
    drops = np.bincount(of[hinges], (before - after)[hinges], minlength=len(variants.row))
    return drops.astype(np.float64)
