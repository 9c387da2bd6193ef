"""From a resolved configuration to a cell: every part is built, and refused where it does not fit the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf

from attacks.base import Harvest, Recover, Refine
from attacks.budget import Budget
from attacks.knowledge import Knowledge
from configs.build import named_parts
from configs.errors import ConfigError, require
from configs.groups import chosen
from configs.identity import Part
from configs.ranges import whole_number
from defenses.base import Defense
from experiments.cell import Cell
from experiments.compose.asked import refuse_asked
from experiments.compose.compose import PATHS, REPORT
from experiments.compose.interning import Interning
from experiments.stages.attack_check import check_attack, check_knowledge
from experiments.stages.defense_check import check_defenses, check_engine
from experiments.stages.model_check import check_judges, check_models, named_models
from experiments.stages.offer import Offer
from experiments.stages.settings import Measure
from experiments.stages.stored_check import check_stored
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Task
from tasks.text_judge import TextJudge
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.transcripts import Transcripts

T = TypeVar("T")


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
    plain["judge"] = named_parts(plain.get("judge"), "judge")
    refuse_asked(plain)

    def part(base: type[T], group: str) -> T:
        return interning.part(chosen(attack if "/" in group else plain, group), base, group.replace("/", "."))

    offer = Offer(
        interface=part(Interface, "api"),
        prices=part(Prices, "prices"),
        defenses={n: interning.part(d, Defense, f"defense.{n}") for n, d in plain["defense"].items()},
    )
    steps, afterwards = (named_parts(attack.get(kind), f"attack.{kind}") for kind in ("recover", "refine"))
    cell = Cell(
        task=part(Task, "task"),  # type: ignore[type-abstract]
        teacher=part(ModelSpec, "teacher"),  # type: ignore[type-abstract]
        student=part(StudentSpec, "student"),  # type: ignore[type-abstract]
        offer=interning.one(offer),
        attack=_named(attack.get("name"), "attack.name"),
        harvest=part(Harvest, "attack/harvest"),  # type: ignore[type-abstract]
        recover={n: interning.part(r, Recover, f"attack.recover.{n}") for n, r in steps.items()},  # type: ignore[type-abstract]
        objective=part(Objective, "attack/objective"),  # type: ignore[type-abstract]
        refine={n: interning.part(r, Refine, f"attack.refine.{n}") for n, r in afterwards.items()},  # type: ignore[type-abstract]
        knowledge=part(Knowledge, "attack/knowledge") if attack.get("knowledge") is not None else Knowledge(),
        budget=part(Budget, "budget"),
        measure=part(Measure, "measure"),
        max_tokens=whole_number(plain.get("max_tokens"), "max_tokens", 1, LONGEST_RESPONSE),
        seed=whole_number(plain.get("seed"), "seed", 0),
        resolved={name: interning.described(plain[name]) for name in PARTS if name not in LATER or plain.get(name)},
        proxy=part(StudentSpec, "proxy") if plain.get("proxy") else None,  # type: ignore[type-abstract]
        interning=interning,
        judges={n: interning.part(j, TextJudge, f"judge.{n}") for n, j in plain["judge"].items()},  # type: ignore[type-abstract]
    )
    check(cell)
    return cell


PARTS = (
    "task", "teacher", "student", "proxy", "api", "prices", "defense", "attack", "budget", "measure", "judge", "max_tokens",
    "seed",
)  # fmt: skip
"""Parts of a configuration that say what a cell is."""
LATER = ("proxy", "judge")
"""Those that came after results had been stored, and say nothing where they are empty."""
ATTACK = ("name", "harvest", "recover", "objective", "refine", "knowledge")
"""Parts of an attack."""
LONGEST_RESPONSE = 1_000_000
"""Tokens: more than any model generates in one answer."""


def check(cell: Cell) -> None:
    """Refuse parts that do not fit each other, before anything runs."""
    cell.task.check()
    models: dict[str, ModelSpec] = {"teacher": cell.teacher, "student": cell.student}
    if cell.proxy is not None:
        models["proxy"] = cell.proxy
    if cell.knowledge.shadow is not None:
        models["attack.knowledge.shadow"] = cell.knowledge.shadow
    parts: dict[str, Part] = {f"defense.{name}": defense for name, defense in cell.offer.defenses.items()}
    parts |= {f"attack.recover.{name}": step for name, step in cell.recover.items()}
    parts |= {f"attack.refine.{name}": step for name, step in cell.refine.items()}
    parts |= {f"attack.{part.kind}": part for part in (cell.harvest, cell.objective)}
    parts |= {"task": cell.task, **{f"judge.{name}": judge for name, judge in cell.judges.items()}}
    check_models([*models.items(), *named_models(parts)], cell.task, cell.max_tokens)
    check_judges(parts)
    interface = cell.offer.interface
    check_defenses(cell.offer.defenses, interface)
    check_engine(cell.teacher, cell.offer)
    check_attack(cell.harvest, cell.objective, cell.refine, cell.budget, cell.student, interface, cell.task)
    if isinstance(cell.teacher, Transcripts):
        check_stored(cell.teacher, cell.offer.defenses, cell.harvest, cell.budget, interface, cell.task)
    check_knowledge(cell.knowledge, cell.recover, cell.objective, cell.teacher)


def _named(value: Any, field: str) -> str:
    """A name for tables."""
    require(isinstance(value, (str, int, float)) and str(value).strip() != "", field, value, "must be a name")
    return str(value)
