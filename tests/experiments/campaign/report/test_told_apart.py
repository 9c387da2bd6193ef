"""Campaigns of one report that differ in more than their policy are named by what differs."""

from __future__ import annotations

from dataclasses import replace

from experiments.campaign.report.told_apart import told_apart
from tests.experiments.campaign.synthetic import campaign


def result(policy, seed=0, preset="small", standby=0, window=100, share=0.25):
    config = {
        "name": preset,
        "seed": seed,
        "operations": [["lab", {"standby": standby, "share": share}]],
        "policy": {"name": policy, "detectors": [["mmd_window", {"window": window, "share": 1}]]},
    }
    one = replace(campaign(policy), seed=seed, preset=preset)
    return replace(one, facts={**one.facts, "config": config})


def names(*results):
    return [one.policy for one in told_apart(results)]


def test_policies_alone_keep_their_names():
    assert names(result("none"), result("linking"), result("linking", seed=1)) == ["none", "linking", "linking"]


def test_settings_of_one_policy_are_told_by_what_differs():
    found = names(result("none"), result("linking", standby=0), result("linking", standby=300))
    assert found == ["none", "linking standby=0", "linking standby=300"]


def test_a_field_that_several_parts_have_keeps_its_path():
    assert names(result("a", share=0.5), result("a", share=1.0)) == ["a share=0.5", "a share=1"]
    one, other = result("a", share=0.5), result("a", share=1.0)
    other.facts["config"]["policy"]["detectors"][0][1]["share"] = 2
    assert names(one, other)[0] == "a operations.lab.share=0.5 policy.detectors.mmd_window.share=1"


def test_several_presets_are_named_and_share_a_table():
    found = told_apart([result("none", preset="small"), result("none", preset="large")])
    assert [one.policy for one in found] == ["none small", "none large"]
    assert {one.preset for one in found} == {"small+large"}
