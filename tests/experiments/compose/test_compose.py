"""Composition: sweeps, experiments, freezing, errors in words, packages of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from omegaconf.errors import ReadonlyConfigError

from configs.errors import ConfigError
from experiments.cli.roots import root_of
from experiments.compose.compose import compose_cells, compose_one
from experiments.compose.grids import experiment_names
from experiments.compose.hydra_session import session


def labels(*arguments: str) -> list[str]:
    return [cell.label for cell in compose_cells(arguments)]


def test_grid_is_a_product_in_hydras_grammar():
    assert labels("defense=none,temperature", "seed=range(0,2)") == [
        "defense=none seed=0",
        "defense=none seed=1",
        "defense=temperature seed=0",
        "defense=temperature seed=1",
    ]
    assert len(labels("defense=glob(trace_*)")) == 10
    assert labels() == ["defaults"]
    assert labels("seed=choice(1,2)", "store=/elsewhere") == ["seed=1", "seed=2"]


def test_stack_of_defenses_keeps_its_order():
    cell = compose_one(["defense=[trace_hidden,temperature]", "defense.temperature.tau=2"])
    assert list(cell.config.defense) == ["trace_hidden", "temperature"]
    assert cell.config.defense.temperature.tau == 2


@pytest.mark.parametrize(
    ("root", "overrides"),
    [
        ("cell", ["seed=3"]),
        ("cell", ["defense=temperature", "defense.temperature.tau=2"]),
        ("cell", ["+budget.mix={strange: 5}", "attack=prefix", "attack/objective=sft_answers"]),
        ("cell", ["+measure.extra=1", "~measure.hours", "++seed=4"]),
        ("cell", ["defense=[temperature,trace_hidden]", "hydra.job.name=x"]),
        ("campaign", ["campaign=labs_small", "policy=linking", "seed=2", "population.accounts=500"]),
        ("campaign", ["policy=full", "policy.ladder.rungs=[hide]", "policy.detectors.linker.jaccard=0.5"]),
        ("campaign", ["campaign=small", "+operation@campaign.operations.b=default", "campaign.operations.b.days=3"]),
        ("campaign", ["policy=limits", "+defense@policy.detectors=[seat]", "policy.detectors.seat.window=50"]),
        ("campaign", ["+campaign.operations.hydra.capabilities.rewriting=2", "~campaign.release_days"]),
    ],
)
def test_composes_exactly_as_hydra_does(root, overrides):
    with initialize_config_module("configs", version_base="1.3"):
        expected = OmegaConf.to_container(compose(root, overrides), resolve=True)
    for _ in range(2):
        assert OmegaConf.to_container(compose_one(overrides, root).config) == expected
    with session() as hydra:
        hydra.compose(["seed=9"], root)
        assert OmegaConf.to_container(hydra.compose(overrides, root), resolve=True) == expected


def test_cells_are_frozen(elsewhere, tmp_path):
    (cell,) = compose_cells([elsewhere, "defense=shout"])
    (tmp_path / "elsewhere" / "configs" / "defense" / "shout.yaml").write_text("shout: {_target_: x, volume: 99}")
    assert cell.config.defense.shout.volume == 2.0
    with pytest.raises(ReadonlyConfigError):
        cell.config.defense.shout.volume = 3


def test_duplicates_are_one_cell_and_paths_do_not_make_a_cell():
    assert labels("seed=1,1") == ["seed=1"]
    first, second = compose_one(["store=a", "tracking=wandb"]), compose_one(["store=b"])
    assert first.identity == second.identity


def test_experiment_is_the_union_of_its_grids(elsewhere):
    assert [c.label for c in compose_cells([elsewhere, "+experiment=both"])] == [
        "defense=shout seed=0",
        "defense=shout seed=1",
        "defense=none seed=0",
        "defense=none seed=1",
        "defense=none attack=imitate seed=2",
        "defense=temperature defense.temperature.tau=1.2",
        "defense=temperature defense.temperature.tau=1.5",
    ]
    assert experiment_names(["+experiment=a,b", "seed=1"]) == ["a", "b"]


def test_own_overrides_win_over_an_experiments(elsewhere):
    cells = compose_cells([elsewhere, "experiment=both", "seed=7", "defense=trace_hidden"])
    assert [c.label for c in cells] == ["seed=7 defense=trace_hidden"]
    swept = compose_cells([elsewhere, "experiment=both", "attack=imitate,prefix", "seed=7"])
    assert len(swept) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["defense=tempereture"], "no such defense; did you mean 'temperature'?"),
        (["defens=none"], "did you mean defense?"),
        (["defense=temperature", "defense.temperature.ta=3"], "did you mean tau?"),
        (["defense.temperature.tau=3"], "defense.temperature = '3': is not a field here"),
        (["attack/objective=sfft"], "no such objective; did you mean 'sft'?"),
        (["seed=0", "sede=3"], "did you mean seed?"),
        (["budget={querys: 3}"], "budget.querys = '{querys:3}': is not a field here; did you mean queries?"),
        (["+seed=3"], "write seed=VALUE, without the plus sign"),
        (["seed=interval(0,1)"], "continuous interval"),
        (["seed=range(3,3)"], "0 cells"),
        (["a b"], "cannot be read"),
        (["attack.name=é b"], "quote it, for the shell and for Hydra: \"attack.name='é b'\""),
        (["defense=[é b]"], "quote names with spaces, accents or signs in them: 'a b'"),
        (["~foo"], "does not compose"),
        (["+experiment=nope"], "no such experiment"),
        (["hydra.searchpath=[pkg://nowhere]"], "installed; write pkg://PACKAGE"),
    ],
)
def test_mistakes_are_said_in_words(arguments, message):
    with pytest.raises(ConfigError) as caught:
        compose_cells(arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("empty", "at least one command line"), ("strange", "choices: claims, description, differs, expected, grids")],
)
def test_bad_experiments_are_refused(elsewhere, name, message):
    with pytest.raises(ConfigError) as caught:
        compose_cells([elsewhere, f"+experiment={name}"])
    assert message in str(caught.value)


def test_experiments_are_of_cells_or_of_campaigns(elsewhere, tmp_path):
    path = tmp_path / "elsewhere" / "configs" / "experiment" / "mine.yaml"
    path.write_text("description: two\nof: campaign\ngrids:\n  - campaign=small policy=none,linking seed=1\n")
    found = compose_cells([elsewhere, "+experiment=mine", "seed=0,2"], "campaign")
    assert [one.label for one in found] == [f"policy={p} seed={s}" for p in ("none", "linking") for s in (0, 2)]
    for name, root, how in (("mine", "cell", "campaign"), ("both", "campaign", "sweep")):
        with pytest.raises(ConfigError, match=f"run it with moatbench {how} \\+experiment={name}"):
            compose_cells([elsewhere, f"+experiment={name}"], root)
    path.write_text("of: campain\ngrids: [seed=1]\n")
    with pytest.raises(ConfigError, match="campain"):
        compose_cells([elsewhere, "+experiment=mine"], "campaign")


@pytest.mark.parametrize(
    ("words", "root"),
    [
        (["seed=1", "store=x", "prices=default"], None),
        (["seed=1", "policy=none"], "campaign"),
        (["population.accounts=5"], "campaign"),
        (["+operation@campaign.operations.b=default"], "campaign"),
        (["~past.days"], "campaign"),
        (["defense=[none]", "policy=none"], "cell"),
        (["attack/objective=sft"], "cell"),
        (["hydra.searchpath=[pkg://mine.policy]", "policy"], None),
    ],
)
def test_overrides_tell_cells_from_campaigns(words, root):
    assert root_of(words) == root


def test_one_cell_is_not_a_sweep():
    with pytest.raises(ConfigError, match="2 cells, not one"):
        compose_one(["seed=0,1"])


def test_somebody_elses_defense_becomes_part_of_a_cell(elsewhere):
    from experiments.cell_from import cell_from

    cell = cell_from(compose_one([elsewhere, "defense=[shout,trace_hidden]", "defense.shout.volume=3"]).config)
    assert [type(d).__name__ for d in cell.offer.defenses.values()] == ["Shout", "TraceHidden"]
    assert cell.offer.defenses["shout"].volume == 3.0


@pytest.mark.parametrize(
    "words",
    [
        ["list", "defenses"],
        ["complete-line", "moatbench run defense=t"],
        ["show", "defense=antidistillation", "attack=adaptive"],
        ["sweep", "+experiment=quick", "--dry-run"],
        ["campaign", "campaign=small", "policy=full", "--dry-run"],
    ],
    ids=lambda words: words[0],
)
def test_planning_imports_nothing_that_computes(words, tmp_path):
    heavy = {"torch", "transformers", "datasets", "sklearn", "scipy.stats", "matplotlib", "wandb", "stix2"}
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); from experiments.cli import main\n"
        f"assert main({words!r}) == 0\n"
        f"found = {heavy!r} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
