"""Cells assembled from parts are the cells that Hydra composes, and what a sweep shares changes no key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import configs
from experiments.cell_from import cell_from
from experiments.compose.assembly import Assembly
from experiments.compose.compose import compose_cells, compose_one
from experiments.compose.hydra_session import session
from experiments.compose.interning import Interning
from experiments.store.stage import Stage

FOLDER = Path(configs.__file__).parent
OPTIONS = [
    path.relative_to(FOLDER).with_suffix("").as_posix()
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.parent != FOLDER and path.stem != "transcripts"  # which name each other
]
OF_CAMPAIGNS = {"campaign", "population", "market", "policy", "link"}
GROUPS = sorted(
    {
        name.rpartition("/")[0]
        for name in OPTIONS
        if name.partition("/")[0] not in ("claim", "experiment", "operation", "table")
    }
)

TOGETHER = [
    [],
    ["seed=3", "defense=temperature", "defense.temperature.tau=2", "attack=prefix", "attack/objective=sft_answers"],
    ["defense=[trace_summary,token_bucket]", "defense.token_bucket.scope=x", "budget=sybil", "budget.queries=9"],
    ["api=full", "attack=logprobs_average", "+budget.mix={chain: 3}", "~measure.hours", "++max_tokens=9"],
    [
        "task=reasoning_gym",
        "teacher=hf",
        "student=hf",
        "budget=lm",
        "student.recipe.steps=3",
        "task.datasets.chain_sum.min_terms=3",
    ],
]


def test_files_that_name_each_other_are_left_to_hydra():
    words = ("task=transcripts", "teacher=transcripts", "teacher.path=answers.jsonl", "student=hf", "budget=lm")
    assert assembled(*words) is None
    assert hydras(list(words))["task"]["path"] == "answers.jsonl"


def hydras(overrides: list[str], root: str = "cell") -> object:
    """What plain Hydra composes."""
    return each_hydras([overrides], root)[0]


def each_hydras(lines: list[list[str]], root: str) -> list[object]:
    """The same of several lines, by one Hydra."""
    with initialize_config_module("configs", version_base="1.3"):
        return [OmegaConf.to_container(compose(root, line), resolve=True) for line in lines]


def assembled(*overrides: str) -> object:
    with session() as hydra:
        return Assembly(hydra, "cell").config(overrides)


def is_plain(name: str) -> bool:
    """Whether a file holds content alone, no defaults, header or reference: Hydra does the same with all of these."""
    text = (FOLDER / f"{name}.yaml").read_text()
    return "@package" not in text and "${" not in text and "defaults" not in content(name)


def content(name: str) -> object:
    return OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))


def part_of(config: object, group: str) -> object:
    for key in group.split("/"):
        config = config[key]
    return config


def with_part(config: object, keys: list[str], part: object) -> object:
    """The configuration with this in the place of a part of it."""
    return {**config, keys[0]: with_part(config[keys[0]], keys[1:], part)} if keys else part


@pytest.mark.parametrize("group", GROUPS)
def test_every_yaml_is_assembled_as_hydra_composes_it(group):
    """Hydra composes the files with defaults and one of those without. Each other of these differs from that one by its
    content in the group's place, for that is all that Hydra does with it."""
    names = [name for name in OPTIONS if name.rpartition("/")[0] == group]
    choices = {name: name.rpartition("/")[2] for name in names}
    lines = {n: f"{group}=[{c}]" if group == "attack/recover" else f"{group}={c}" for n, c in choices.items()}
    root = "campaign" if group in OF_CAMPAIGNS else "cell"
    with session() as hydra:
        assembly = Assembly(hydra, root)
        found = {name: assembly.config([line]) for name, line in lines.items()}
    plain = [name for name in names if is_plain(name)]
    hydras_own = [name for name in names if name not in plain[1:]]
    for name, composed in zip(hydras_own, each_hydras([[lines[name]] for name in hydras_own], root), strict=True):
        assert found[name] == composed, name
    for name in plain:
        assert part_of(found[name], group) == content(name), name
        assert found[name] == with_part(found[plain[0]], group.split("/"), content(name)), name


def test_parts_together_are_what_hydra_composes():
    with session() as hydra:
        assembly = Assembly(hydra, "cell")
        found = [assembly.config(overrides) for overrides in (*TOGETHER, *TOGETHER)]
    expected = [hydras(overrides) for overrides in TOGETHER]
    assert found == [*expected, *expected]
    assert [list(f["defense"]) for f in found] == [list(e["defense"]) for e in (*expected, *expected)]


@pytest.mark.parametrize(
    "override", ["max_tokens=${seed}", "~measure", "+other=1", "defense=nonsense", "attack@budget=clean", "a b"]
)
def test_what_is_not_a_part_by_itself_is_left_to_hydra(override):
    assert assembled(override) is None


def test_a_choice_that_changes_another_part_is_left_to_hydra(elsewhere, tmp_path):
    folder = tmp_path / "elsewhere" / "configs" / "defense"
    (folder / "greedy.yaml").write_text("# @package _global_\ntask: {world: 7}\n")
    (folder / "echo.yaml").write_text("echo: {_target_: x, volume: '${seed}'}\n")
    assert assembled(elsewhere, "defense=greedy") is None
    assert assembled(elsewhere, "defense=echo", "seed=4") is None
    assert assembled(elsewhere, "defense=shout", "seed=4")["defense"]["shout"]["volume"] == 2.0
    assert compose_one([elsewhere, "defense=echo", "seed=4"]).config.defense.echo.volume == 4


def stages(stage: Stage, found: dict[str, Stage]) -> dict[str, Stage]:
    if stage.key not in found:
        found[stage.key] = stage
        for needed in stage.inputs().values():
            stages(needed, found)
    return found


SWEEPS = [
    ["defense=none,antidistillation,permuted,trace_summary", "attack=imitate,adaptive", "budget.data=2600", "seed=0,1"],
    ["api=full", "budget=small", "defense=[top_k,rounding],[rounding,top_k]", "attack=logprobs,logprobs_average"],
    ["defense=temperature", "defense.temperature.tau=1,1.5", "measure.patience=3", "teacher.recipe.steps=3,4"],
]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda s: s[0])
def test_a_cell_of_a_sweep_has_the_keys_that_it_has_alone(sweep):
    cells, interning = compose_cells(sweep), Interning()
    for cell in cells:
        with initialize_config_module("configs", version_base="1.3"):
            alone = cell_from(compose("cell", list(cell.overrides))).row_stage()
        together = cell_from(cell.plain, interning).row_stage()
        assert stages(together, {}).keys() == stages(alone, {}).keys()
        assert together.key == alone.key


def test_cells_of_a_sweep_share_parts_and_stages():
    interning = Interning()
    cells = compose_cells(
        ["defense=none,antidistillation,trace_summary", "attack=imitate,adaptive", "budget.data=2600"]
    )
    rows = [cell_from(c.plain, interning).row_stage() for c in cells]
    found: dict[str, Stage] = {}
    for row in rows:
        stages(row, found)
    objects = {id(stage) for row in rows for stage in _all(row)}
    assert len(objects) == len(found)
    assert len({id(row.honest.offer.interface) for row in rows}) == 1


def _all(stage: Stage) -> list[Stage]:
    return [stage, *(below for needed in stage.inputs().values() for below in _all(needed))]
