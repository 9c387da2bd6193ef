from __future__ import annotations

import copy

import pytest

from configs.errors import ConfigError
from experiments.campaign.from_config import link_from, stage_from
from experiments.compose.compose import compose_one, compose_sweep


def plain(*overrides):
    return copy.deepcopy(dict(compose_one(list(overrides), "campaign").plain))


def test_a_configuration_becomes_a_stage():
    stage = stage_from(
        plain("campaign=small", "policy=limits", "market=three", "seed=3", "threads=2", "epoch_hours=12")
    )
    campaign = stage.campaign
    assert (campaign.name, campaign.days, campaign.epoch_hours, campaign.seed) == ("small", 10.0, 12.0, 3)
    assert list(campaign.market) == ["first", "second", "third"]
    assert campaign.operations["lab"].exchanges == 30_000
    assert campaign.release_days == (6.0,)
    assert campaign.policy.name == "limits"
    assert stage.threads == 2
    assert link_from(plain()) == link_from(plain("seed=1"))


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("campaign.operations.lab.exchanges=-1", r"campaign\.operations\.lab\.exchanges = -1"),
        ("campaign.operations.lab.pacing=poison", r"campaign\.operations\.lab\.pacing.*did you mean 'poisson'"),
        ("+campaign.operations.lab.capabilities.codng=1", r"capabilities.*did you mean 'coding'"),
        ("+campaign.operations.lab.exchange=1", r"campaign\.operations\.lab\.exchange.*did you mean 'exchanges'"),
        ("campaign.operations.lab.costs.sms=-1", r"campaign\.operations\.lab\.costs\.sms"),
        ("campaign.operations.lab.days=11", r"campaign\.operations\.lab\.days.*ends after the 10 simulated days"),
        ("campaign.days=10.01", r"campaign\.days.*whole number of epochs"),
        ("campaign.days=-1", r"campaign\.days"),
        ("campaign.release_days=[-1]", r"campaign\.release_days"),
        ("+campaign.day=3", r"campaign\.day.*did you mean 'days'"),
        ("population.accounts=0", r"population\.accounts"),
        ("+population.workloads.chat_smal=1", r"population\.workloads.*did you mean 'chat_small'"),
        ("market.first.population=0", r"market\.first\.population"),
        ("policy.ladder.rungs=[verfy]", r"ladder\.rungs.*did you mean 'verify'"),
        ("policy.on_indicator=none", r"policy\.on_indicator"),
        ("prices.input=-1", r"prices\.input"),
        ("past.accounts=0", r"past\.accounts"),
        ("+past.account=1", r"past\.account.*did you mean 'accounts'"),
        ("epoch_hours=5", r"epoch_hours = 5.0.*divide a day"),
        ("epoch_hours=0", r"epoch_hours"),
        ("encoder=miniln", r"encoder.*did you mean 'minilm'"),
        ("seed=-1", r"seed"),
        ("seed=1.5", r"seed"),
        ("threads=0", r"threads"),
        ("+thread=1", r"thread = 1.*did you mean 'threads'"),
    ],
)
def test_slips_are_named(override, named):
    with pytest.raises(ConfigError, match=named):
        stage_from(plain("campaign=small", override))


def test_what_is_missing_is_named():
    for name in ("days", "name"):
        given = plain("campaign=small")
        given["campaign"] = {key: value for key, value in given["campaign"].items() if key != name}
        with pytest.raises(ConfigError, match=rf"campaign.*{name}"):
            stage_from(given)
    given = plain("campaign=small")
    given["market"] = {}
    with pytest.raises(ConfigError, match="market"):
        stage_from(given)
    for name, value in (("campaign", None), ("market", None), ("market", {"first": None})):
        with pytest.raises(ConfigError, match=name):
            stage_from({**plain("campaign=small"), name: value})


def test_what_cannot_be_carried_out_is_refused_before_anything_is_simulated():
    with pytest.raises(ConfigError, match=r"campaign\.operations\.lab\.exchanges.*operations\.lab\.pace binds"):
        stage_from(plain("campaign=small", "campaign.operations.lab.pace=1"))
    with pytest.raises(ConfigError, match=r"policy\.admission\.anthropic_tiers\.\w+ binds"):
        stage_from(plain("campaign=small", "policy=limits", "campaign.operations.lab.exchanges=300000000"))


def test_a_reported_campaign_keeps_the_reported_figures():
    with pytest.raises(ConfigError, match=r"deepseek\.exchanges.*is not the 150000 of the reported"):
        stage_from(plain("campaign=deepseek_feb2026", "campaign.operations.deepseek.exchanges=150001"))
    stage_from(
        plain(
            "campaign=deepseek_feb2026",
            "campaign.operations.deepseek.exchanges=150001",
            "campaign.operations.deepseek.reported=''",
        )
    )
    with pytest.raises(ConfigError, match="did you mean 'deepseek_feb2026'"):
        stage_from(plain("campaign=deepseek_feb2026", "campaign.operations.deepseek.reported=deepseek_feb2025"))


def test_a_sweep_gives_a_stage_a_cell():
    cells = compose_sweep(["campaign=small", "seed=0,1", "policy=none,limits"], "campaign").cells
    stages = [stage_from(cell.plain) for cell in cells]
    assert len({stage.key for stage in stages}) == len(cells) == 4
