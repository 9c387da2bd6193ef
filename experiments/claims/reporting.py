"""What a report is to compare and to judge: its reference, and the claims in every place of the search path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from configs.build import build
from experiments.claims.base import Claim, order, require_unique
from experiments.compose.compose import REPORT
from experiments.compose.grids import CLAIM, choice_of, claim_fields_of, reference_of
from experiments.compose.hydra_session import session
from experiments.compose.search_path import SEARCH_PATH
from experiments.report.reference import FIRST, Reference


class Reporting(NamedTuple):
    """See `experiments.report.write_report`.

    Args:
        reference: the defense that others are compared with.
        claims: to be judged, in order.
    """

    reference: Reference = FIRST
    claims: tuple[Claim, ...] = ()


NOTHING_ASKED = Reporting()
"""No claim is judged."""


def reporting_of(plain: Mapping[str, Any], words: Sequence[str] = (), reference: str | None = None) -> Reporting:
    """What the reports of a command compare and judge.

    Args:
        plain: configuration of one of its cells.
        words: the overrides of the command line.
        reference: named by an option, which wins over `REPORT`, which wins over an experiment's file.

    Raises:
        ConfigError: a claim that cannot be built.
    """
    asked = reference if reference is not None else (plain.get(REPORT) or {}).get("reference")
    wanted = Reference(reference_of(words)) if asked is None else Reference(asked, required=True)
    return Reporting(wanted, claims_of(words))


def claims_of(words: Sequence[str] = ()) -> tuple[Claim, ...]:
    """Every claim in the places that a command line looks into, with the fields that its experiment sets; raises
    `ConfigError` for one that cannot be built."""
    search = [word for word in words if word.lstrip("+").startswith(f"{SEARCH_PATH}=")]
    with session(search) as hydra:
        nodes = {name: choice_of(CLAIM, name, search, hydra) for name in hydra.files(search).options(CLAIM)}
    own = claim_fields_of(words)
    claims = [_built(name, {**node, **own.get(name, {})}) for name, node in nodes.items()]
    require_unique(claims)
    return tuple(sorted(claims, key=order))


def claim_of(name: str, words: Sequence[str] = ()) -> Claim:
    """The claim of that name, its fields set as the words say (``claim.FIELD=VALUE``); raises `ConfigError`."""
    with session(words) as hydra:
        node = choice_of(CLAIM, name, words, hydra)
    return _built(name, node)


def _built(name: str, node: Any) -> Claim:
    return build(node, Claim, f"{CLAIM}.{name}")
