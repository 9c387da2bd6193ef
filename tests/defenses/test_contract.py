"""What every defense in ``configs/defense`` promises, whoever wrote it."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import configs
from configs.build import build, describe
from defenses.base import Defense, Preparation, hooks_of
from experiments.compose.compose import compose_one
from teacher.api.interface import Interface
from tests.defenses.decoding.models import traces
from tests.defenses.release.responses import VOCAB, assert_aligned, make, student

FOLDER = Path(configs.__file__).parent / "defense"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LOGPROBS = (
    "top_k", "rounding", "gaussian_noise", "gaussian_noise_cached", "hard_label", "reverse_sigmoid", "mad", "mad_argmax",
    "random_vertex", "grad_redirection", "grad_ones", "grad_reverse", "modelguard_w", "adaptive_misinformation", "stingy",
)  # fmt: skip


def nodes(name):
    return OmegaConf.load(FOLDER / f"{name}.yaml")


def defense_of(name):
    return build(nodes(name)[name], Defense, f"defense.{name}")


STACKS = [name for name in NAMES if "defaults" in nodes(name)]
DEFENSES = [name for name in NAMES if name not in ("none", *STACKS)]
RELEASING = [name for name in DEFENSES if "release" in hooks_of(defense_of(name))]


@cache
def prepared(name):
    """What defenses on sold probabilities prepare; nothing for others, which then leave text as it is."""
    if name not in LOGPROBS:
        return {}
    rng = np.random.default_rng(0)
    return defense_of(name).prepare(
        Preparation(student(), student, traces, rng, fit=lambda rows, steps=None: student(9))
    )


def test_no_defense_is_empty():
    assert len(nodes("none")) == 0


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_is_of_several_defenses_and_says_so(name):
    stack = compose_one([f"defense={name}", "api=full"]).plain["defense"]
    assert len(stack) > 1
    assert all(hooks_of(build(part, Defense, name)) for part in stack.values())
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# A stack")


@pytest.mark.parametrize("name", DEFENSES)
def test_yaml_names_one_defense_after_its_file(name):
    assert list(nodes(name)) == [name]
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("name", DEFENSES)
def test_builds_acts_and_describes_itself(name):
    defense = defense_of(name)
    assert hooks_of(defense)
    assert defense.__dataclass_params__.frozen
    assert set(hooks_of(defense)) - {"prepare"}, "a defense that only prepares changes nothing"
    rebuilt = build(describe(defense), Defense, name)
    assert rebuilt == defense


@pytest.mark.parametrize("name", DEFENSES)
def test_is_documented_and_cites_its_source(name):
    kind = type(defense_of(name))
    assert kind.source
    assert 4 <= len(kind.checked) <= 125
    first = inspect.cleandoc(kind.__doc__).splitlines()[0]
    assert 20 <= len(first) <= 125
    assert first.endswith((".", ":"))
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert sys.modules[kind.__module__].__doc__
    documented = [line.strip().partition(":")[0] for base in kind.__mro__ for line in (base.__doc__ or "").splitlines()]
    for field in dataclasses.fields(kind):
        assert field.name in documented, f"{kind.__name__} does not say what {field.name} is"
    for need in kind.needs:
        assert hasattr(Interface(), need)


@pytest.mark.parametrize("name", RELEASING)
@pytest.mark.parametrize("k", [0, 1, 5, VOCAB])
def test_release_keeps_rows_and_alignment(name, k):
    responses, context = make(k=k)
    before = {f.name: getattr(responses, f.name) for f in dataclasses.fields(responses)}
    copies = {key: value.copy() for key, value in before.items() if isinstance(value, np.ndarray)}
    values = responses.tokens.values.copy()
    released = defense_of(name).release(responses, context(prepared=prepared(name)))
    assert_aligned(released)
    assert len(released) == len(responses)
    for column in ("request", "finished", "output_tokens"):
        np.testing.assert_array_equal(getattr(released, column), before[column])
    assert (released.cut >= responses.cut).all()
    if name in LOGPROBS:
        np.testing.assert_array_equal(released.tokens.values, values)
    for key, copy in copies.items():
        np.testing.assert_array_equal(before[key], copy, err_msg=f"{key} was changed in place")
    np.testing.assert_array_equal(responses.tokens.values, values)


@pytest.mark.parametrize("name", RELEASING)
def test_release_is_a_function_of_its_generator(name):
    responses, context = make(k=5)
    first, again = (defense_of(name).release(responses, context(7, prepared=prepared(name))) for _ in range(2))
    for field in dataclasses.fields(responses):
        a, b = getattr(first, field.name), getattr(again, field.name)
        if field.name == "tokens":
            a, b = np.concatenate([a.values, a.offsets]), np.concatenate([b.values, b.offsets])
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", RELEASING)
def test_release_of_nothing_is_nothing(name):
    responses, context = make(k=5)
    nothing = responses.take(np.zeros(0, np.int64))
    assert len(defense_of(name).release(nothing, context(prepared=prepared(name)))) == 0


@pytest.mark.parametrize("first", RELEASING)
def test_releases_stack(first):
    responses, context = make(k=5)
    once = defense_of(first).release(responses, context(0, prepared=prepared(first)))
    for second in RELEASING:
        assert_aligned(defense_of(second).release(once, context(1, prepared=prepared(second))))


@pytest.mark.parametrize("name", [name for name in DEFENSES if type(defense_of(name)).strength is not None])
def test_a_strength_has_a_range_that_can_be_searched(name):
    """Values near the harmless end and the strongest itself can be had. Tiers let a second's worth of requests through at
    a time, which the slowest rate has no room for."""
    defense, strength = defense_of(name), type(defense_of(name)).strength
    assert strength.harmless != strength.strongest
    assert not strength.log or min(strength.harmless, strength.strongest) > 0
    whole = isinstance(getattr(defense, strength.field), int)
    assert whole or isinstance(getattr(defense, strength.field), float)
    if "tiers" in name:
        defense = dataclasses.replace(defense, burst_minutes=60.0)
    for position in (0.01, 0.5, 1.0):
        value = strength.at(position)
        assert dataclasses.replace(defense, **{strength.field: round(value) if whole else value})
