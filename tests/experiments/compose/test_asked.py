"""``drop:0.05`` as a value: what is read, what is refused."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from defenses.release.trace_hidden import TraceHidden
from experiments.calibration.calibration import calibration_of, the_strength
from experiments.cell_from import cell_from
from experiments.cli.calibrate import own_words
from experiments.compose.asked import Asked, asked_of, with_value
from experiments.compose.compose import compose_cells, compose_one


def plain(*words: str):
    return compose_one(words).plain


def test_hydra_takes_it_as_it_stands():
    cells = compose_cells(["defense=temperature", "defense.temperature.tau=drop:0.02,drop:0.05,1.5"])
    found = [asked_of(cell.plain) for cell in cells]
    assert found == [Asked("temperature", "tau", 0.02), Asked("temperature", "tau", 0.05), None]


def test_distances_are_asked_for_in_the_same_way():
    cells = compose_cells(["api=logprobs", "defense=mad", "defense.mad.epsilon=l1:0.5,l1:1.2,0.3"])
    found = [asked_of(cell.plain) for cell in cells]
    assert found == [Asked("mad", "epsilon", 0.5, "l1"), Asked("mad", "epsilon", 1.2, "l1"), None]
    for wrong in ("2", "0", "far"):
        with pytest.raises(ConfigError, match="must be an L1 distance between 0 and 2"):
            asked_of(plain("defense=mad", f"defense.mad.epsilon='l1:{wrong}'"))
    with pytest.raises(ConfigError, match=r"epsilon = 'l1:0.5': is not a number yet"):
        cell_from(plain("api=logprobs", "defense=mad", "defense.mad.epsilon=l1:0.5"))
    assert the_strength(plain("defense=mad"), 0.5, "l1") == Asked("mad", "epsilon", 0.5, "l1")


def test_a_value_is_put_in_its_place_and_nowhere_else():
    before = plain("defense=[temperature,trace_hidden]", "defense.temperature.tau=drop:0.05")
    after = with_value(before, "temperature", "tau", 1.3)
    assert after["defense"]["temperature"]["tau"] == 1.3
    assert before["defense"]["temperature"]["tau"] == "drop:0.05"
    assert list(after["defense"]) == ["temperature", "trace_hidden"]
    assert {k: v for k, v in after.items() if k != "defense"} == {k: v for k, v in before.items() if k != "defense"}


@pytest.mark.parametrize("value", ["5", "0", "-0.1", "half", ""])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(ConfigError, match="must be a share between 0 and 1"):
        asked_of(plain("defense=temperature", f"defense.temperature.tau='drop:{value}'"))


def test_two_at_once_are_refused():
    words = ["defense=[temperature,random_errors]", "defense.temperature.tau=drop:0.05"]
    with pytest.raises(ConfigError, match="only one strength"):
        asked_of(plain(*words, "defense.random_errors.rate=drop:0.05"))


def test_a_cell_needs_the_number():
    with pytest.raises(ConfigError, match=r"tau = 'drop:0.05': is not a number yet: moatbench calibrate"):
        cell_from(plain("defense=temperature", "defense.temperature.tau=drop:0.05"))


def test_only_a_strength_can_be_calibrated():
    words = ["defense=antidistillation", "defense.antidistillation.epsilon=drop:0.05"]
    with pytest.raises(ConfigError, match="the strength of antidistillation is lam"):
        calibration_of(plain(*words), asked_of(plain(*words)))


def test_the_one_strength_of_a_stack_is_meant():
    assert the_strength(plain("defense=[trace_summary,permuted]"), 0.05) == Asked("permuted", "lam", 0.05)
    with pytest.raises(ConfigError, match=r"'trace_summary': declares no strength .*defense\.md\) to calibrate"):
        the_strength(plain("defense=trace_summary"), 0.05)
    with pytest.raises(ConfigError, match="'none': has no strength to calibrate: choose one with defense=NAME"):
        the_strength(plain("defense=none"), 0.05)
    with pytest.raises(ConfigError, match=r"temperature\.tau=drop:0\.05 or .*hidden\.fraction=drop:0\.05"):
        the_strength(plain("defense=[temperature,trace_hidden]"), 0.05)
    assert TraceHidden.strength.field == "fraction"


def test_words_of_the_command():
    own = own_words(["defense=permuted", "drop=0.02,0.05", "family=chain", "seed=3,4,3"])
    assert own == (["defense=permuted"], (("drop", 0.02), ("drop", 0.05)), "chain", (3, 4))
    assert own_words(["defense=mad", "l1=0.5,1,0.5"]) == (["defense=mad"], (("l1", 0.5), ("l1", 1.0)), None, None)
    assert own_words(["defense=permuted"]) == (["defense=permuted"], (), None, None)
    with pytest.raises(ConfigError, match="whole numbers with commas"):
        own_words(["drop=0.05", "seed=range(0,3)"])


def test_strengths_that_the_defense_cannot_have_are_named():
    words = plain("defense=anthropic_tiers")
    with pytest.raises(ConfigError, match=r"burst_minutes.*calibration tries requests_per_minute = 0\.02"):
        calibration_of(words, the_strength(words, 0.05))


def test_the_family_has_to_be_one_of_the_task():
    words = plain("defense=temperature")
    with pytest.raises(ConfigError, match=r"family = 'chains': is not a family of task mini; did you mean 'chain'\?"):
        calibration_of(words, the_strength(words, 0.05), "chains")
