"""Indicators of found clusters as STIX 2.1 (OASIS, 2021), and back; identifiers of MITRE ATLAS.

Objects, identifiers and times are functions of what is said and of virtual time, so the same campaign gives the same bytes.
Knows nothing of who reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import stix2

KINDS = ("network", "payment", "fingerprint", "sketch")
"""Of indicators: a /24, the hash of a means of payment, of client software, the sketch of a prompt."""
ATLAS: Mapping[str, str] = {
    "harvest": "AML.T0024.002",
    "proxy": "AML.T0008.005",
    "open_account": "AML.T0021",
    "log": "AML.M0024",
    "verify": "AML.M0019",
    "throttle": "AML.M0004",
    "hide": "AML.M0002",
    "alter": "AML.M0002",
    "ban": "AML.M0019",
    "ban_cluster": "AML.M0019",
}
"""MITRE ATLAS: techniques of what attackers do, mitigations of what each rung of the ladder does."""
CASE = "AML.CS0056"
START = datetime(2026, 2, 1, tzinfo=UTC)
"""The calendar time of virtual second 0."""
_NAMESPACE = UUID("5d0c6f5e-6b0a-5d0e-9a53-2a7be0c1f0aa")
_TECHNIQUES = {
    "harvest": "Extract AI Model",
    "proxy": "Acquire Infrastructure: AI Service Proxies",
    "open_account": "Establish Accounts",
}
_PROPERTIES = {
    "payment": "x-moatbench-account:payment_hash",
    "fingerprint": "x-moatbench-account:client_hash",
    "sketch": "x-moatbench-prompt:sketch",
}
_FIRST_NETWORK, _NETWORKS = 240 << 24, 1 << 20


class Cluster(NamedTuple):
    """A group of accounts that a provider found and acted upon.

    Args:
        accounts: how many.
        first_day: of its activity, in virtual days.
        last_day: of its activity.
        confidence: 0 to 100, the provider's own.
        values: by kind (see `KINDS`), (K,) numbers that are typical of it, the most telling first.
    """

    accounts: int
    first_day: float
    last_day: float
    confidence: int
    values: Mapping[str, NDArray[np.integer]]


Values = dict[str, NDArray[np.int32]]
"""By kind of indicator, (K,) distinct values, ascending."""


def bundle_of(
    provider: str, day: float, cluster: Cluster, values: Mapping[str, NDArray[np.integer]], lifetime_days: float
) -> stix2.Bundle:
    """One cluster as a STIX 2.1 bundle; the same arguments give the same bytes."""
    import stix2

    now, name = _time(day), f"{provider}, day {day:g}, {cluster.accounts} accounts"
    said = [provider, day, cluster[:4], {kind: np.asarray(values[kind]).tolist() for kind in KINDS}]
    who = _object(stix2.Identity, [provider], START, name=provider, identity_class="organization")
    common = {"created_by_ref": who.id, "confidence": cluster.confidence}
    techniques = [
        _object(stix2.AttackPattern, [key], START, name=_TECHNIQUES[key], external_references=[_atlas(ATLAS[key])])
        for key in _TECHNIQUES
    ]
    actor = _object(
        *(stix2.ThreatActor, said, now), name=f"Operator of: {name}", threat_actor_types=["unknown"], **common
    )
    campaign = _object(
        *(stix2.Campaign, said, now),
        name=f"Distillation: {name}",
        first_seen=_time(cluster.first_day),
        last_seen=_time(max(cluster.first_day, cluster.last_day)),
        external_references=[_atlas(CASE)],
        **common,
    )
    sighting = _object(
        *(stix2.Sighting, said, now),
        sighting_of_ref=campaign.id,
        where_sighted_refs=[who.id],
        count=cluster.accounts,
        **common,
    )
    indicators = [
        _object(
            *(stix2.Indicator, [provider, day, kind, value], now),
            name=f"{kind} {value}",
            pattern=pattern_of(kind, value),
            pattern_type="stix",
            pattern_version="2.1",
            indicator_types=["malicious-activity"],
            valid_from=now,
            valid_until=_time(day + lifetime_days),
            labels=["model-distillation", kind],
            **common,
        )
        for kind in KINDS
        for value in values[kind].tolist()
    ]
    links = [(campaign, "attributed-to", actor), *((campaign, "uses", one) for one in techniques)]
    links += [(one, "indicates", campaign) for one in indicators]
    relations = [
        _object(
            *(stix2.Relationship, [source.id, verb, target.id], now),
            source_ref=source.id,
            relationship_type=verb,
            target_ref=target.id,
            **common,
        )
        for source, verb, target in links
    ]
    objects = [who, *techniques, actor, campaign, sighting, *indicators, *relations]
    return stix2.Bundle(id=_name("bundle", said), objects=objects)


def values_of(bundle: stix2.Bundle) -> Values:
    """What the indicators of a bundle name: the inverse of `bundle_of`."""
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for one in bundle.objects:
        if one.type == "indicator":
            kind, value = value_of(one.pattern)
            found[kind].append(value)
    return {kind: np.array(sorted(found[kind]), np.int32) for kind in KINDS}


def pattern_of(kind: str, value: int) -> str:
    """The STIX pattern of an indicator. Networks are numbered through 240.0.0.0/4, which is reserved and nobody's.

    Raises:
        ValueError: no pattern can say this value.
    """
    least, most = (0, _NETWORKS - 1) if kind == "network" else (-(2**31), 2**31 - 1)
    if not least <= value <= most:
        raise ValueError(f"{kind} {value} is out of range")
    if kind == "network":
        return f"[ipv4-addr:value ISSUBSET '{cidr_of(value)}']"
    return f"[{_PROPERTIES[kind]} = {value}]"


def value_of(pattern: str) -> tuple[str, int]:
    """Kind and value of a pattern of `pattern_of`.

    Raises:
        ValueError: it is another.
    """
    if network := re.fullmatch(r"\[ipv4-addr:value ISSUBSET '([\d./]+)'\]", pattern):
        return "network", network_of(network[1])
    for kind, name in _PROPERTIES.items():
        if own := re.fullmatch(rf"\[{re.escape(name)} = (-?\d+)\]", pattern):
            return kind, int(own[1])
    raise ValueError(f"{pattern!r} is no indicator of this exchange")


def cidr_of(network: int) -> str:
    """The /24 that stands for a network's number."""
    first = _FIRST_NETWORK + (network << 8)
    return ".".join(str(first >> shift & 255) for shift in (24, 16, 8, 0)) + "/24"


