import importlib.util
import ipaddress
import json

import numpy as np
import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2patterns.v21.pattern import Pattern
from stix2patterns.validator import run_validator

from configs.errors import ConfigError
from experiments.campaign.config.ladder import RUNGS
from experiments.campaign.sharing.board import IndicatorBoard, SharingTerms
from experiments.campaign.sharing.indicators import (
    ATLAS,
    KINDS,
    Cluster,
    bundle_of,
    cidr_of,
    network_of,
    pattern_of,
    value_of,
    values_of,
)

VALUES = {
    "network": np.array([5, 70_000, 1_048_575]),
    "payment": np.array([2**31 - 1, 9]),
    "fingerprint": np.array([3]),
    "sketch": np.array([12, 0]),
}
CLUSTER = Cluster(accounts=40, first_day=1.25, last_day=3.5, confidence=80, values=VALUES)
HONEST = {kind: np.arange(100_000, 100_500) for kind in KINDS}


def published(exchange=None, day=4.0, provider="north", seed=0, cluster=CLUSTER):
    board = IndicatorBoard(exchange or SharingTerms(precision=1.0))
    return board, board.publish(provider, day, cluster, HONEST, np.random.default_rng(seed))


def test_bundle_is_stix_and_reads_back():
    _, bundle = published()
    text = bundle.serialize()
    again = stix2.parse(text, allow_custom=False)
    assert again.serialize() == text
    assert {kind: v.tolist() for kind, v in values_of(again).items()} == {
        kind: sorted(v.tolist()) for kind, v in VALUES.items()
    }
    ids = [one.id for one in again.objects]
    assert len(set(ids)) == len(ids)
    kinds = {one.type for one in again.objects}
    assert {"identity", "campaign", "threat-actor", "sighting", "attack-pattern", "indicator", "relationship"} == kinds


def test_every_reference_is_to_an_object_of_the_bundle():
    _, bundle = published()
    ids = {one.id for one in bundle.objects}
    for one in json.loads(bundle.serialize())["objects"]:
        for name, value in one.items():
            if name.endswith("_ref"):
                assert value in ids
            elif name.endswith("_refs"):
                assert set(value) <= ids


def test_indicators_say_when_whose_and_what():
    _, bundle = published(day=4.5)
    indicators = [one for one in bundle.objects if one.type == "indicator"]
    assert len(indicators) == 8
    for one in indicators:
        assert one.valid_from.isoformat() == "2026-02-05T12:00:00+00:00"
        assert (one.valid_until - one.valid_from).days == 30
        assert one.confidence == 80
        assert one.created_by_ref == next(o.id for o in bundle.objects if o.type == "identity")
        assert "model-distillation" in one.labels
    sighting = next(one for one in bundle.objects if one.type == "sighting")
    assert sighting.count == 40
    references = {r.external_id for o in bundle.objects for r in o.get("external_references", [])}
    assert references == {"AML.T0024.002", "AML.T0008.005", "AML.T0021", "AML.CS0056"}


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_validate_and_invert(kind):
    for value in (0, 1, 255, 256, 1_048_575):
        pattern = pattern_of(kind, value)
        assert not run_validator(pattern, stix_version="2.1")
        Pattern(pattern)
        assert value_of(pattern) == (kind, value)
    if kind != "network":
        assert not run_validator(pattern_of(kind, -(2**31)), stix_version="2.1")
        assert value_of(pattern_of(kind, -(2**31))) == (kind, -(2**31))


def test_the_validator_would_have_objected():
    assert run_validator(pattern_of("payment", 3).replace("= ", "is "), stix_version="2.1")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**20 - 1))
def test_networks_are_reserved_addresses_and_come_back(number):
    network = ipaddress.ip_network(cidr_of(number))
    assert network.prefixlen == 24
    assert network.is_reserved
    assert network_of(str(network)) == number


@pytest.mark.parametrize(
    "call",
    [
        lambda: pattern_of("network", 2**20),
        lambda: pattern_of("network", -1),
        lambda: pattern_of("payment", 2**31),
        lambda: value_of("[file:size = 3]"),
        lambda: network_of("10.0.0.0/24"),
        lambda: network_of("240.0.0.0/16"),
    ],
)
def test_what_cannot_be_said_is_refused(call):
    with pytest.raises(ValueError):
        call()


