"""Every YAML of every group composes into a cell whose whole stage graph has keys, or into a campaign; nothing is run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import configs
from attacks.base import Recover
from configs.build import build
from defenses.base import Defense
from experiments.calibration.calibration import calibration_of
from experiments.campaign.campaign_stage import CampaignStage
from experiments.campaign.from_config import stage_from
from experiments.cell_from import cell_from
from experiments.cli.roots import CAMPAIGN, ROOTS, parts_of_one_root
from experiments.compose.asked import asked_of, with_value
from experiments.compose.compose import compose_cells, compose_one
from experiments.compose.interning import Interning
from experiments.compose.table_files import table_specs
from experiments.stages.row import RowStage
from experiments.store.stage import Stage
from tests.lm import tiny
from tests.teacher.stored import rows as transcripts
from tests.teacher.stored import written

FOLDER = Path(configs.__file__).parent
YAMLS = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))
EXPERIMENTS = [name for name in YAMLS if name.startswith("experiment/")]
OF_CAMPAIGNS = [n for n in EXPERIMENTS if OmegaConf.load(FOLDER / f"{n}.yaml").get("of") == CAMPAIGN]
PUBLISHED = "experiment/published/"
"""Experiments on what is on the hub, which `tests.experiments.test_published` plans with stand-ins."""
OF_CELLS = [name for name in EXPERIMENTS if name not in OF_CAMPAIGNS and not name.startswith(PUBLISHED)]
OPERATION = "operation"
"""A group whose choices are put into a campaign under a name."""
CLAIMS = [name for name in YAMLS if name.startswith("claim/")]
TABLES = [name for name in YAMLS if name.startswith("table/")]
CHOICES = [name for name in YAMLS if name not in (*ROOTS, *EXPERIMENTS, *CLAIMS, *TABLES)]


def in_campaigns_only(name: str) -> bool:
    group = name.partition("/")[0]
    return group == OPERATION or parts_of_one_root().get(group) == CAMPAIGN


IN_CAMPAIGNS = [name for name in CHOICES if in_campaigns_only(name)]
OPTIONS = [name for name in CHOICES if name not in IN_CAMPAIGNS]


def surroundings(name: str) -> list[str]:
    """The other choices that an option needs to fit into a cell."""
    group, _, option = name.rpartition("/")
    if group in ("teacher", "student", "proxy") and option.startswith(("hf", "smollm2")):
        return ["task=reasoning_gym", "teacher=hf", "student=hf", "budget=lm"]
    if option == "transcripts":
        return ["teacher=transcripts", "task=transcripts", "student=hf", "budget=lm", "max_tokens=96"]
    if group == "task" and option != "mini":
        return ["teacher=hf", "student=hf", "budget=lm"]
    if name == "budget/lm":
        return ["task=reasoning_gym", "teacher=hf", "student=hf"]
    return ["api=logprobs"] if needs_logprobs(name) else []


def needs_logprobs(name: str) -> bool:
    group, _, option = name.rpartition("/")
    if group == "defense" and option != "none":
        return any("top_logprobs" in defense.needs for defense in stack(option))
    if group in ("attack", "attack/objective"):
        chosen = compose_one([f"{group}={option}", "api=full"])
        return cell_from(chosen.config).objective.needs_top_logprobs
    return False


def walk(stage: Stage, found: dict[str, Stage]) -> dict[str, Stage]:
    if stage.key not in found:
        found[stage.key] = stage
        for needed in stage.inputs().values():
            walk(needed, found)
    return found


def chosen(name: str) -> str:
    group, _, option = name.rpartition("/")
    beside = asked_beside(option) if group == "defense" else []
    return (
        f"{group}=[{','.join([*beside, option])}]"
        if beside or group in ("attack/recover", "attack/refine")
        else f"{group}={option}"
    )


def known(name: str) -> list[str]:
    """What the attacker has to know besides, for a step that tries it out."""
    group, _, option = name.rpartition("/")
    if group != "attack/recover":
        return []
    node = OmegaConf.to_container(OmegaConf.load(Path(configs.__file__).parent / f"{name}.yaml"))[option]
    return ["attack/knowledge=method"] if build(node, Recover, option).rehearses else []


def asked_beside(option: str) -> list[str]:
    """The defenses that have to stand beside one."""
    return [other for defense in stack(option) for other in defense.beside()]


@cache
def stack(option: str) -> list[Defense]:
    """The defenses of a choice."""
    nodes = compose_one([f"defense={option}", "api=full"]).config.defense or {}
    return [build(node, Defense, option) for node in nodes.values()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """By choice, a dataset on this disk: those that the YAML files name need a connection."""
    path = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = Path(__file__).parents[1] / "tasks" / "data"
    places = {
        "gsm8k": held / "gsm8k",
        "math500": held / "math500.jsonl",
        "mbpp": held / "mbpp",
        "multiple_choice": held / "arc",
    }
    few = ["task.config=", "budget.data=2", "budget.queries=2"]
    found = {f"task/{choice}": [f"task.path={place}", *few] for choice, place in places.items()}
    stored = written(path.with_name("stored.jsonl"), transcripts())
    model = tiny.save(tmp_path_factory.mktemp("model"))
    for group in ("task", "teacher"):
        found[f"{group}/transcripts"] = [f"teacher.path={stored}", f"student.path={model}", *few[1:]]
    return {**found, "task/dataset": [f"task.path={path}", "task.heldout_split=", "task.answer_after=", *few]}


def rated(folder: Path) -> list[str]:
    """A file of ratings, as yet without any."""
    (folder / "ratings.jsonl").touch()
    return [f"judge.imported.path={folder / 'ratings.jsonl'}"]


@pytest.mark.parametrize("name", OPTIONS)
def test_option_becomes_a_cell(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.code_problems.check_isolation", lambda *limits: None)  # none on this machine, perhaps
    if name.startswith("task/") or "hf" in name or "smollm2" in name or name.endswith("/lm"):
        pytest.importorskip("reasoning_gym")
    others = [o for o in surroundings(name) if o.partition("=")[0] != name.rpartition("/")[0]]
    files = rated(tmp_path) if name == "judge/imported" else data.get(name, [])
    cell = cell_from(compose_one([chosen(name), *others, *known(name), *files]).config)
    row = cell.row_stage()
    assert isinstance(row, RowStage)
    stages = walk(row, {})
    assert all(len(key) == 32 for key in stages)
    assert {"teacher", "base", "harvest", "training_set", "student", "scores", "honest", "row"} <= {
        stage.name for stage in stages.values()
    }


@pytest.mark.parametrize("name", [*OF_CELLS, *CLAIMS])
def test_a_file_of_grids_becomes_cells(name):
    group, _, choice = name.partition("/")
    cells, interning = compose_cells([f"+{group}={choice}"]), Interning()
    assert cells
    keys = {cell_from(stated(cell.plain, interning), interning).row_stage().key for cell in cells}
    assert len(keys) == len(cells)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_a_paper_is_read(name):
    choice = name.partition("/")[2]
    assert list(table_specs([f"+table={choice}"])) == [choice]


def stated(plain, interning):
    """The configuration with a number in the place of what is to be calibrated, another for each target."""
    asked = asked_of(plain)
    if asked is None:
        return plain
    strength = calibration_of(plain, asked, interning=interning).strength
    return with_value(plain, asked.defense, asked.field, strength.at(asked.target))


def test_every_group_of_a_cell_has_options():
    groups = {name.rpartition("/")[0] for name in OPTIONS}
    defaults = compose_one([]).config
    assert {g for g in groups if "/" not in g} <= set(defaults)


def test_every_group_of_a_campaign_has_options():
    groups = {name.rpartition("/")[0] for name in IN_CAMPAIGNS}
    assert groups == {"campaign", OPERATION, "population", "market", "policy", "link"}
    assert groups - {OPERATION} <= set(compose_one([], CAMPAIGN).config)


def of_campaign(*overrides: str) -> CampaignStage:
    (composed,) = compose_cells(overrides, CAMPAIGN)
    return stage_from(composed.plain)


@pytest.mark.parametrize("name", IN_CAMPAIGNS)
def test_option_becomes_a_campaign(name):
    group, _, option = name.rpartition("/")
    if group == OPERATION:
        stage = of_campaign(f"+{OPERATION}@campaign.operations.another={option}")
        assert list(stage.campaign.operations) == ["hydra", "another"]
    else:
        stage = of_campaign(f"{group}={option}")
    assert len(stage.key) == 32


@pytest.mark.parametrize("name", [n for n in IN_CAMPAIGNS if n.startswith("campaign/")])
def test_a_campaign_is_called_as_its_file(name):
    stage = of_campaign(f"campaign={name.partition('/')[2]}")
    assert stage.campaign.name == name.partition("/")[2]
    assert stage.campaign.operations


@pytest.mark.parametrize("name", [n for n in IN_CAMPAIGNS if n.startswith("policy/")])
def test_a_policy_is_called_as_its_file(name):
    assert of_campaign(f"policy={name.partition('/')[2]}").campaign.policy.name == name.partition("/")[2]


@pytest.mark.parametrize("name", OF_CAMPAIGNS)
def test_experiment_becomes_campaigns(name):
    campaigns = compose_cells([f"+experiment={name.removeprefix('experiment/')}"], CAMPAIGN)
    assert campaigns
    keys = {stage_from(one.plain).key for one in campaigns}
    assert len(keys) == len(campaigns)
