"""``moatbench frontier``: which defenses it takes, at which strengths, and what it says of the others."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from experiments.cli import main
from experiments.cli.frontier import grids, own_words
from tests.experiments.test_cell import TINY


def lines(*words):
    return {line[0].partition("=")[2]: line[1:] for line in grids(own_words(words))}


def test_all_that_change_answers_and_act_on_what_is_sold(capsys):
    found = lines()
    assert next(iter(found)) == "none"
    assert found["antidistillation"] == ["defense.antidistillation.lam=drop:0.01,drop:0.02,drop:0.05"]
    assert found["trace_summary"] == []
    for name in ("query_quota", "behaviour", "proof_of_work"):
        assert name not in found, "limits and detectors judge requests"
    assert "rounding" not in found
    assert "trace_instructed" not in found
    told = capsys.readouterr().err
    assert "rounding (top_logprobs)" in told
    assert "a language model of their own: trace_instructed (rewriter), trace_instructed_random (rewriter)" in told
    sold = lines("api=logprobs", "attack=logprobs")
    assert sold["rounding"] == ["defense.rounding.digits=l1:0.1,l1:0.2,l1:0.5"]
    assert set(found) < set(sold)


def test_words_of_its_own():
    own = own_words(["defense=kgw,temperature", "drop=0.05,0.02", "attack=imitate,clean"])
    assert own == (
        ("attack=imitate,clean", "seed=0,1,2,3,4"),
        {"drop": (0.02, 0.05), "l1": (0.1, 0.2, 0.5)},
        ("kgw", "temperature"),
    )
    assert own_words(["seed=3"]).overrides == ("seed=3",)
    named = lines("defense=query_quota,temperature,trace_instructed", "drop=0.1", "seed=0,1")
    assert list(named) == ["none", "query_quota", "temperature", "trace_instructed"], "what is named is taken"
    assert named["temperature"] == ["defense.temperature.tau=drop:0.1"]


def test_input_that_cannot_be():
    with pytest.raises(ConfigError, match="there is no such defense; did you mean 'temperature'"):
        lines("defense=tempratur")
    with pytest.raises(ConfigError, match="is a stack"):
        lines("defense=[kgw,temperature]")
    with pytest.raises(ConfigError, match="must be a share between 0 and 1"):
        lines("drop=5")


def test_a_plan_says_what_waits(tmp_path, capsys):
    words = [*TINY, f"store={tmp_path}/store", f"out={tmp_path}/out", "seed=0,1", "defense=temperature,trace_hidden"]
    assert main(["frontier", *words, "drop=0.05", "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "to be calibrated first: defense.temperature.tau=drop:0.05, for 2 cells" in told.err
    assert "noise floor" in told.out
