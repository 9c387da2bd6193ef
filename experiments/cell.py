"""A cell: one fully resolved configuration, one line of a table before averaging over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from attacks.base import Harvest, Recover, Refine
from attacks.budget import Budget
from attacks.knowledge import Knowledge
from configs.errors import require
from defenses.base import hooks_of
from experiments.compose.interning import Interning
from experiments.stages.detect import DetectStage, detecting
from experiments.stages.distance import DistanceStage
from experiments.stages.drop import DropStage
from experiments.stages.harvest import HarvestStage
from experiments.stages.honest import HonestStage
from experiments.stages.judged_texts import ReleasedTextsStage, StudentTextsStage, TextsStage
from experiments.stages.judgement import JudgementStage
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import Offer
from experiments.stages.pass_at_k import PassAtKStage
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage
from experiments.stages.refine import RefineStage
from experiments.stages.row import RowStage
from experiments.stages.scores import ScoreStage
from experiments.stages.selected_scores import SelectionStage
from experiments.stages.serving import serving_part
from experiments.stages.serving_costs import CostStage
from experiments.stages.settings import Measure
from experiments.stages.shadow import RehearsalStage, ShadowStage, known_part, shadow_seed
from experiments.stages.sold import SoldStage, sells_changed
from experiments.stages.student import StudentStage
from experiments.stages.tampering import TamperingStage
from experiments.stages.training_set import TrainingSetStage
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from student.objectives.sft import SFT
from tasks.base import Split, Task
from tasks.text_judge import TextJudge

SUSPECTS = ("student", "undefended", "self")
"""Whom defenses look into: the student; the same attack's on the undefended API, which never met what they put into answers;
and the one that never met the teacher."""


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
    refine: Mapping[str, Refine]
    budget: Budget
    measure: Measure
    max_tokens: int
    seed: int
    resolved: Mapping[str, Any]
    proxy: StudentSpec | None = None
    knowledge: Knowledge = field(default_factory=Knowledge)
    interning: Interning = field(default_factory=Interning, repr=False, compare=False)
    judges: Mapping[str, TextJudge] = field(default_factory=dict)

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
        if after is not student and self.measure.pass_items != 0:
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
            judgements=self._judgements(after, after_twin, teacher, base, serving_proxy) if self.judges else {},
        )

    def selection_stage(self) -> SelectionStage:
        """What this cell's student can do on items that its row does not score it on: by this, attacks are chosen."""
        teacher = self.interning.one(TeacherStage(self.task, self.teacher, self.seed))
        base = self.interning.one(BaseStage(self.task, self.student, self.seed))
        after = self._refined(self._student(teacher, base))
        return self.interning.one(SelectionStage(after, self.measure, self.max_tokens, self.seed))

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
        offer, found = self.interning.one(serving_part(self.offer) or replace(self.offer, defenses={})), {}
        for seed in seeds:
            own = replace(self, seed=seed, offer=offer)
            teacher = self.interning.one(TeacherStage(self.task, self.teacher, seed))
            base = self.interning.one(BaseStage(self.task, self.student, seed))
            found[str(seed)] = self.interning.one(SoldStage(*own._asking(teacher, own._proxy(base))))
        return self.interning.one(DistanceStage(found))

    def facts(self) -> dict[str, Any]:
        """What names this cell in tables: both sides, the three axes of the threat model, the seed."""
        names = list(self.offer.defenses)
        strengths = [getattr(d, d.strength.field) for d in self.offer.defenses.values() if d.strength]
        return {
            "task": self.task.label,
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
            or any(step.adaptive for steps in (self.recover, self.refine) for step in steps.values()),
            "objective": self.objective.name,
            **({"refine": "+".join(self.refine)} if self.refine else {}),
            **({} if self.knowledge == Knowledge() else {"knowledge": self.knowledge.label}),
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
        """The student after what the attacker does without the teacher, step by step; itself where that is nothing."""
        found: StudentStage | RefineStage = student
        for step in self.refine.values():
            found = self.interning.one(RefineStage(found, step, self.budget.compute, self.max_tokens, self.seed))
        return found

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
        asked = own._asking(teacher, proxy)
        found: dict[str, Any] = {
            "costs": CostStage(*asked),
            "tampering": TamperingStage(*asked, temperature=self.measure.temperature),
        }
        if sells_changed(part) and self.teacher.can_be_asked:
            found["sold"] = SoldStage(*asked)
        return {name: self.interning.one(stage) for name, stage in found.items()}

    def _judgements(
        self,
        student: StudentStage | RefineStage,
        twin: StudentStage | RefineStage,
        teacher: TeacherStage,
        base: BaseStage,
        proxy: BaseStage,
    ) -> dict[str, dict[str, JudgementStage]]:
        """What judges say, by judge and whose texts: ``released`` by the defended API, ``clean`` from the undefended one, of
        the ``student`` and of its ``undefended`` twin; the latter of each where a defense sets them apart."""
        one, measured = self.interning.one, (self.measure, self.max_tokens, self.seed)
        nothing = replace(self, offer=one(replace(self.offer, defenses={})))
        serving = replace(self, offer=one(serving_part(self.offer) or nothing.offer))
        released = one(ReleasedTextsStage(*serving._asking(teacher, proxy), measure=self.measure))
        clean = one(ReleasedTextsStage(*nothing._asking(teacher, base), measure=self.measure))
        found: dict[str, TextsStage] = {"released": released, "student": one(StudentTextsStage(student, *measured))}
        others: dict[str, TextsStage] = {"clean": clean, "undefended": one(StudentTextsStage(twin, *measured))}
        known = {stage.key for stage in found.values()}
        found |= {role: stage for role, stage in others.items() if stage.key not in known}
        return {
            name: {
                role: one(JudgementStage(name, judge, stage, clean if judge.needs_teacher else None))
                for role, stage in found.items()
            }
            for name, judge in self.judges.items()
        }

    def _asking(
        self, teacher: TeacherStage, proxy: BaseStage
    ) -> tuple[TeacherStage, BaseStage, dict[str, PrepareStage], Offer, int, int, ProxyStudentStage | None]:
        """What every `ServingStage` is given."""
        prepared, student = self._prepared(teacher, proxy), self._proxy_student(teacher, proxy)
        return teacher, proxy, prepared, self.offer, self.max_tokens, self.seed, student

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
            knowledge=self.knowledge,
            transcripts=self.measure.transcripts,
        )
        one = self.interning.one
        with_teacher = isinstance(served, TeacherStage)
        recover = {name: step for name, step in self.recover.items() if with_teacher or step.without_teacher}
        tried = self._rehearsal(one(harvest), base) if any(step.rehearses for step in recover.values()) else None
        training_set = one(TrainingSetStage(one(harvest), recover, self.objective, self.measure, self.seed, tried))
        return one(StudentStage(base, training_set, self.student, self.objective, self.seed))

    def _rehearsal(self, harvest: HarvestStage, base: BaseStage) -> RehearsalStage:
        """What the attacker tries out at home, with nothing of the provider's but what he knows."""
        one, known, seed = self.interning.one, known_part(self.offer, self.knowledge), shadow_seed(self.seed)
        home = replace(self, offer=one(known), proxy=None, seed=seed)
        if self.knowledge.shadow is None:
            plain = one(TrainingSetStage(harvest, {}, SFT(), self.measure, self.seed))
            student = one(StudentStage(base, plain, self.student, SFT(), self.seed))
            shadow: TeacherStage = one(ShadowStage(self.task, self.student, self.seed, student))
        else:
            shadow = one(TeacherStage(self.task, self.knowledge.shadow, seed))
        stage = RehearsalStage(
            *home._asking(shadow, base),
            knowledge=self.knowledge,
            budget=self.budget,
            temperature=self.harvest.temperature,
            cell_seed=self.seed,
        )
        return one(stage)

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
