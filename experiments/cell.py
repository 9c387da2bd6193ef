"""A cell: one fully resolved configuration, one line of a table before averaging over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf

from attacks.base import Harvest, Recover, Refine
from attacks.budget import Budget
from attacks.refine.nothing import Nothing
from configs.build import named_parts
from configs.errors import ConfigError, require
from configs.groups import chosen
from configs.identity import Part
from configs.ranges import whole_number
from defenses.base import Defense, hooks_of
from experiments.compose.asked import refuse_asked
from experiments.compose.compose import PATHS, REPORT
from experiments.compose.interning import Interning
from experiments.stages.attack_check import check_attack
from experiments.stages.defense_check import check_defenses
from experiments.stages.detect import DetectStage, detecting
from experiments.stages.drop import DropStage
from experiments.stages.harvest import HarvestStage
from experiments.stages.honest import HonestStage
from experiments.stages.model_check import check_models, named_models
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import Offer
from experiments.stages.pass_at_k import PassAtKStage
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage
from experiments.stages.refine import RefineStage
from experiments.stages.row import RowStage
from experiments.stages.scores import ScoreStage
from experiments.stages.serving import serving_part
from experiments.stages.serving_costs import CostStage
from experiments.stages.settings import Measure
from experiments.stages.student import StudentStage
from experiments.stages.tampering import TamperingStage
from experiments.stages.training_set import TrainingSetStage
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Split, Task
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
    refine: Refine
    budget: Budget
    measure: Measure
    max_tokens: int
    seed: int
    resolved: Mapping[str, Any]
    proxy: StudentSpec | None = None
    interning: Interning = field(default_factory=Interning, repr=False, compare=False)

    def row_stage(self) -> RowStage:
        """The stage that gives this cell's row, with all it depends on; what other cells have too is the same object."""
        one = self.interning.one
        teacher = one(TeacherStage(self.task, self.teacher, self.seed))
        base = one(BaseStage(self.task, self.student, self.seed))
        proxy, serving_proxy = self._proxy(base), self._serving._proxy(base)
        undefended = replace(self, offer=one(replace(self.offer, defenses={})))
        student, twin = self._student(teacher, base), undefended._student(teacher, base)
        after, after_twin = self._refined(student), self._refined(twin)
        own = self._refined(undefended._student(base, base))
        scores: dict[str, TeacherStage | BaseStage | StudentStage | RefineStage] = {
            "student": after,
            "undefended": after_twin,
            "self": own,
            "base": base,
            "teacher": teacher,
        }
        sampled: dict[str, BaseStage | StudentStage | RefineStage] = {}
        if after is not student:
            scores |= {"distilled": student, "distilled_undefended": twin}
            sampled = {
                "student": after,
                "undefended": after_twin,
                "distilled": student,
                "distilled_undefended": twin,
                "self": own,
                "base": base,
            }
        suspects = dict(zip(SUSPECTS, (after, after_twin, own), strict=True)) if detecting(self.offer.defenses) else {}
        return RowStage(
            cell=self.facts(),
            resolved=self.resolved,
            scores={
                role: one(ScoreStage(model, self.measure, self.max_tokens, self.seed)) for role, model in scores.items()
            },
            honest=self._honest(teacher, serving_proxy, student.training_set.harvest),
            honest_clean=undefended._honest(teacher, base),
            harvest=student.training_set.harvest,
            harvest_undefended=twin.training_set.harvest,
            student=student,
            refined=after if isinstance(after, RefineStage) else None,
            evidence={role: one(self._detect(suspect, student, teacher, proxy)) for role, suspect in suspects.items()},
            **self._looked_at(teacher, serving_proxy),
            passes={
                role: one(PassAtKStage(model, self.measure, self.max_tokens, self.seed))
                for role, model in sampled.items()
            },
        )

    def drop_stage(self, seeds: Sequence[int]) -> DropStage:
        """What this cell's defenses cost honest users who have the API to themselves, on the provider's own items."""
        defended, clean = {}, {}
        for seed in seeds:
            own = replace(self, seed=seed)
            undefended = replace(own, offer=self.interning.one(replace(self.offer, defenses={})))
            teacher = self.interning.one(TeacherStage(self.task, self.teacher, seed))
            base = self.interning.one(BaseStage(self.task, self.student, seed))
            defended[str(seed)] = own._honest(teacher, own._proxy(base), split="provider")
            clean[str(seed)] = undefended._honest(teacher, base, split="provider")
        return self.interning.one(DropStage(defended, clean))

    def facts(self) -> dict[str, Any]:
        """What names this cell in tables: both sides, the three axes of the threat model, the seed."""
        names = list(self.offer.defenses)
        strengths = [getattr(d, d.strength.field) for d in self.offer.defenses.values() if d.strength]
        return {
            "task": self.task.name,
            "teacher": self.teacher.label,
            "student": self.student.label,
            "api": self.offer.interface.name,
            "defense": self.offer.label,
            "defense_name": names,
            "strength": float(strengths[0]) if len(names) == 1 and strengths and isfinite(strengths[0]) else None,
            "attack": self.attack,
            "harvest": self.harvest.name,
            "recover": "+".join(self.recover),
            "adaptive": self.harvest.adaptive
            or self.refine.adaptive
            or any(step.adaptive for step in self.recover.values()),
            "objective": self.objective.name,
            **({} if isinstance(self.refine, Nothing) else {"refine": self.refine.name}),
            "queries": self.budget.queries,
            "data": self.budget.data,
            "accounts": self.budget.accounts,
            "hours": self.budget.hours,
            "seed": self.seed,
        }

    @property
    def _serving(self) -> Cell:
        """The same cell without the defenses that only look into students: what these use is in no answer's key."""
        serving = self.offer.serving
        return self if serving is self.offer else replace(self, offer=self.interning.one(serving))

    def _proxy(self, base: BaseStage) -> BaseStage:
        """The base model that the provider takes students to start from: the attacker's unless another is configured, and
        a defense may run it."""
        if self.proxy is None or not any(d.uses or d.trains for d in self.offer.defenses.values()):
            return base
        return self.interning.one(BaseStage(self.task, self.proxy, self.seed))

    def _prepared(self, teacher: TeacherStage, proxy: BaseStage) -> dict[str, PrepareStage]:
        found = {}
        for name, defense in self.offer.defenses.items():
            hooks = hooks_of(defense)
            if "prepare" in hooks:
                own = self._proxy_student(teacher, proxy) if "student" in defense.uses else None
                models = self.interning.one(ProviderModels(proxy, own))
                past = self.measure.population if "admit" in hooks else None
                trained = (self.proxy or self.student) if defense.trains else None
                stage = PrepareStage(teacher, models, defense, self.max_tokens, self.seed, past, trained)
                found[name] = self.interning.one(stage)
        return found

    def _proxy_student(self, teacher: TeacherStage, proxy: BaseStage) -> ProxyStudentStage | None:
        """The provider's own student, where a defense of the stack uses one."""
        if not any("student" in defense.uses for defense in self.offer.defenses.values()):
            return None
        spec = self.proxy or self.student
        return self.interning.one(ProxyStudentStage(teacher, proxy, spec, self.max_tokens, self.seed))

    def _refined(self, student: StudentStage) -> StudentStage | RefineStage:
        """The student after what the attacker does without the teacher; itself where that is nothing."""
        if isinstance(self.refine, Nothing):
            return student
        stage = RefineStage(student, self.refine, self.budget.compute, self.max_tokens, self.seed)
        return self.interning.one(stage)

    def _detect(
        self, suspect: StudentStage | RefineStage, defended: StudentStage, teacher: TeacherStage, proxy: BaseStage
    ) -> DetectStage:
        models = self.interning.one(ProviderModels(proxy, self._proxy_student(teacher, proxy)))
        defenses, prepared = detecting(self.offer.defenses), self._prepared(teacher, proxy)
        harvest = defended.training_set.harvest
        return DetectStage(suspect, teacher, models, prepared, defenses, harvest, self.seed)

    def _looked_at(self, teacher: TeacherStage, proxy: BaseStage) -> dict[str, Any]:
        """What the defenses run while the API serves, and whether it shows; none where no defense acts then."""
        part = serving_part(self.offer)
        if part is None:
            return {}
        own = replace(self, offer=self.interning.one(part))
        prepared, student = own._prepared(teacher, proxy), own._proxy_student(teacher, proxy)
        asked = (teacher, proxy, prepared, own.offer, self.max_tokens, self.seed, student)
        costs, tampering = CostStage(*asked), TamperingStage(*asked, self.measure.temperature)
        return {"costs": self.interning.one(costs), "tampering": self.interning.one(tampering)}

    def _student(self, served: TeacherStage | BaseStage, base: BaseStage) -> StudentStage:
        serving = self._serving
        proxy = serving._proxy(base)
        harvest = HarvestStage(
            task=self.task,
            served=served,
            base=base,
            prepared=serving._prepared(served, proxy) if isinstance(served, TeacherStage) else {},
            offer=serving.offer,
            harvest=self.harvest,
            budget=self.budget,
            objective=self.objective,
            student=self.student,
            max_tokens=self.max_tokens,
            seed=self.seed,
            measure=self.measure if self.offer.across_accounts else None,
            proxy_student=serving._proxy_student(served, proxy) if isinstance(served, TeacherStage) else None,
            proxy=None if proxy.key == base.key else proxy,
        )
        one = self.interning.one
        with_teacher = isinstance(served, TeacherStage)
        recover = {name: step for name, step in self.recover.items() if with_teacher or step.without_teacher}
        training_set = one(TrainingSetStage(one(harvest), recover, self.objective, self.measure, self.seed))
        return one(StudentStage(base, training_set, self.student, self.objective, self.seed))

    def _honest(
        self, teacher: TeacherStage, proxy: BaseStage, attack: HarvestStage | None = None, split: Split = "heldout"
    ) -> HonestStage:
        """Honest users, in one gateway with the attack where that makes a difference to them."""
        serving = self._serving
        prepared = serving._prepared(teacher, proxy)
        met = attack if self.offer.across_accounts else None
        own = None if met is not None else serving._proxy_student(teacher, proxy)
        measured = (self.measure, self.max_tokens, self.seed)
        return self.interning.one(HonestStage(teacher, proxy, prepared, serving.offer, *measured, met, split, own))


