"""Models that can neither be found nor had are refused before anything runs; too little GPU memory too."""

from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.compose.compose import compose_one
from experiments.engine import memory
from experiments.engine.at_hand import planned_models
from experiments.engine.graph import StageGraph, Wanted, plan
from experiments.engine.memory import Memory, needed, require_memory
from experiments.store.store import Store
from tests.lm import tiny

WORDS = ["student.recipe.training=full", "budget=lm", "measure.heldout=4", "measure.harder=0", "max_tokens=16"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "model")


def graph(tmp_path: Path, *words: str) -> StageGraph:
    cell = cell_from(compose_one(["teacher=hf", "student=hf", *WORDS, *words]).config)
    return plan([Wanted(cell.row_stage(), "test")], Store(tmp_path / "store"))


@pytest.mark.parametrize("part", ["teacher", "student"])
def test_a_model_that_cannot_be_had(
    folder: Path, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    paths = {"teacher": folder, "student": folder} | {part: "nobody/has-this"}
    given = ["teacher=hf", "student=hf", *WORDS, *(f"{name}.path={path}" for name, path in paths.items())]
    capsys.readouterr()
    assert main(["sweep", *given, "--dry-run"]) == 0, "a plan can be looked at"
    capsys.readouterr()
    assert main(["run", *given, "--workers", "0"]) == 2
    shown = capsys.readouterr().err
    assert f"moatbench: {part}.path = 'nobody/has-this': is not in the local cache" in shown
    assert "hf download nobody/has-this" in shown
    assert not list((tmp_path / "results" / "store").rglob("manifest.json"))


def test_each_model_of_a_plan_is_looked_at_once(folder: Path, tmp_path: Path) -> None:
    found = list(planned_models(graph(tmp_path, f"teacher.path={folder}", f"student.path={folder}")))
    assert {part for part, _ in found} >= {"teacher", "student"}
    assert len({id(model) for _, model in found}) == len(found)


def test_a_model_that_its_gpus_cannot_hold(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm.huggingface.Pretrained.torch_device", lambda self: torch.device("cuda"))
    monkeypatch.setattr("lm.placement.needs", lambda *given: None)
    paths = f"teacher.path={folder}", f"student.path={folder}"
    one = graph(tmp_path, *paths)
    spread = graph(tmp_path, *paths, "teacher.device=gpus")
    gpu = needed(one, 1).gpu
    assert needed(spread, 1).gpu + needed(spread, 1).gpus == gpu > needed(spread, 1).gpus > 0

    def free(gpu: int, gpus: int) -> None:
        monkeypatch.setattr(memory, "available", lambda: Memory(-1, gpu, "", gpus))

    free(gpu, gpu)
    require_memory(one, 1)
    require_memory(spread, 1)
    free(gpu - 1, 8 * gpu)
    with pytest.raises(ConfigError, match=r"of GPU memory, most of it for the teacher.*device=gpus"):
        require_memory(one, 1)
    require_memory(spread, 1)
    free(gpu - 1, gpu - 1)
    with pytest.raises(ConfigError, match=r"memory of all GPUs.*more GPUs"):
        require_memory(spread, 1)
