"""A cell: one fully resolved configuration, one line of a table before averaging over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf

from attacks.base import Harvest, Recover
from attacks.budget import Budget, allocate
from configs.build import named_parts
from configs.errors import ConfigError, require
from configs.groups import chosen
from configs.ranges import whole_number
from defenses.base import Defense, hooks_of
from experiments.calibration.asked import refuse_asked
from experiments.compose import PATHS
from experiments.gateway import Offer
from experiments.measure.settings import Measure
from experiments.prompts import shares
from experiments.sharing import Sharing
from experiments.stages.drop import DropStage
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
from tasks.base import Split, Task
from teacher.api.gateway import require_sold
from teacher.api.interface import Interface
from teacher.api.prices import Prices

T = TypeVar("T")


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
        student, twin = self._student(teacher, base), undefended._student(teacher, base)
        scores: dict[str, TeacherStage | BaseStage | StudentStage] = {
            "student": student,
            "undefended": twin,
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
            honest=self._honest(teacher, base, student.training_set.harvest),
            honest_clean=undefended._honest(teacher, base),
            harvest=student.training_set.harvest,
            harvest_undefended=twin.training_set.harvest,
            student=student,
        )

    def drop_stage(self, seeds: Sequence[int]) -> DropStage:
        """What this cell's defenses cost honest users who have the API to themselves, on the provider's own items."""
        defended, clean = {}, {}
        for seed in seeds:
            own = replace(self, seed=seed)
            undefended = replace(own, offer=self.sharing.one(replace(self.offer, defenses={})))
            teacher = self.sharing.one(TeacherStage(self.task, self.teacher, seed))
            base = self.sharing.one(BaseStage(self.task, self.student, seed))
            defended[str(seed)] = own._honest(teacher, base, split="provider")
            clean[str(seed)] = undefended._honest(teacher, base, split="provider")
        return self.sharing.one(DropStage(defended, clean))

    def facts(self) -> dict[str, Any]:
        """What names this cell in tables: both sides, the three axes of the threat model, the seed."""
        names = list(self.offer.defenses)
        strengths = [getattr(d, d.strength.field) for d in self.offer.defenses.values() if d.strength]
        return {
            "task": self.task.name,
            "teacher": self.teacher.label,
            "student": self.student.label,
            "api": self.offer.interface.name,
            "defense": " + ".join(label(n, d) for n, d in self.offer.defenses.items()) or "none",
            "defense_name": names,
            "strength": float(strengths[0]) if len(names) == 1 and strengths and isfinite(strengths[0]) else None,
            "attack": self.attack,
            "harvest": self.harvest.name,
            "recover": "+".join(self.recover),
            "adaptive": self.harvest.adaptive or any(step.adaptive for step in self.recover.values()),
            "objective": self.objective.name,
            "queries": self.budget.queries,
            "data": self.budget.data,
            "accounts": self.budget.accounts,
            "hours": self.budget.hours,
            "seed": self.seed,
        }

    def _prepared(self, teacher: TeacherStage, base: BaseStage) -> dict[str, PrepareStage]:
        judges = {n: "admit" in hooks_of(d) for n, d in self.offer.defenses.items() if "prepare" in hooks_of(d)}
        past = {name: self.measure.population if judging else None for name, judging in judges.items()}
        return {
            name: self.sharing.one(
                PrepareStage(teacher, base, self.offer.defenses[name], self.max_tokens, self.seed, population)
            )
            for name, population in past.items()
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
            measure=self.measure if self.offer.across_accounts else None,
        )
        one = self.sharing.one
        training_set = one(TrainingSetStage(one(harvest), self.recover, self.objective, self.seed))
        return one(StudentStage(base, training_set, self.student, self.objective, self.seed))

    def _honest(
        self, teacher: TeacherStage, base: BaseStage, attack: HarvestStage | None = None, split: Split = "heldout"
    ) -> HonestStage:
        """Honest users, in one gateway with the attack where that makes a difference to them."""
        prepared = self._prepared(teacher, base)
        met = attack if self.offer.across_accounts else None
        honest = HonestStage(teacher, base, prepared, self.offer, self.measure, self.max_tokens, self.seed, met, split)
        return self.sharing.one(honest)


def label(name: str, defense: Defense) -> str:
    """Name of a defense with its strength, as tables print it."""
    field = defense.strength.field if defense.strength else ""
    return f"{name}({field}={getattr(defense, field):g})" if field else name


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
    sharing, attack = sharing or Sharing(), chosen(plain, "attack")
    for name in attack:
        if name not in ATTACK:
            raise ConfigError(f"attack.{name}", attack[name], "is not a part of an attack", ATTACK, meant=name)
    plain["defense"] = named_parts(plain.get("defense"), "defense")
    refuse_asked(plain)

    def part(base: type[T], group: str) -> T:
        return sharing.part(chosen(attack if "/" in group else plain, group), base, group.replace("/", "."))

    offer = Offer(
        interface=part(Interface, "api"),
        prices=part(Prices, "prices"),
        defenses={n: sharing.part(d, Defense, f"defense.{n}") for n, d in plain["defense"].items()},
    )
    steps = named_parts(attack.get("recover"), "attack.recover")
    cell = Cell(
        task=part(Task, "task"),  # type: ignore[type-abstract]
        teacher=part(ModelSpec, "teacher"),  # type: ignore[type-abstract]
        student=part(StudentSpec, "student"),  # type: ignore[type-abstract]
        offer=sharing.one(offer),
        attack=_named(attack.get("name"), "attack.name"),
        harvest=part(Harvest, "attack/harvest"),  # type: ignore[type-abstract]
        recover={n: sharing.part(r, Recover, f"attack.recover.{n}") for n, r in steps.items()},  # type: ignore[type-abstract]
        objective=part(Objective, "attack/objective"),  # type: ignore[type-abstract]
        budget=part(Budget, "budget"),
        measure=part(Measure, "measure"),
        max_tokens=whole_number(plain.get("max_tokens"), "max_tokens", 1, LONGEST_RESPONSE),
        seed=whole_number(plain.get("seed"), "seed", 0),
        resolved={name: sharing.described(plain[name]) for name in PARTS},
        sharing=sharing,
    )
    check(cell)
    return cell


PARTS = (
    "task", "teacher", "student", "api", "prices", "defense", "attack", "budget", "measure", "max_tokens", "seed",
)  # fmt: skip
"""Parts of a configuration that say what a cell is."""
ATTACK = ("name", "harvest", "recover", "objective")
"""Parts of an attack."""
LONGEST_RESPONSE = 1_000_000
"""Tokens: more than any model generates in one answer."""


def check(cell: Cell) -> None:
    """Refuse parts that do not fit each other, before anything runs."""
    interface = cell.offer.interface
    _check_model(cell, cell.teacher, "teacher")
    _check_model(cell, cell.student, "student")
    require_sold(cell.offer.defenses, interface)
    if cell.objective.needs_top_logprobs and not interface.top_logprobs:
        raise ConfigError(
            "attack.objective",
            cell.facts()["objective"],
            f"needs top_logprobs, which api {interface.name!r} does not sell (try api=logprobs)",
        )
    _check_budget(cell)


def _check_model(cell: Cell, model: ModelSpec, part: str) -> None:
    """Let a model refuse what it cannot do. Teacher and student have fields of the same names: say whose field it is."""
    try:
        model.check(cell.task, cell.max_tokens)
    except ConfigError as error:
        if error.field.partition(".")[0] in {own.name for own in fields(model)}:  # type: ignore[arg-type]
            raise error.within(part) from error
        raise


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


def _named(value: Any, field: str) -> str:
    """A name for tables."""
    require(isinstance(value, (str, int, float)) and str(value).strip() != "", field, value, "must be a name")
    return str(value)
