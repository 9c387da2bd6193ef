"""The control of every defense that rewrites or shortens: as many words, chosen at random. Knows no single defense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError
from defenses.base import Defense, Preparation, Prepared, ReleaseContext, hooks_of
from defenses.release.rewriter import Arrangement, release_as
from defenses.release.rewriting_grammar import GENOMES, UNCHANGED, arranged, parsed
from defenses.release.trace_every import TraceEvery
from lm.ragged import Ragged
from teacher.api.schema import Responses

SAYS = ("needs", "uses", "trains", "reads_logprobs", "across_accounts")
"""What the inner defense says of itself and holds for this one too."""


@dataclass(frozen=True)
class LengthMatched(Defense):
    """Rewrites traces to the lengths that another defense gives them, in what is otherwise a random arrangement.

    The inner defense acts on a copy, of which only the lengths are used. A response that it changes leaves in an arrangement
    of its own statements drawn uniformly among those of the grammar (`defenses.release.rewriting_grammar.GENOMES`, each
    response for itself, the unchanged one aside) whose length comes nearest; every shown statement stays as the teacher said
    it, and so do answers and calls. A response that the inner defense leaves alone, or whose trace knows no statements, is
    left alone. Lengths go from one statement to all of them twice; what hides whole traces has no control here.

    If a student learns as little from this as from the inner defense, length is all there is to that defense. The other
    control, `trace_rewritten_random`, draws *one* arrangement for all responses, matched in how much of the trace stays in
    its order: it asks whether the search of `trace_rewritten` is needed, and is the one for a defense with a grammar to
    search. This one asks what length alone does, of any defense that changes how much is said. Errors that a defense puts in
    (`anchor_poisoning`, `random_errors`) have each other as control.

    Args:
        inner: whose lengths are matched: a defense that acts at release and nowhere else while the API serves.

    Raises:
        ConfigError: ``inner`` acts elsewhere.
    """

    name: ClassVar[str] = "length_matched"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "this project: a coherent rewriting of the same length, the control of rewriting defenses"
    checked: ClassVar[str] = "lengths of the inner defense's output; statements stay true (hypothesis)"
    rewords: ClassVar[bool] = True

    inner: Defense = field(default_factory=lambda: TraceEvery(2))

    def __post_init__(self) -> None:
        acts = hooks_of(self.inner)
        if set(acts) - {"prepare", "detect"} != {"release"}:
            reason = f"must act at release alone; it acts at {' and '.join(acts) or 'no hook'}"
            raise ConfigError("length_matched.inner", self.inner.name, reason)
        for said in SAYS:
            object.__setattr__(self, said, getattr(self.inner, said))

    def acts(self, hook: str) -> bool:
        """At release, and it prepares what the inner defense prepares."""
        return hook == "release" or (hook == "prepare" and self.inner.acts(hook))

    def asks_teacher(self) -> bool:
        """See `Hooks.asks_teacher`."""
        return self.inner.asks_teacher()

    def prepares_as(self) -> Defense:
        """See `Defense.prepares_as`."""
        return self.inner.prepares_as()

    def prepare(self, context: Preparation) -> Prepared:
        """What the inner defense prepares."""
        return self.inner.prepare(context)

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Arrange each trace anew."""
        goal = self.inner.release(responses, context).tokens
        changed = np.array([not np.array_equal(a, b) for a, b in zip(goal, responses.tokens, strict=True)], np.bool_)
        if not changed.any():
            return responses
        parse = parsed(responses.tokens, responses.channel, context.format)
        others = [genome for genome in GENOMES if genome != UNCHANGED]
        lengths = np.stack([arranged(parse, len(responses), genome).lengths for genome in others])
        distance = np.abs(lengths - goal.lengths)
        fits = distance == distance.min(0)
        pick = np.where(fits, context.rng.random(fits.shape), -1).argmax(0)
        new = [*responses.tokens]
        for number in np.unique(pick[changed]).tolist():
            places = arranged(parse, len(responses), others[number])
            for row in np.flatnonzero(changed & (pick == number)).tolist():
                new[row] = responses.tokens.values[places[row]]
        return release_as(Arrangement(Ragged.of(new)), responses, context)
