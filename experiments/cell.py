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
from experiments.stages.budget_check import check_budget
from experiments.stages.detect import DetectStage, detecting
from experiments.stages.distance import DistanceStage
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
from experiments.stages.serving_costs import CostStage, serving_part
from experiments.stages.settings import Measure
from experiments.stages.sold import SoldStage, sells_changed
from experiments.stages.student import StudentStage
from experiments.stages.training_set import TrainingSetStage
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Split, Task
from teacher.api.hooks import require_models, require_sold
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
        proxy = self._proxy(base)
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
            honest=self._honest(teacher, proxy, student.training_set.harvest),
            honest_clean=undefended._honest(teacher, base),
            harvest=student.training_set.harvest,
            harvest_undefended=twin.training_set.harvest,
            student=student,
            refined=after if isinstance(after, RefineStage) else None,
            evidence={role: one(self._detect(suspect, student, teacher, proxy)) for role, suspect in suspects.items()},
            costs=self._costs(teacher, proxy),
            sold=self._sold(teacher, proxy) if sells_changed(self.offer) else None,
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

    def distance_stage(self, seeds: Sequence[int]) -> DistanceStage:
        """How far what this cell's API sells of each token is from the truth.

        Raises:
            ConfigError: no probabilities are sold.
        """
        api = self.offer.interface
        require(api.top_logprobs > 0, "api.top_logprobs", api.top_logprobs, "sells no probabilities that could be off")
        found = {}
        for seed in seeds:
            own = replace(self, seed=seed)
            teacher = self.interning.one(TeacherStage(self.task, self.teacher, seed))
            base = self.interning.one(BaseStage(self.task, self.student, seed))
            found[str(seed)] = own._sold(teacher, own._proxy(base))
        return self.interning.one(DistanceStage(found))

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

    def _costs(self, teacher: TeacherStage, proxy: BaseStage) -> CostStage | None:
        """What the defenses run while the API serves; None where none acts then."""
        part = serving_part(self.offer)
        if part is None:
            return None
        own = replace(self, offer=self.interning.one(part))
        prepared, student = own._prepared(teacher, proxy), own._proxy_student(teacher, proxy)
        return self.interning.one(CostStage(teacher, proxy, prepared, own.offer, self.max_tokens, self.seed, student))

    def _sold(self, teacher: TeacherStage, proxy: BaseStage) -> SoldStage:
        """What the defenses make of sold probabilities."""
        part = serving_part(self.offer) or replace(self.offer, defenses={})
        own = replace(self, offer=self.interning.one(part))
        prepared, student = own._prepared(teacher, proxy), own._proxy_student(teacher, proxy)
        return self.interning.one(SoldStage(teacher, proxy, prepared, own.offer, self.max_tokens, self.seed, student))

    def _student(self, served: TeacherStage | BaseStage, base: BaseStage) -> StudentStage:
        proxy = self._proxy(base)
        harvest = HarvestStage(
            task=self.task,
            served=served,
            base=base,
            prepared=self._prepared(served, proxy) if isinstance(served, TeacherStage) else {},
            offer=self.offer,
            harvest=self.harvest,
            budget=self.budget,
            objective=self.objective,
            student=self.student,
            max_tokens=self.max_tokens,
            seed=self.seed,
            measure=self.measure if self.offer.across_accounts else None,
            proxy_student=self._proxy_student(served, proxy) if isinstance(served, TeacherStage) else None,
            proxy=None if proxy.key == base.key else proxy,
        )
        one = self.interning.one
        training_set = one(TrainingSetStage(one(harvest), self.recover, self.objective, self.measure, self.seed))
        return one(StudentStage(base, training_set, self.student, self.objective, self.seed))

    def _honest(
        self, teacher: TeacherStage, proxy: BaseStage, attack: HarvestStage | None = None, split: Split = "heldout"
    ) -> HonestStage:
        """Honest users, in one gateway with the attack where that makes a difference to them."""
        prepared = self._prepared(teacher, proxy)
        met = attack if self.offer.across_accounts else None
        own = None if met is not None else self._proxy_student(teacher, proxy)
        measured = (self.measure, self.max_tokens, self.seed)
        return self.interning.one(HonestStage(teacher, proxy, prepared, self.offer, *measured, met, split, own))


def label(name: str, defense: Defense) -> str:
    """Name of a defense with its strength, as tables print it."""
    field = defense.strength.field if defense.strength else ""
    return f"{name}({field}={getattr(defense, field):g})" if field else name


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
    interface = cell.offer.interface
    models: dict[str, ModelSpec] = {"teacher": cell.teacher, "student": cell.student}
    if cell.proxy is not None:
        models["proxy"] = cell.proxy
    parts: dict[str, Part] = {f"defense.{name}": defense for name, defense in cell.offer.defenses.items()}
    parts |= {f"attack.recover.{name}": step for name, step in cell.recover.items()}
    parts |= {f"attack.{part.kind}": part for part in (cell.harvest, cell.objective, cell.refine)}
    check_models([*models.items(), *named_models(parts)], cell.task, cell.max_tokens)
    require_sold(cell.offer.defenses, interface)
    require_models(cell.offer.defenses)
    if cell.objective.needs_top_logprobs and not interface.top_logprobs:
        raise ConfigError(
            "attack.objective",
            cell.facts()["objective"],
            f"needs top_logprobs, which api {interface.name!r} does not sell (try api=logprobs)",
        )
    if not (isinstance(cell.refine, Nothing) or cell.student.refinable):
        reason = f"cannot be done with a {type(cell.student).__name__}: its weights cannot be stored after it"
        raise ConfigError("attack.refine", cell.refine.name, reason)
    check_budget(cell.task, cell.harvest, cell.budget)


def _named(value: Any, field: str) -> str:
    """A name for tables."""
    require(isinstance(value, (str, int, float)) and str(value).strip() != "", field, value, "must be a name")
    return str(value)