def cell_from(config: DictConfig | Mapping[str, Any], interning: Interning | None = None) -> Cell:
    """The cell that a resolved Hydra configuration describes.

    Args:
        config: as composed, or already in plain containers.
        interning: of the sweep that the cell is one of.

    Raises:
        ConfigError: any field that cannot be, named; or parts that do not fit each other.
    """
    plain: dict[str, Any]
    if isinstance(config, DictConfig):
        plain = {str(k): v for k, v in cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)).items()}
    else:
        plain = dict(config)
    for name in plain:
        if name not in (*PARTS, *PATHS, REPORT, "experiment"):
            raise ConfigError(name, plain[name], "is not a part of a cell", (*PARTS, *PATHS), meant=name)
    interning, attack = interning or Interning(), chosen(plain, "attack")
    for name in attack:
        if name not in ATTACK:
            raise ConfigError(f"attack.{name}", attack[name], "is not a part of an attack", ATTACK, meant=name)
    plain["defense"] = named_parts(plain.get("defense"), "defense")
    refuse_asked(plain)

    def part(base: type[T], group: str) -> T:
        return interning.part(chosen(attack if "/" in group else plain, group), base, group.replace("/", "."))

    offer = Offer(
        interface=part(Interface, "api"),
        prices=part(Prices, "prices"),
        defenses={n: interning.part(d, Defense, f"defense.{n}") for n, d in plain["defense"].items()},
    )
    steps = named_parts(attack.get("recover"), "attack.recover")
    cell = Cell(
        task=part(Task, "task"),  # type: ignore[type-abstract]
        teacher=part(ModelSpec, "teacher"),  # type: ignore[type-abstract]
        student=part(StudentSpec, "student"),  # type: ignore[type-abstract]
        offer=interning.one(offer),
        attack=_named(attack.get("name"), "attack.name"),
        harvest=part(Harvest, "attack/harvest"),  # type: ignore[type-abstract]
        recover={n: interning.part(r, Recover, f"attack.recover.{n}") for n, r in steps.items()},  # type: ignore[type-abstract]
        objective=part(Objective, "attack/objective"),  # type: ignore[type-abstract]
        refine=part(Refine, "attack/refine") if attack.get("refine") is not None else Nothing(),  # type: ignore[type-abstract]
        budget=part(Budget, "budget"),
        measure=part(Measure, "measure"),
        max_tokens=whole_number(plain.get("max_tokens"), "max_tokens", 1, LONGEST_RESPONSE),
        seed=whole_number(plain.get("seed"), "seed", 0),
        resolved={name: interning.described(plain[name]) for name in PARTS if name != "proxy" or plain.get("proxy")},
        proxy=part(StudentSpec, "proxy") if plain.get("proxy") else None,  # type: ignore[type-abstract]
        interning=interning,
    )
    check(cell)
    return cell


