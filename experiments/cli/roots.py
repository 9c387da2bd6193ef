"""Whether overrides describe a cell or a campaign, for commands that take both: by the parts that only one of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from experiments.compose.compose import ROOT
from experiments.compose.hydra_session import session

CAMPAIGN = "campaign"
ROOTS = (ROOT, CAMPAIGN)


def root_of(words: Sequence[str]) -> str | None:
    """The root that the first telling override is of (``policy=none``: a campaign, ``api=text``: a cell); None without."""
    own = parts_of_one_root()
    return next((own[part] for word in words for part in _parts(word) if part in own), None)


@cache
def parts_of_one_root() -> Mapping[str, str]:
    """Part of a configuration -> the root that has it, for parts that the other does not have."""
    with session() as hydra:
        cell, campaign = ({str(name) for name in hydra.base(root, ())} for root in ROOTS)
    return MappingProxyType(dict.fromkeys(cell - campaign, ROOT) | dict.fromkeys(campaign - cell, CAMPAIGN))


def _parts(word: str) -> list[str]:
    """First names in what an override is about: ``+operation@campaign.operations.b=default`` is about both."""
    key, equals, _ = word.partition("=")
    places = key.lstrip("+~").split("@") if equals or word.startswith("~") else []
    return [place.partition("/")[0].partition(".")[0] for place in places]
