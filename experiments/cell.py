"""A cell: one fully resolved configuration, one line of a table before averaging over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from attacks.base import Harvest, Recover
from attacks.budget import Budget, allocate
from configs.errors import ConfigError, require
from defenses.base import Defense, hooks_of
from experiments.compose import PATHS
from experiments.gateway import Offer
from experiments.measure.settings import Measure
from experiments.prompts import shares
from experiments.sharing import Sharing
from experiments.stages.harvest import HarvestStage
from experiments.stages.honest import HonestStage
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.prepare import PrepareStage
from experiments.stages.row import RowStage
from experiments.stages.scores import ScoreStage
from experiments.stages.student import StudentStage
from experiments.stages.training_set import TrainingSetStage
from lm.types import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Task
from teacher.api.gateway import require_sold
from teacher.api.interface import Interface
from teacher.api.prices import Prices


@dataclass(frozen=True)
class Cell:
    """Everything that determines one row; see configs/cell.yaml for what each part is."""

    task: Task
    teacher: ModelSpec
    student: StudentSpec
    offer: Offer
    attack: str
    harvest: Harvest
    recover: Mapping[str, Recover]
    objective: Objective
    budget: Budget
    measure: Measure
    max_tokens: int
    seed: int
    resolved: Mapping[str, Any]
    sharing: Sharing = field(default_factory=Sharing, repr=False, compare=False)

    def row_stage(self) -> RowStage:
        """The stage that gives this cell's row, with all it depends on; what other cells have too is the same object."""
        one = self.sharing.one
        teacher = one(TeacherStage(self.task, self.teacher, self.seed))
        base = one(BaseStage(self.task, self.student, self.seed))
        undefended = replace(self, offer=one(replace(self.offer, defenses={})))
        student = self._student(teacher, base)
        scores: dict[str, TeacherStage | BaseStage | StudentStage] = {
            "student": student,
            "undefended": undefended._student(teacher, base),
            "self": undefended._student(base, base),
            "base": base,
            "teacher": teacher,
        }
        return RowStage(
            cell=self.facts(),
            resolved=self.resolved,
            scores={
                role: one(ScoreStage(model, self.measure, self.max_tokens, self.seed)) for role, model in scores.items()
            },
            honest=self._honest(teacher, base),
            honest_clean=undefended._honest(teacher, base),
            harvest=student.training_set.harvest,
            student=student,
        )

    def facts(self) -> dict[str, Any]:
        """What names this cell in tables: both sides, the three axes of the threat model, the seed."""
        names = list(self.offer.defenses)
        strengths = [getattr(d, d.strength) for d in self.offer.defenses.values() if d.strength]
        return {
            "task": self.task.name,
            "teacher": self.teacher.label,
            "student": self.student.label,
            "api": self.offer.interface.name,
            "defense": " + ".join(label(n, d) for n, d in self.offer.defenses.items()) or "none",
            "defense_name": names,
            "strength": float(strengths[0]) if len(names) == 1 and strengths else None,
            "attack": self.attack,
            "harvest": type(self.harvest).__name__,
            "recover": "+".join(self.recover),
            "adaptive": self.harvest.adaptive or any(step.adaptive for step in self.recover.values()),
            "objective": type(self.objective).__name__,
            "queries": self.budget.queries,
            "data": self.budget.data,
            "accounts": self.budget.accounts,
            "hours": self.budget.hours,
            "seed": self.seed,
        }

    def _prepared(self, teacher: TeacherStage, base: BaseStage) -> dict[str, PrepareStage]:
        return {
            name: self.sharing.one(PrepareStage(teacher, base, defense, self.max_tokens, self.seed))
            for name, defense in self.offer.defenses.items()
            if "prepare" in hooks_of(defense)
        }

    def _student(self, served: TeacherStage | BaseStage, base: BaseStage) -> StudentStage:
        harvest = HarvestStage(
            task=self.task,
            served=served,
            base=base,
            prepared=self._prepared(served, base) if isinstance(served, TeacherStage) else {},
            offer=self.offer,
            harvest=self.harvest,
            budget=self.budget,
            objective=self.objective,
            student=self.student,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )
        one = self.sharing.one
        training_set = one(TrainingSetStage(one(harvest), self.recover, self.objective, self.seed))
        return one(StudentStage(base, training_set, self.student, self.objective, self.seed))

    def _honest(self, teacher: TeacherStage, base: BaseStage) -> HonestStage:
        prepared = self._prepared(teacher, base)
        honest = HonestStage(teacher, base, prepared, self.offer, self.measure, self.max_tokens, self.seed)
        return self.sharing.one(honest)


