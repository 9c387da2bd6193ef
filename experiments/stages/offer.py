"""Opens a defended API around a model: the one way in for attackers and honest users alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from configs.identity import identity
from defenses.base import Defense, Serving, hooks_of
from experiments.stages.backend import ModelBackend
from experiments.store.entry import Entry
from experiments.store.stage import Memos
from teacher.api.gateway import Gateway
from teacher.api.interface import Interface
from teacher.api.prices import Prices

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.types import Processor


@dataclass(frozen=True)
class Offer:
    """What a provider offers: configuration of the API and its defenses, in order."""

    interface: Interface
    prices: Prices
    defenses: Mapping[str, Defense]

    @property
    def across_accounts(self) -> bool:
        """Whether a defense judges requests by what other accounts did (`Defense.across_accounts`)."""
        return any(defense.across_accounts for defense in self.defenses.values())

    def identity(self) -> dict[str, Any]:
        """JSON-able; defenses as a list, since their order matters and keys are hashed with sorted names."""
        return {
            "interface": identity(self.interface),
            "prices": identity(self.prices),
            "defenses": [[name, identity(defense)] for name, defense in self.defenses.items()],
        }


def open_gateway(
    offer: Offer,
    lm: LanguageModel,
    model_key: str,
    proxy: Callable[[], LanguageModel],
    proxy_key: str,
    prepared: Mapping[str, tuple[str, Entry]],
    store: Memos,
    seed: int,
) -> Gateway:
    """A gateway before its first request.

    Args:
        offer: interface, prices, defenses.
        lm: the model served.
        model_key: key of the stage that made it.
        proxy: loads the provider's proxy student; called only where a defense decodes with it.
        proxy_key: key of the stage that made the proxy.
        prepared: by defense name, key and entry of its preparation.
        store: keeps raw generations.
        seed: of the provider's own randomness.
    """
    decoding = {name: d for name, d in offer.defenses.items() if "decode" in hooks_of(d)}

    def serving(name: str) -> Serving:
        found = prepared.get(name)
        usable = proxy if "proxy" in decoding[name].uses else _undeclared
        return Serving(lm, usable, found[1].tensors("prepared") if found else {})

    def processors() -> Sequence[Processor]:
        built = [defense.decode(serving(name)) for name, defense in decoding.items()]
        return [p for p in built if p is not None]

    models = {"proxy": proxy_key}
    decode = [
        [identity(d), prepared[name][0] if name in prepared else "", {used: models[used] for used in d.uses}]
        for name, d in decoding.items()
    ]
    backend = ModelBackend(lm, processors, store, {"teacher": model_key, "decode": decode})
    return Gateway(
        backend=backend,
        interface=offer.interface,
        defenses=offer.defenses,
        prices=offer.prices,
        format=lm.format,
        seed=seed,
        prepared={name: found[1].tensors("prepared") for name, found in prepared.items()},
    )


def _undeclared() -> LanguageModel:
    """In place of a model that a defense does not say it uses: what is sampled would not have it in its key."""
    raise RuntimeError("a defense that decodes with the proxy says so: uses: ClassVar[tuple[str, ...]] = ('proxy',)")
