"""Errors about a model that arise inside a stage name the field as the user writes it."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from attacks.refine.rft import RFT
from configs.errors import ConfigError, require
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.provider_models import ProxyStudentStage
from experiments.stages.refine import RefineStage
from experiments.stages.student import StudentStage
from student.mini import MiniStudent
from tests.experiments.stages.test_overlap import CELL


@dataclass(frozen=True)
class Fails(MiniStudent):
    """Cannot be trained or loaded."""

    name: ClassVar[str] = "fails"
    version: ClassVar[int] = 1

    bad: str = "width"

    def load(self, task, weights, seed):
        require(False, self.bad, 3, "cannot be loaded")

    def train(self, task, seed, progress):
        require(False, f"{self.bad}.of", 3, "cannot be trained")


ENTRY = SimpleNamespace(tensors=lambda name: {})


def stage_of(kind, spec):
    cell = replace(CELL, student=spec)
    row = cell.row_stage()
    base = row.student.base
    return {
        "teacher": TeacherStage(cell.task, spec, 0),
        "base": base,
        "student": row.student,
        "refine": RefineStage(row.student, RFT(), cell.budget.compute, 8, 0),
        "proxy": ProxyStudentStage(TeacherStage(cell.task, cell.teacher, 0), base, spec, 8, 0),
    }[kind]


@pytest.mark.parametrize("kind", ["teacher", "base", "student", "refine", "proxy"])
def test_loading_says_whose_field_it_is(kind):
    with pytest.raises(ConfigError, match="cannot be loaded") as error:
        model_of(stage_of(kind, Fails()), ENTRY)
    assert error.value.field == ("teacher.width" if kind == "teacher" else "student.width")
    with pytest.raises(ConfigError, match="cannot be loaded") as error:
        model_of(stage_of(kind, Fails(bad="budget.data")), ENTRY)
    assert error.value.field == "budget.data", "no field of the model"


@pytest.mark.parametrize("kind", ["teacher", "base"])
def test_training_says_whose_field_it_is(kind):
    with pytest.raises(ConfigError, match="cannot be trained") as error:
        stage_of(kind, Fails()).run(SimpleNamespace(progress=None))
    assert error.value.field == ("teacher.width.of" if kind == "teacher" else "student.width.of")


def test_every_stage_that_holds_a_model_says_which():
    stages = (TeacherStage, BaseStage, StudentStage, RefineStage, ProxyStudentStage)
    assert [stage.part for stage in stages] == ["teacher"] + ["student"] * 4