PARTS = (
    "task", "teacher", "student", "proxy", "api", "prices", "defense", "attack", "budget", "measure", "max_tokens", "seed",
)  # fmt: skip
"""Parts of a configuration that say what a cell is."""
SUSPECTS = ("student", "undefended", "self")
"""Whom defenses look into: the student; the same attack's on the undefended API, which never met what they put into answers;
and the one that never met the teacher."""
ATTACK = ("name", "harvest", "recover", "objective", "refine")
"""Parts of an attack."""
LONGEST_RESPONSE = 1_000_000
"""Tokens: more than any model generates in one answer."""


def check(cell: Cell) -> None:
    """Refuse parts that do not fit each other, before anything runs."""
    models: dict[str, ModelSpec] = {"teacher": cell.teacher, "student": cell.student}
    if cell.proxy is not None:
        models["proxy"] = cell.proxy
    interface, attack = cell.offer.interface, (cell.harvest, cell.objective, cell.refine)
    parts: dict[str, Part] = {f"defense.{name}": defense for name, defense in cell.offer.defenses.items()}
    parts |= {f"attack.recover.{name}": step for name, step in cell.recover.items()}
    parts |= {f"attack.{part.kind}": part for part in attack}
    check_models([*models.items(), *named_models(parts)], cell.task, cell.max_tokens)
    check_defenses(cell.offer.defenses, interface)
    check_attack(*attack, cell.budget, cell.student, interface, cell.task)


def _named(value: Any, field: str) -> str:
    """A name for tables."""
    require(isinstance(value, (str, int, float)) and str(value).strip() != "", field, value, "must be a name")
    return str(value)
