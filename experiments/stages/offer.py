"""Opens a defended API around a model: the one way in for attackers and honest users alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.identity import identity
from defenses.base import Defense, Serving, hooks_of
from experiments.stages.backend import ModelBackend
from experiments.store.entry import Entry
from experiments.store.stage import Memos
from lm.passes import DECODE, by_others
from lm.seeds import derived_seed
from teacher.api.gateway import Gateway
from teacher.api.hooks import HOOKS, RequestFacts
from teacher.api.interface import Interface
from teacher.api.prices import Prices

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.types import Processor


SAMPLING = ("serve", "seeds", "decode")
"""Hooks that act while the teacher samples."""


@dataclass(frozen=True)
class Offer:
    """What a provider offers: configuration of the API and its defenses, in order."""

    interface: Interface
    prices: Prices
    defenses: Mapping[str, Defense]

    @property
    def label(self) -> str:
        """The defenses with their strengths, as tables print them."""
        return " + ".join(_label(name, defense) for name, defense in self.defenses.items()) or "none"

    @property
    def across_accounts(self) -> bool:
        """Whether a defense judges requests by what other accounts did (`Defense.across_accounts`)."""
        return any(defense.across_accounts for defense in self.defenses.values())

    def acting(self, hook: str) -> dict[str, Defense]:
        """The defenses that override this hook, in order."""
        return {name: defense for name, defense in self.defenses.items() if hook in hooks_of(defense)}

    @property
    def serving(self) -> Offer:
        """The same without the defenses that only look into students, which change no answer; itself where there are
        none."""
        acting = {name: d for name, d in self.defenses.items() if set(hooks_of(d)) & set(HOOKS)}
        return self if len(acting) == len(self.defenses) else replace(self, defenses=acting)

    def identity(self) -> dict[str, Any]:
        """JSON-able; defenses as a list, since their order matters and keys are hashed with sorted names: those that act
        while the API serves."""
        return {
            "interface": identity(self.interface),
            "prices": identity(self.prices),
            "defenses": [[name, identity(d)] for name, d in self.serving.defenses.items()],
        }


def _label(name: str, defense: Defense) -> str:
    field = defense.strength.field if defense.strength else ""
    return f"{name}({field}={getattr(defense, field):g})" if field else name


class ProviderModel(NamedTuple):
    """A model that the provider has besides the teacher.

    Args:
        key: of the stage that made it.
        load: called only where a defense runs it.
    """

    key: str
    load: Callable[[], LanguageModel]


def open_gateway(
    offer: Offer,
    lm: LanguageModel,
    model_key: str,
    models: Mapping[str, ProviderModel],
    prepared: Mapping[str, tuple[str, Entry]],
    store: Memos | None,
    seed: int,
) -> Gateway:
    """A gateway before its first request.

    Args:
        offer: interface, prices, defenses.
        lm: the teacher.
        model_key: key of the stage that made it.
        models: by name (`Hooks.uses`), the others that the provider has.
        prepared: by defense name, key and entry of its preparation.
        store: keeps raw generations; None to draw them anew.
        seed: of the provider's own randomness.
    """
    acting = {hook: offer.acting(hook) for hook in SAMPLING}
    tensors = {name: entry.tensors("prepared") for name, (_, entry) in prepared.items()}

    def serving(name: str, teacher: LanguageModel) -> Serving:
        uses = offer.defenses[name].uses

        def model(wanted: str) -> LanguageModel:
            if wanted not in uses:
                raise RuntimeError(f"a defense that runs it says so: uses: ClassVar[tuple[str, ...]] = ({wanted!r},)")
            return models[wanted].load()

        return Serving(teacher, model, tensors.get(name, {}), derived_seed(seed, name))

    served = lm
    for name, defense in acting["serve"].items():
        served = defense.serve(serving(name, served))

    def processors(asked: RequestFacts) -> Sequence[Processor]:
        with by_others(DECODE):
            built = [defense.decode(serving(name, served), asked) for name, defense in acting["decode"].items()]
        return [p for p in built if p is not None]

    def seeds(asked: RequestFacts) -> NDArray[np.int64] | None:
        found = [defense.seeds(serving(name, served), asked) for name, defense in acting["seeds"].items()]
        return next((own for own in reversed(found) if own is not None), None)

    keys, own = {name: model.key for name, model in models.items()}, {name: key for name, (key, _) in prepared.items()}
    sees = tuple(sorted({name for hook in ("seeds", "decode") for d in acting[hook].values() for name in d.sees}))
    return Gateway(
        backend=ModelBackend(
            served,
            processors,
            store,
            sampled_from(offer, model_key, keys, own),
            sees,
            lambda name: serving(name, served),
            seeds,
        ),
        interface=offer.interface,
        defenses=offer.defenses,
        prices=offer.prices,
        format=lm.format,
        seed=seed,
        prepared=tensors,
    )


def sampled_from(offer: Offer, teacher: str, models: Mapping[str, str], prepared: Mapping[str, str]) -> dict[str, Any]:
    """JSON-able; everything that determines from which model, changed by which defenses, raw generations are drawn: they
    are stored under it.

    Args:
        offer: the defenses.
        teacher: key of the stage that made the teacher.
        models: keys of the stages that made the provider's other models, by name.
        prepared: keys of preparations, by defense name.
    """

    def told(name: str, defense: Defense) -> list[Any]:
        return [identity(defense), prepared.get(name, ""), {used: models[used] for used in defense.uses}]

    acting = {hook: [told(n, d) for n, d in offer.acting(hook).items()] for hook in SAMPLING}
    return {"teacher": teacher, **{hook: found for hook, found in acting.items() if found or hook == "decode"}}