def label(name: str, defense: Defense) -> str:
    """Name of a defense with its strength, as tables print it."""
    return f"{name}({defense.strength}={getattr(defense, defense.strength):g})" if defense.strength else name


def cell_from(config: DictConfig | Mapping[str, Any], sharing: Sharing | None = None) -> Cell:
    """The cell that a resolved Hydra configuration describes.

    Args:
        config: as composed, or already in plain containers.
        sharing: of the sweep that the cell is one of.

    Raises:
        ConfigError: any field that cannot be, named; or parts that do not fit each other.
    """
    plain: dict[str, Any]
    if isinstance(config, DictConfig):
        plain = {str(k): v for k, v in cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)).items()}
    else:
        plain = dict(config)
    for name in plain:
        if name not in (*PARTS, *PATHS, "experiment"):
            raise ConfigError(name, plain[name], "is not a part of a cell", (*PARTS, *PATHS), meant=name)
    sharing = sharing or Sharing()
    part, attack = sharing.part, plain["attack"]
    offer = Offer(
        interface=part(plain["api"], Interface, "api"),
        prices=part(plain["prices"], Prices, "prices"),
        defenses={n: part(d, Defense, f"defense.{n}") for n, d in (plain["defense"] or {}).items()},
    )
    cell = Cell(
        task=part(plain["task"], Task, "task"),  # type: ignore[type-abstract]
        teacher=part(plain["teacher"], ModelSpec, "teacher"),  # type: ignore[type-abstract]
        student=part(plain["student"], StudentSpec, "student"),  # type: ignore[type-abstract]
        offer=sharing.one(offer),
        attack=str(attack["name"]),
        harvest=part(attack["harvest"], Harvest, "attack.harvest"),  # type: ignore[type-abstract]
        recover={n: part(r, Recover, f"attack.recover.{n}") for n, r in (attack.get("recover") or {}).items()},  # type: ignore[type-abstract]
        objective=part(attack["objective"], Objective, "attack.objective"),  # type: ignore[type-abstract]
        budget=part(plain["budget"], Budget, "budget"),
        measure=part(plain["measure"], Measure, "measure"),
        max_tokens=_whole(plain, "max_tokens", 1),
        seed=_whole(plain, "seed", 0),
        resolved={name: sharing.described(plain[name]) for name in PARTS},
        sharing=sharing,
    )
    check(cell)
    return cell


PARTS = (
    "task", "teacher", "student", "api", "prices", "defense", "attack", "budget", "measure", "max_tokens", "seed",
)  # fmt: skip
"""Parts of a configuration that say what a cell is."""


def check(cell: Cell) -> None:
    """Refuse parts that do not fit each other, before anything runs."""
    interface = cell.offer.interface
    cell.teacher.check(cell.task)
    cell.student.check(cell.task)
    require_sold(cell.offer.defenses, interface)
    if cell.objective.needs_top_logprobs and not interface.top_logprobs:
        raise ConfigError(
            "attack.objective",
            cell.facts()["objective"],
            f"needs top_logprobs, which api {interface.name!r} does not sell (try api=logprobs)",
        )
    _check_budget(cell)


def _check_budget(cell: Cell) -> None:
    """Refuse a budget that cannot be spent: too few prompts, too short a campaign, families that are too small."""
    budget = cell.budget
    needed = cell.harvest.prompts_needed(budget.queries)
    reason = f"needs {needed} distinct prompts under this harvest, and budget.data is {budget.data}"
    require(needed <= budget.data, "budget.queries", budget.queries, reason)
    hours = budget.queries / (60 * budget.rate * budget.accounts)
    reason = (
        f"takes {hours:.3g} hours at budget.rate = {budget.rate:g} requests a minute from each of budget.accounts = "
        f"{budget.accounts}, and budget.hours is {budget.hours:g}"
    )
    require(hours <= budget.hours, "budget.queries", budget.queries, reason)
    for family, count in allocate(budget.data, shares(cell.task, budget.mix)).items():
        size = cell.task.size("train", family)
        reason = f"takes {count} prompts of family {family!r}, which has {size}"
        require(count <= size, "budget.data", budget.data, reason)


def _whole(plain: Mapping[str, Any], field: str, least: int) -> int:
    value = plain[field]
    require(isinstance(value, int) and not isinstance(value, bool), field, value, "must be a whole number")
    require(value >= least, field, value, f"must be at least {least}")
    return int(value)
