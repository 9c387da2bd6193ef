"""What an attacker tries out at home: the API as far as he knows it, around a reasoner of his own.

A defense that has to be prepared is prepared with his models in the provider's place, and with another seed: nothing that
the provider keeps to itself (keys, gradients, heads) reaches him. Its tasks are like the provider's, drawn with that seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.budget import Budget
from attacks.client import Harvested
from attacks.examples import to_examples
from attacks.knowledge import Knowledge
from configs.identity import identity
from defenses.base import Defense
from experiments.stages.harvest import pool_items
from experiments.stages.loading import model_of
from experiments.stages.models import TeacherStage
from experiments.stages.offer import Offer
from experiments.stages.prompts import prompts_of
from experiments.stages.serving import ServingStage, serving_part
from experiments.stages.student import StudentStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples, to_arrays
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from teacher.api.schema import Params, Responses

WIDE = 64
"""Logprobs a token that he looks at of his own model's answers, at least, where the API sells some: a defense may list
others than the true first ones."""
GUESSES = (0.25, 0.5, 0.75)
"""Where in its range an attacker who does not know how strong a defense is takes it to be, each for a part of his
prompts."""


@dataclass(frozen=True)
class ShadowStage(TeacherStage):
    """The attacker's student, fitted to what came back as it is, in the teacher's place.

    Args:
        student: that is.
    """

    name: ClassVar[str] = "shadow"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 0.1
    part: ClassVar[str] = "student"

    student: StudentStage

    def config(self) -> dict[str, Any]:
        """See `Stage.config`: all is in the input."""
        return {}

    def inputs(self) -> dict[str, Stage]:
        """The student."""
        return {"student": self.student}

    def run(self, context: Context) -> Artifact:
        """Its weights."""
        return Artifact(tensors={"weights": context.inputs["student"].tensors("weights")})


@dataclass(frozen=True, kw_only=True)
class RehearsalStage(ServingStage):
    """Has the shadow answer the attacker's own prompts, bare and behind the API as he knows it.

    Args:
        knowledge: of the attacker.
        budget: whose prompts he owns.
        temperature: of his harvest.
        cell_seed: of the cell; ``seed`` is that of what he tries out.
    """

    name: ClassVar[str] = "rehearsal"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 4.0

    knowledge: Knowledge
    budget: Budget
    temperature: float
    cell_seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`. What the shadow is stands among the inputs."""
        known = {"level": self.knowledge.level, "prompts": self.knowledge.prompts}
        owned = {"data": self.budget.data, "mix": identity(self.budget.mix), "seed": self.cell_seed}
        asked = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}
        return {"offer": self.offer.identity(), "knowledge": known, "pool": owned, **asked}

    def run(self, context: Context) -> Artifact:
        """Both sides as training rows, and what he spent: a fit where the shadow is his own student, and every answer."""
        lm = model_of(self.teacher, context.inputs["teacher"])
        items, _ = pool_items(self.teacher.task, self.budget, self.cell_seed)
        chosen = generator(self.seed, self.name, "items").permutation(len(items))[: self.knowledge.prompts]
        sold = min(self.offer.interface.top_logprobs, lm.vocabulary)
        seen = min(max(sold, WIDE), lm.vocabulary) if sold else 0
        bare = replace(self.offer.interface, trace="full", top_logprobs=seen)
        params = Params(self.temperature, self.max_tokens)
        whole = replace(self.offer, interface=bare, defenses={})
        sides: dict[str, list[Examples]] = {"clean": [], "served": []}
        drawn = 0
        guesses = list(guessed(self.offer, self.knowledge))
        for offer, own in zip(guesses, np.array_split(chosen, len(guesses)), strict=True):
            if not len(own):  # fewer prompts than guesses
                continue
            prompts = prompts_of(self.teacher.task, [items[int(i)] for i in own], lm)
            for side, api, told in (("clean", whole, seen), ("served", offer, sold)):
                said = self._answers(api, lm, prompts, replace(params, top_logprobs=told), context)
                drawn += int(said.output_tokens.sum())
                sides[side].append(_rows(said, own, prompts.tokens))
        steps = self.teacher.student.spec.steps if isinstance(self.teacher, ShadowStage) else 0
        return Artifact(
            tensors={side: to_arrays(Examples.concat(rows)) for side, rows in sides.items()},
            meta={"spent": {"samples": 2 * len(chosen), "tokens": drawn, "steps": steps}},
        )


def known_part(offer: Offer, knowledge: Knowledge) -> Offer:
    """What he knows of an offer: the interface, and from ``method`` on the defenses that act while it answers."""
    part = serving_part(offer) if knowledge.reaches("method") else None
    return part or replace(offer, defenses={})


def guessed(offer: Offer, knowledge: Knowledge) -> Iterator[Offer]:
    """The offer as he tries it out, once for each of `GUESSES` where he does not know how strong its defenses are."""
    if knowledge.reaches("parameters") or not any(d.strength for d in offer.defenses.values()):
        yield offer
        return
    for position in GUESSES:
        defenses = {name: _at(defense, position) for name, defense in offer.defenses.items()}
        yield replace(offer, defenses=defenses)


def _at(defense: Defense, position: float) -> Defense:
    """The defense at a position in the range of its strength."""
    if defense.strength is None:
        return defense
    value: float = defense.strength.at(position)
    if isinstance(getattr(defense, defense.strength.field), int):
        value = round(value)
    changed: Any = defense
    found: Defense = replace(changed, **{defense.strength.field: value})
    return found


def _rows(said: Responses, item: NDArray[np.int64], prompts: Ragged) -> Examples:
    """Responses to prompts as training rows that know which prompt of the attacker's they answer."""
    rows = to_examples(Harvested(said.request, said, len(item)), prompts)
    return replace(rows, item=item[rows.item].astype(np.int64))


def shadow_seed(seed: int) -> int:
    """Of what the attacker tries out at home, from the cell's: none of the provider's secrets is derived from it."""
    return derived_seed(seed, "shadow") % 2**31