def network_of(cidr: str) -> int:
    """The number of a network, from `cidr_of`."""
    a, b, c, d = (int(part) for part in cidr.removesuffix("/24").split("."))
    number = ((a << 24 | b << 16 | c << 8 | d) - _FIRST_NETWORK) >> 8
    if not 0 <= number < _NETWORKS or cidr_of(number) != cidr:
        raise ValueError(f"{cidr!r} is no network of this exchange")
    return number


def _object(kind: Any, said: list[Any], created: datetime, **properties: Any) -> Any:
    """A STIX object whose identifier follows from what it says."""
    called = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()  # AttackPattern is an attack-pattern
    return kind(id=_name(called, said), created=created, modified=created, **properties)


def _name(kind: str, said: list[Any]) -> str:
    return f"{kind}--{uuid5(_NAMESPACE, json.dumps([kind, said], default=float))}"


def _time(day: float) -> datetime:
    """To the millisecond, as STIX writes it."""
    return START + timedelta(milliseconds=round(day * 86_400_000))


def _atlas(identifier: str) -> dict[str, str]:
    folder = {"T": "techniques", "C": "studies", "M": "mitigations"}[identifier[4]]
    url = f"https://atlas.mitre.org/{folder}/{identifier}"
    return {"source_name": "mitre-atlas", "external_id": identifier, "url": url}
