"""The full experiment names every method there is, and plans as it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import configs
from configs.build import build
from defenses.base import Defense
from experiments.cell_from import cell_from
from experiments.cli.frontier import own_models
from experiments.compose.compose import Sweep, compose_sweep
from experiments.compose.interning import Interning
from experiments.engine.graph import Wanted, plan, shared
from experiments.store.store import Store

PREPARED = 26
"""Preparations of a seed: of every defense that prepares, one for all strengths and for all controls that share it."""
FOLDER = Path(configs.__file__).parent


def names(group: str) -> set[str]:
    """Those of the mini world, which has no language model that a defense could bring."""
    found = [path for path in (FOLDER / group).glob("*.yaml") if not brings_a_model(path)]
    return {path.stem for path in found}


def brings_a_model(path: Path) -> bool:
    nodes = OmegaConf.load(path).values() if path.parent.name == "defense" else []
    built = [build(node, Defense, path.stem) for node in nodes if "_target_" in node]
    return any(own_models(defense) for defense in built)


def chosen(sweep: Sweep, group: str) -> set[str]:
    said = {o.partition("=")[2] for cell in sweep.cells for o in cell.overrides if o.startswith(f"{group}=")}
    return {name for one in said for name in one.strip("[]").split(",")}


@pytest.fixture(scope="module")
def full() -> Sweep:
    return compose_sweep(["+experiment=full"])


@pytest.fixture(scope="module")
def quick() -> Sweep:
    return compose_sweep(["+experiment=full_quick"])


@pytest.mark.parametrize("group", ["defense", "attack"])
def test_every_method_is_in_both(full, quick, group):
    assert chosen(full, group) == chosen(quick, group) == names(group)


def test_what_brings_a_language_model_is_in_neither():
    left_out = {path.stem for path in (FOLDER / "defense").glob("*.yaml")} - names("defense")
    assert left_out == {"trace_instructed", "trace_instructed_random"}


def test_the_quick_half_is_a_part_of_one_seed(full, quick):
    one_seed = {cell.identity for cell in full.cells if cell.plain["seed"] == 0}
    found = {cell.identity for cell in quick.cells}
    assert found < one_seed
    assert 0.4 < len(found) / len(one_seed) < 0.6


@pytest.mark.parametrize("name", ["full", "quick"])
def test_it_shares_what_can_be_shared(name, request, tmp_path):
    sweep: Sweep = request.getfixturevalue(name)
    assert not sweep.repeated
    assert not sweep.overlapping
    interning = Interning()
    rows = [Wanted(cell_from(cell.plain, interning).row_stage(), cell.label) for cell in sweep.cells]
    graph = plan(rows, Store(tmp_path / "store"))
    uses = shared(graph.wanted)
    seeds = {cell.plain["seed"] for cell in sweep.cells}
    attacks = {
        (str(c.plain["attack"]), str(c.plain["budget"]), c.plain["api"]["name"], c.plain["seed"]) for c in sweep.cells
    }
    assert len(uses["row"].keys) == uses["row"].uses == len(sweep.cells)
    assert len(uses["base"].keys) == len(seeds)
    assert len(uses["teacher"].keys) == 2 * len(seeds), "and the reasoner that an attacker who inverts traces trains"
    assert len(uses["prepare"].keys) == len(seeds) * PREPARED
    assert len(uses["student"].keys) <= len(sweep.cells) + 2 * len(attacks)
    assert sum(len(use.keys) for use in uses.values()) == len(graph.nodes)
