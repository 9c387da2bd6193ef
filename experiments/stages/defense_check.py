"""Refuses stacks of defenses that cannot work, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from configs.errors import ConfigError, require
from defenses.base import Defense
from experiments.stages.detect import detecting
from experiments.stages.offer import Offer
from experiments.stages.sold import sells_changed
from lm.model_spec import ModelSpec
from teacher.api.hooks import require_models, require_one_draw, require_sold, require_works_on_answers
from teacher.api.interface import Interface


def check_defenses(defenses: Mapping[str, Defense], interface: Interface) -> None:
    """Refuse defenses that act on what is not sold, use models that nobody has, or need others of the stack that are not
    there."""
    require_sold(defenses, interface)
    require_models(defenses)
    require_one_draw(defenses)
    looking = detecting(defenses)
    for name, defense in defenses.items():
        for other in defense.beside():
            if other not in looking:
                reason = (
                    f"is no defense of this stack that looks into students, and {type(defense).__name__} asks for it"
                )
                raise ConfigError(f"defense.{name}", other, reason, tuple(set(looking) - {name}), meant=other)


def check_engine(teacher: ModelSpec, offer: Offer) -> None:
    """Refuse what needs more of a teacher than the answers that its engine gives."""
    if not teacher.answers_only:
        return
    engine = str(getattr(teacher, "engine", teacher.label))
    require_works_on_answers(offer.defenses, engine)
    reason = f"how far sold probabilities are from the truth cannot be told: {engine} gives no whole distributions"
    require(not sells_changed(offer), "teacher.engine", engine, reason)
