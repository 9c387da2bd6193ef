"""The last stage of a cell: everything its line of a table needs, in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from polars.exceptions import PolarsError

from configs.build import by_class
from configs.errors import MoatBenchError
from configs.text import one_line
from experiments.measure.cell_result import BY_DEFENSE, COSTS, FACTS, FINDING, SOLD
from experiments.measure.exposure import exposure
from experiments.measure.row import cell_row
from experiments.report import CellResult
from experiments.stages.detect import DetectStage
from experiments.stages.harvest import HarvestStage, harvested_of
from experiments.stages.honest import HonestStage
from experiments.stages.judgement import JudgementStage
from experiments.stages.pass_at_k import PassAtKStage
from experiments.stages.refine import RefineStage
from experiments.stages.sample_texts import kept_texts
from experiments.stages.scores import ScoreStage
from experiments.stages.serving_costs import CostStage
from experiments.stages.sold import SoldStage
from experiments.stages.student import StudentStage
from experiments.stages.tampering import TamperingStage
from experiments.store.artifact import Artifact
from experiments.store.layout import Ref
from experiments.store.maintenance.lineage import Lineages
from experiments.store.stage import Context, Stage

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from experiments.store.store import Store


HARVESTS = {"student": "harvest", "undefended": "harvest_undefended"}
"""Who asked, behind the defenses and without any -> the harvest."""

TOLD = ("student", "undefended", "teacher")
"""Models whose answers to held-out items a row has as text."""

SUFFIXES = {"student": "", "undefended": "_clean", "self": "_self"}
"""Whom defenses look into -> how the names of what they say end."""


@dataclass(frozen=True)
class RowStage(Stage):
    """Joins the scores of one cell.

    Args:
        cell: the facts that name the cell in tables, JSON-able (`experiments.cell.Cell.facts`).
        resolved: the resolved configuration, JSON-able, kept with the row.
        scores: by role: ``student``, ``undefended``, ``base``, ``self``, ``teacher``.
        honest: honest users behind the cell's defenses.
        honest_clean: the same users without defenses.
        harvest: the attack's harvest.
        harvest_undefended: the same attack's on the undefended API.
        student: the fitted student.
        refined: the same after what the attacker did without the teacher; None where he did nothing.
        evidence: by role (``student``; ``undefended`` and ``self``: the nulls), what the defenses say of it; where any does.
        passes: by role, samples of students before and after refining; none where the attacker did nothing.
        costs: what the defenses run while the API serves; None where none acts then, so that they run nothing.
        tampering: whether their working shows in the answers; None where none acts then.
        sold: how far sold probabilities are from the truth; None where no defense acts on them.
        judgements: what judges say, by judge, then by whose texts; none where nobody judges.
    """

    name: ClassVar[str] = "row"
    version: ClassVar[int] = 4
    seconds: ClassVar[float] = 0.5

    cell: Mapping[str, Any]
    resolved: Mapping[str, Any]
    scores: Mapping[str, ScoreStage]
    honest: HonestStage
    honest_clean: HonestStage
    harvest: HarvestStage
    harvest_undefended: HarvestStage
    student: StudentStage
    refined: RefineStage | None = None
    evidence: Mapping[str, DetectStage] = field(default_factory=dict)
    passes: Mapping[str, PassAtKStage] = field(default_factory=dict)
    costs: CostStage | None = None
    tampering: TamperingStage | None = None
    sold: SoldStage | None = None
    judgements: Mapping[str, Mapping[str, JudgementStage]] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """See `Stage.config`: what names the cell. All that its numbers depend on is in the inputs; the resolved
        configuration is kept with the row and says where classes are, which changes nothing."""
        return {"cell": dict(self.cell)}

    def inputs(self) -> dict[str, Stage]:
        """Everything that is joined."""
        return {
            **{f"scores.{role}": stage for role, stage in self.scores.items()},
            "honest": self.honest,
            "honest_clean": self.honest_clean,
            "harvest": self.harvest,
            "harvest_undefended": self.harvest_undefended,
            "training_set": self.student.training_set,
            "student": self.student,
            **({} if self.refined is None else {"refined": self.refined}),
            **({} if self.costs is None else {"costs": self.costs}),
            **({} if self.tampering is None else {"tampering": self.tampering}),
            **({} if self.sold is None else {"sold": self.sold}),
            **{f"evidence.{role}": stage for role, stage in self.evidence.items()},
            **{f"passes.{role}": stage for role, stage in self.passes.items()},
            **{
                f"judgement.{judge}.{role}": stage
                for judge, own in self.judgements.items()
                for role, stage in own.items()
            },
        }

    def run(self, context: Context) -> Artifact:
        """The row, and the item tables it was computed from."""
        scores = {role: context.inputs[f"scores.{role}"].table("items") for role in self.scores}
        honest, clean = context.inputs["honest"].table("items"), context.inputs["honest_clean"].table("items")
        stages = ("harvest", "student", *(() if self.refined is None else ("refined",)))
        found = {name: value for stage in stages for name, value in context.inputs[stage].meta.items()}
        proved = self._proved(context)
        found |= {**self._guarded(context), **proved}
        facts = {**self.cell, **{name: found.get(name) for name in FACTS}, **self._found_out(context)}
        facts |= {name: value for name, value in proved.items() if BY_DEFENSE in name}
        facts |= self._served(context, honest)
        load = context.inputs["honest"].table("load")
        drawn = [
            context.inputs[f"passes.{role}"].table("passes").with_columns(model=pl.lit(role)) for role in self.passes
        ]
        passes = pl.concat(drawn) if drawn else None
        judged = self._judged(context)
        transcripts = self._transcripts(context)
        row = cell_row(facts, scores, honest, clean, honest_load=load, passes=passes, judged=judged)
        items = pl.concat([table.with_columns(model=pl.lit(role)) for role, table in scores.items()])
        users = pl.concat([honest.with_columns(defended=pl.lit(True)), clean.with_columns(defended=pl.lit(False))])
        return Artifact(
            tables={
                "row": pl.DataFrame([row]),
                "items": items,
                "honest": users,
                "load": load,
                **({} if passes is None else {"passes": passes}),
                **({} if judged is None else {"judged": judged}),
                **({} if transcripts is None else {"transcripts": transcripts}),
            },
            meta={"cell": facts, "config": dict(self.resolved)},
        )

    def _transcripts(self, context: Context) -> pl.DataFrame | None:
        """What the stages kept as text, with whose it is; None where they kept nothing, as entries older than that."""
        places = {("harvest", role): name for role, name in HARVESTS.items()}
        places |= {("heldout", role): f"scores.{role}" for role in TOLD if role in self.scores}
        found = [
            texts.with_columns(kind=pl.lit(kind), role=pl.lit(role))
            for (kind, role), name in places.items()
            if (texts := kept_texts(context.inputs[name])) is not None
        ]
        return pl.concat(found) if found else None

    def _judged(self, context: Context) -> pl.DataFrame | None:
        """All ratings, with who rates whose texts."""
        found = [
            context.inputs[f"judgement.{judge}.{role}"]
            .table("ratings")
            .with_columns(judge=pl.lit(judge), texts=pl.lit(role))
            for judge, own in self.judgements.items()
            for role in own
        ]
        return pl.concat(found) if found else None

    def _served(self, context: Context, honest: pl.DataFrame) -> dict[str, float | None]:
        """`experiments.measure.cell_result.SERVED`. Other models' work is paid as the teacher's own, by output tokens."""
        costs: Mapping[str, float | None] = dict.fromkeys(COSTS, 0.0)
        if self.costs is not None:
            costs = context.inputs["costs"].meta
        compute, said = costs["extra_compute"], honest["output_tokens"].to_numpy()
        price = self.honest.offer.prices.output / 1e6
        return {
            **{name: costs[name] for name in COSTS},
            "extra_dollars": None if compute is None or not len(said) else compute * price * float(said.mean()),
            "tampering": None if self.tampering is None else context.inputs["tampering"].meta["tampering"],
            **{key: None if self.sold is None else context.inputs["sold"].meta[name] for key, name in SOLD.items()},
        }

    def _found_out(self, context: Context) -> dict[str, float | None]:
        """What the harvest found out besides answers, None where it looked in vain."""
        findings = context.inputs["harvest"].meta.get("findings", {})
        return {f"{FINDING}{name}": value if isfinite(value) else None for name, value in findings.items()}

    def _proved(self, context: Context) -> dict[str, Any]:
        """What defenses say of the student, of its twin that was not answered by them, and of the one that never met the
        teacher: the stack's first that says something of the student, and where several can, each under its own name."""
        facts: dict[str, Any] = {}
        suffixes = {role: suffix for role, suffix in SUFFIXES.items() if role in self.evidence}
        said = {
            role: {row["defense"]: row for row in context.inputs[f"evidence.{role}"].table("evidence").to_dicts()}
            for role in suffixes
        }
        first = next(iter(said.get("student", {})), None)
        for role, suffix in suffixes.items():
            for name, row in said[role].items():
                own = {f"evidence_p{suffix}": row["p"], f"evidence{suffix}": row["statistic"]}
                facts |= own if name == first else {}
                if len(self.evidence[role].defenses) > 1:
                    facts |= {f"{fact}{BY_DEFENSE}{name}": value for fact, value in own.items()}
        return facts

    def _guarded(self, context: Context) -> dict[str, Any]:
        """Facts that say whether the cell can be trusted; see `experiments.measure.guards`."""
        harvests = (harvested_of(context.inputs[name]) for name in ("harvest", "harvest_undefended"))
        training = context.inputs["training_set"].meta
        rows = list(training["rows_after"].values())
        spent = training.get("spent", {}) if self.refined is None else {}  # refining goes on counting from there
        served, started = self.harvest.served.spec.origin, self.student.spec.origin
        return {
            **exposure(*harvests),
            **{f"own_{what}": number for what, number in spent.items()},
            "training_rows": rows[-1],
            "same_model": float(served == started != ""),
            "foreign_share": training["foreign_share"],
            "overlap_dropped": training.get("overlap_dropped", 0),  # sets without own texts may be older than the count
        }


