"""What is composed the short way is what ``hydra.compose`` gives, key by key in its order; the rest is left to Hydra."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from hydra import compose
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from experiments.compose.compose import compose_cells
from experiments.compose.defaults import Defaults, NotPlainError
from experiments.compose.hydra_session import HydraSession, session

DEFENSES = ("none", "temperature", "trace_summary", "token_bucket", "linker", "top_k")
OF_CELLS = {
    "defense": st.lists(st.sampled_from(DEFENSES), max_size=3).map(lambda names: f"[{','.join(names)}]"),
    "attack": st.sampled_from(["imitate", "prefix", "adaptive", "logprobs_average", "rl"]),
    "attack/objective": st.sampled_from(["sft", "sft_answers", "gkd"]),
    "attack/harvest": st.sampled_from(["random", "uncertainty"]),
    "attack/recover": st.sampled_from(["[]", "[as_prefix]", "[as_prefix,dedup]"]),
    "api": st.sampled_from(["text", "trace", "full"]),
    "budget": st.sampled_from(["default", "small", "sybil"]),
    "seed": st.integers(0, 9).map(str),
    "max_tokens": st.sampled_from(["7", "'7'", "1e2", "true", "null", "${seed}", "'a b'", "\"x='y'\"", "[1,{a: b}]"]),
    "budget.queries": st.sampled_from(["3", "2.5"]),
    "+budget.mix.chain": st.sampled_from(["3", "null"]),
    "++budget.mix": st.sampled_from(["{code: 1}", "{}", "{facts: ${seed}}"]),
    "++measure.other": st.sampled_from(["{a: {b: 1}}", "[]", "x"]),
    "~measure.hours": st.none(),
    "~teacher.recipe.steps": st.none(),
    "+prices.own": st.sampled_from(["[1,2]", "{x: y}", "${max_tokens}"]),
}
OF_CAMPAIGNS = {
    "campaign": st.sampled_from(["small", "labs_small", "mimic", "aggregate_feb2026"]),
    "policy": st.sampled_from(["none", "limits", "watch", "linking", "full"]),
    "market": st.sampled_from(["three", "one"]),
    "+operation@campaign.operations.other": st.just("default"),
    "+defense@policy.extra": st.sampled_from(["linker", "[linker,token_bucket]"]),
    "defense@policy.admission": st.sampled_from(["[]", "[token_bucket]", "token_bucket"]),
    "++campaign.operations.other.days": st.sampled_from(["3", "${seed}"]),
    "population.accounts": st.sampled_from(["500", "'500'"]),
    "++policy.ladder": st.sampled_from(["{rungs: [hide]}", "{}"]),
    "~campaign.release_days": st.none(),
    "past": st.sampled_from(["{days: 3}", "null"]),
}


def lines(menu: dict[str, st.SearchStrategy[str | None]]) -> st.SearchStrategy[list[str]]:
    """Command lines with some of these, in any order."""
    some = st.lists(st.sampled_from(sorted(menu)), unique=True, max_size=5)
    words = some.flatmap(lambda keys: st.tuples(*(menu[key].map(lambda value, key=key: (key, value)) for key in keys)))
    return words.map(lambda pairs: [key if value is None else f"{key}={value}" for key, value in pairs])


CELLS = lines(OF_CELLS).map(lambda line: ("cell", line))
CAMPAIGNS = lines(OF_CAMPAIGNS).map(lambda line: ("campaign", line))


def hydras(root: str, overrides: list[str]) -> str:
    """What plain Hydra composes, or its error."""
    return said(lambda: compose(root, list(overrides)))


def ours(hydra: HydraSession, root: str, overrides: list[str]) -> str:
    return said(lambda: hydra.compose(overrides, root))


def said(composed: Callable[[], DictConfig]) -> str:
    try:
        return json.dumps(OmegaConf.to_container(composed()))  # unsorted: the order of a stack matters
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture
def hydra() -> Iterator[HydraSession]:
    """One session for all lines, as in a sweep: no line may change what the next one gets."""
    with session() as opened:
        yield opened


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asked=st.one_of(CELLS, CELLS, CAMPAIGNS))
def test_any_line_is_composed_as_hydra_composes_it(hydra, asked):
    root, overrides = asked
    assert ours(hydra, root, overrides) == hydras(root, overrides)


@pytest.mark.parametrize(
    ("arguments", "root", "cells"),
    [
        ([], "cell", 1),
        (["+experiment=quick"], "cell", 34),
        (["defense=[none],[temperature,top_k],[top_k,temperature]", "attack=prefix,rl", "seed=range(0,9)"], "cell", 54),
        (["+experiment=campaign/limits"], "campaign", 8),
        (["campaign=labs_small", "policy=glob(*)"], "campaign", 6),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else None,
)
def test_our_own_files_never_need_hydra_to_compose(arguments, root, cells, monkeypatch):
    monkeypatch.setattr("experiments.compose.hydra_session.compose", lambda *_: pytest.fail("asked Hydra"))
    assert len(compose_cells(arguments, root)) == cells


PLAIN = {
    "nested": "defaults: [below: [inner], _self_]\nnested: {a: 1}\n",
    "last": "defaults: [_self_, below: inner]\nbelow: {inner: {x: 9}}\nlast: {a: null}\n",
    "without_self": "defaults: [below: inner]\nwithout_self: {a: {b: [1]}}\n",
    "beside": "defaults: [shout, _self_]\nshout: {volume: 7}\n",
    "there": "defaults: [/defense/below@there: inner, /api@_here_: text, _self_]\nx: {y: 0.5}\n",
    "nothing": "defaults: [below: null, /defense@more: [shout]]\nnothing: {}\n",
    "twice": "defaults: [/defense@more: [shout], below: inner]\ntwice: {}\n",
}
"""Files of somebody else that are composed the short way, and..."""
ODD = {
    "overrides": "defaults: [below: inner, override below: other, _self_]\noverrides: {a: 1}\n",
    "may_be": "defaults: [optional below: nowhere, _self_]\nmay_be: {a: 1}\n",
    "of_all": "# @package _global_\nprices: {of_all: 3}\n",
    "placed": "# @package defense.other\nplaced: {a: 3}\n",
    "absolute": "defaults: [/defense/below@_global_.prices.own: inner, _self_]\nabsolute: {}\n",
    "of_group": "defaults: [below@_group_: inner, _self_]\nof_group: {}\n",
    "asks": "defaults: [below: '${budget}', _self_]\nasks: {}\n",
    "points": "points: {a: '${seed}', b: '${.a}'}\n",
    "selves": "defaults: [_self_, below: inner, _self_]\nselves: {}\n",
    "missing": "defaults: [below: '???', _self_]\nmissing: {}\n",
    "wrong": "defaults: {below: inner}\nwrong: {}\n",
    "again": "defaults: [below: inner, below: other, _self_]\nagain: {}\n",
    "settings": "hydra: {job: {name: x}}\nsettings: {}\n",
}
"""...those that Hydra composes or refuses."""


@pytest.fixture
def theirs(elsewhere, tmp_path):
    folder = tmp_path / "elsewhere" / "configs" / "defense"
    (folder / "below").mkdir()
    for name, text in {**PLAIN, **ODD, "below/inner": "inner: {x: 1, z: [2]}\n", "below/other": "w: 1\n"}.items():
        (folder / f"{name}.yaml").write_text(text)
    return elsewhere


@pytest.mark.parametrize("name", [*PLAIN, *ODD])
def test_files_of_others_are_composed_as_hydra_composes_them(theirs, name):
    lines = [f"defense={name}"], [f"defense=[{name}]", "defense/below=other"]
    with session([theirs]) as hydra:
        for line in lines[: 2 if "below: " in PLAIN.get(name, "") else 1]:
            assert ours(hydra, "cell", [theirs, *line]) == hydras("cell", [theirs, *line])
        if name in ODD:
            with pytest.raises(NotPlainError):
                Defaults(hydra.files([theirs])).config("cell", hydra.parse(lines[0]))


def test_files_that_choose_each_other_are_refused(theirs, tmp_path):
    (tmp_path / "elsewhere" / "configs" / "defense" / "circle.yaml").write_text("defaults: [circle, _self_]\na: 1\n")
    with pytest.raises(ConfigError, match=r"defense=circle.*chooses files that choose each other"):
        compose_cells([theirs, "defense=circle"])


@pytest.mark.parametrize("name", PLAIN)
def test_plain_files_of_others_do_not_need_hydra_to_compose(theirs, name, monkeypatch):
    monkeypatch.setattr("experiments.compose.hydra_session.compose", lambda *_: pytest.fail("asked Hydra"))
    with session([theirs]) as hydra:
        assert "shout" not in hydra.compose([theirs, f"defense=[{name}]"], "cell")
