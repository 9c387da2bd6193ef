from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import pytest

import configs
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.limits.token_bucket import TokenBucket
from experiments.campaign.campaign_stage import TABLES, CampaignStage, result_of
from experiments.campaign.config import figures
from experiments.campaign.from_config import stage_from
from experiments.campaign.world.simulation import Simulation
from experiments.compose.compose import compose_one
from experiments.store.stage import Context
from tests.experiments.campaign.tiny import campaign, operation, policy

FOLDER = Path(configs.__file__).parent
OPTIONS = [
    f"{group}={path.stem}"
    for group in ("campaign", "policy", "market", "population", "operation", "link", "prices")
    for path in sorted((FOLDER / group).glob("*.yaml"))
    if group != "operation"  # these are parts of campaigns
]
PRESETS = [option for option in OPTIONS if option.startswith("campaign=")]


@cache
def composed(*overrides):
    return compose_one(list(overrides), "campaign").plain


@pytest.mark.parametrize("option", OPTIONS)
def test_every_yaml_composes_into_a_stage_whose_key_is_stable(option):
    stage = stage_from(composed(option))
    assert stage.key == stage_from(copy.deepcopy(dict(composed(option)))).key
    json.dumps(stage.config(), allow_nan=False)
    if option in PRESETS:
        assert stage.campaign.name == option.partition("=")[2]


def test_all_presets_are_different_campaigns():
    assert len({stage_from(composed(option)).key for option in PRESETS}) == len(PRESETS)


def leaves(node, path=()):
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, (*path, name))
    else:
        yield path, node


def changed(plain, path):
    """The configuration with another value at this place; None where there is no other that can be."""
    made = copy.deepcopy(dict(plain))
    node = made
    for name in path[:-1]:
        node = node[name]
    held = node[path[-1]]
    if isinstance(held, bool):
        others = [not held]
    elif isinstance(held, int | float):
        others = [held * 2 if held else 1, held / 2, held + 1, 12.0]
    elif isinstance(held, str):
        others = [held + "_2", "hashing", "diurnal", "scheduler", "log", "account", "both", "across", "within", ""]
    elif isinstance(held, list):
        others = [held[::-1], [*held, *held[-1:]], [3.0], ["log"], [1.2, 3.0]]
    else:
        return None
    for other in others:
        if other != held:
            node[path[-1]] = other
            try:
                return stage_from(made)
            except ConfigError:
                continue
    return None


def test_the_key_changes_with_every_field_that_says_what_is_simulated():
    plain = composed("campaign=small", "policy=full", "market=three", "population=small")
    key, unchanged, tried = stage_from(plain).key, [], 0
    outside = ("store", "out", "tracking", "launcher", "curves", "link", "threads")
    for path, _ in leaves(plain):
        if path[0] in outside or path[-1] in ("_target_", "reported"):
            continue
        other = changed(plain, path)
        if other is None:
            unchanged.append((".".join(map(str, path)), "no other value"))
            continue
        tried += 1
        if other.key == key:
            unchanged.append((".".join(map(str, path)), "same key"))
    assert tried > 90
    assert not [name for name, why in unchanged if why == "same key"]
    assert len(unchanged) <= 5, unchanged


def test_what_says_where_and_how_leaves_the_key():
    plain = composed("campaign=small")
    key = stage_from(plain).key
    for name, value in (
        ("threads", 7),
        ("out", "elsewhere"),
        ("store", "elsewhere"),
        ("curves", str(figures.DATA / "curves.csv")),
    ):
        assert stage_from({**plain, name: value}).key == key


def test_the_order_of_what_is_drawn_or_judged_in_order_is_in_the_key():
    plain = composed("campaign=labs_feb2026", "policy=full", "market=three")
    key = stage_from(plain).key
    for path in (
        ("market",), ("policy", "admission"), ("campaign", "operations"), ("population", "workloads"),
        ("campaign", "operations", "moonshot", "capabilities"),
    ):  # fmt: skip
        made = copy.deepcopy(dict(plain))
        node = made
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = dict(reversed(node[path[-1]].items()))
        assert stage_from(made).key != key, path


@pytest.mark.parametrize("option", PRESETS)
def test_presets_have_the_figures_of_their_reports(option):
    one = stage_from(composed(option)).campaign
    rows = {row["preset"]: row for row in figures.table("campaigns").iter_rows(named=True)}
    for operation_ in one.operations.values():
        if not operation_.reported:
            assert one.name not in rows
            continue
        row = rows[operation_.reported]
        assert operation_.exchanges == row["exchanges"]
        for name, said in (("days", row["window_days"]), ("accounts", row["accounts"])):
            assert said is None or getattr(operation_, name) == said
        asked = set(row["capabilities"].split(";"))
        assert asked == {"mixed"} or set(operation_.mix()) == asked
    if one.name in rows:
        assert [operation_.reported for operation_ in one.operations.values()] == [one.name]


def test_every_reported_campaign_has_a_preset():
    assert set(figures.table("campaigns")["preset"]) <= {option.partition("=")[2] for option in PRESETS}


@pytest.mark.parametrize(
    ("option", "provider"), [("anthropic_tiers", "anthropic_like"), ("openai_tiers", "openai_like")]
)
def test_tiers_are_those_of_the_data(option, provider):
    node = compose_one([f"defense={option}"]).plain["defense"][option]
    bucket = build(node, TokenBucket, option)
    levels = [bucket, *bucket.tiers]
    rows = figures.table("tiers").filter(provider=provider).rows(named=True)
    assert len(levels) == len(rows)
    for place, (level, row) in enumerate(zip(levels, rows, strict=True)):
        assert level.requests_per_minute == row["requests_per_min"]
        assert level.input_tokens_per_minute == row["input_tokens_per_min"]
        assert level.output_tokens_per_minute == (row["output_tokens_per_min"] or float("inf"))
        assert level.dollars_per_month == row["monthly_cap_usd"]
        if place:
            assert (level.entry_spend, level.entry_age_days) == (row["entry_spend_usd"], row["entry_age_days"])


class Held:
    """A stored artifact, as a store gives it back."""

    def __init__(self, artifact):
        self.meta, self.table = json.loads(json.dumps(artifact.meta)), artifact.tables.__getitem__


def test_a_run_stage_gives_back_the_campaign(tmp_path):
    one = campaign({"lab": operation()}, policy=policy("ban"), days=4.0)
    told = []
    context = Context.__new__(Context)
    object.__setattr__(context, "progress", lambda *what: told.append(what))
    artifact = CampaignStage(one, threads=2).run(context)
    assert len(told) == 4
    assert set(artifact.tables) >= set(TABLES)
    direct, stored = Simulation(one).run(), result_of(Held(artifact))
    assert (stored.preset, stored.policy, stored.seed) == (direct.preset, direct.policy, direct.seed)
    for name in TABLES:
        assert getattr(stored, name).equals(getattr(direct, name))
    assert stored.facts["opened"] == direct.facts["opened"]
    assert "config" in stored.facts