def result_of(entry: Entry, lineages: Lineages | None = None) -> CellResult:
    """What a report needs of a stored row.

    Args:
        entry: the row.
        lineages: of its store, which several rows share; looked up anew if not given.

    Raises:
        MoatBenchError: the row holds something else, which a store that somebody wrote by hand may.
    """
    with _reading(entry):
        items, users = entry.table("items"), entry.table("honest")
        known = lineages or Lineages(entry.path.parent.parent)
        asked = users.partition_by("defended", as_dict=True, include_key=False)
        nobody = users.clear().drop("defended")
        return CellResult(
            {**entry.meta["cell"], "settings": by_class(resolved_of(entry))},
            {role: own for (role,), own in items.partition_by("model", as_dict=True, include_key=False).items()},
            asked.get((True,), nobody),
            asked.get((False,), nobody),
            entry.table("load"),
            *(
                entry.table(name) if f"{name}.parquet" in entry.manifest["files"] else None
                for name in ("passes", "judged", "transcripts")
            ),
            lineage=known.of(Ref(RowStage.name, entry.key)),
        )


def newest(store: Store) -> Iterator[CellResult]:
    """The newest row of every cell there is, of the present version."""
    seen, lineages = set(), Lineages(store.root)
    for entry in store.entries(RowStage.name):
        cell = json.dumps(by_class(resolved_of(entry)), sort_keys=True)
        if entry.manifest["version"] == RowStage.version and cell not in seen:
            seen.add(cell)
            yield result_of(entry, lineages)


def resolved_of(entry: Entry) -> dict[str, Any]:
    """The resolved configuration that is kept with a stored row; raises as `result_of`."""
    with _reading(entry):
        config = entry.meta["config"]
        if not isinstance(config, dict):
            raise TypeError("its config is no mapping")
        return config


@contextmanager
def _reading(entry: Entry) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError, PolarsError) as error:
        told = one_line(str(error))[:200]
        raise MoatBenchError(
            f"row {entry.key[:8]} of the store does not hold what a row holds ({type(error).__name__}: {told}): remove its "
            f"folder, {entry.path}, and run its command again"
        ) from error