def test_same_campaign_same_bytes_and_no_wall_clock():
    first, again = (published(SharingTerms(precision=0.5))[1].serialize() for _ in range(2))
    assert first == again
    others = [published(seed=1, exchange=SharingTerms(precision=0.5)), published(day=5.0), published(provider="south")]
    assert len({bundle.id for _, bundle in others} | {json.loads(first)["id"]}) == 4


def test_arrives_late_and_expires_and_is_not_for_its_publisher():
    board, _ = published(SharingTerms(latency_hours=36, lifetime_days=10, precision=1.0), day=4.0)
    full, nothing = sorted(VALUES["network"].tolist()), []
    for provider, day, want in (
        ("south", 5.49, nothing),
        ("south", 5.5, full),
        ("south", 13.9, full),
        ("south", 14.0, nothing),
        ("north", 6.0, nothing),
    ):
        assert board.read(provider, day)["network"].tolist() == want
    assert board.read("south", 6.0, since=5.4)["network"].tolist() == full
    assert board.read("south", 6.0, since=5.5)["network"].tolist() == nothing
    board.publish("east", 5.0, CLUSTER._replace(values={"network": np.array([5, 6])}), HONEST, np.random.default_rng(0))
    got = board.read("south", 7.0)
    assert got["network"].tolist() == [5, 6, 70_000, 1_048_575]
    assert all(values.dtype == np.int32 for values in got.values())


@pytest.mark.parametrize("precision", [0.0, 0.8, 1.0])
def test_precision_is_the_share_that_names_what_was_found(precision):
    many = CLUSTER._replace(values={"payment": np.arange(150)})
    right = total = 0
    board = IndicatorBoard(SharingTerms(precision=precision, latency_hours=0))
    for day in range(6):
        board.tell("north", float(day), many, HONEST, np.random.default_rng(day))
        values = board.read("south", float(day), since=day - 0.5)["payment"]
        assert set(values.tolist()) <= {*range(150), *HONEST["payment"].tolist()}
        right, total = right + int((values < 150).sum()), total + 150
    assert right / total == pytest.approx(precision, abs=0.05)


def test_wrong_ones_need_honest_ones_and_the_most_is_kept():
    board = IndicatorBoard(SharingTerms(precision=0.0, most=3, latency_hours=0))
    many = CLUSTER._replace(values={"payment": np.array([8, 2, 5, 1])})
    board.publish("north", 0.0, many, {}, np.random.default_rng(0))
    assert board.read("south", 0.0)["payment"].tolist() == [2, 5, 8]


def test_nothing_to_tell_is_still_a_bundle():
    empty = {kind: np.zeros(0, int) for kind in KINDS}
    bundle = bundle_of("north", 0.0, CLUSTER._replace(values=empty), empty, 30.0)
    assert not [one for one in stix2.parse(bundle.serialize()).objects if one.type == "indicator"]


def test_telling_is_publishing_without_the_bundle():
    exchange = SharingTerms(precision=0.5)
    _, bundle = published(exchange)
    told = IndicatorBoard(exchange).tell("north", 4.0, CLUSTER, HONEST, np.random.default_rng(0))
    assert bundle_of("north", 4.0, CLUSTER, told, exchange.lifetime_days).serialize() == bundle.serialize()
    for kind, values in values_of(bundle).items():
        np.testing.assert_array_equal(values, told[kind])


def test_every_rung_has_its_identifier():
    assert set(RUNGS) - {"none"} < set(ATLAS)


@pytest.mark.skipif(importlib.util.find_spec("stix2validator") is None, reason="stix2-validator is not a dependency")
def test_the_official_validator_agrees():
    from stix2validator import ValidationOptions, validate_string

    _, bundle = published()
    assert validate_string(bundle.serialize(), ValidationOptions(version="2.1", strict=False)).is_valid


@pytest.mark.parametrize(
    "fields", [{"latency_hours": -1}, {"lifetime_days": 1.0}, {"precision": 1.1}, {"precision": -0.1}, {"most": 0}]
)
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match=f"sharing.{next(iter(fields))}"):
        SharingTerms(**fields)
