"""What one finished cell hands to measurement: its description and its item tables. Knows no statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from configs.errors import MoatBenchError
from experiments.measure.honest_load import nobody
from experiments.store.maintenance.lineage import NOWHERE, Lineage

MODELS = ("student", "undefended", "base", "self", "teacher")
"""Keys of `CellResult.scores`; ``undefended`` and ``self`` may be absent."""

FACTS = (
    "asked",
    "accepted",
    "refused",
    "input_tokens",
    "output_tokens",
    "dollars",
    "accounts_used",
    "student_steps",
    "student_tokens",
    "student_loss",
    "training_rows",
    "distinct_prompts",
    "cut_share",
    "changed_share",
    "same_model",
    "foreign_share",
    "overlap_dropped",
    "own_samples",
    "own_tokens",
    "own_steps",
    "evidence_p",
    "evidence_p_clean",
    "evidence_p_self",
    "evidence",
    "evidence_clean",
    "evidence_self",
)
"""Keys of a cell that are outcomes on the attacker's side, averaged over seeds; all else but ``seed`` is configuration."""

COSTS = ("extra_passes", "extra_compute")
"""Keys of a cell that say what its defenses run while the API serves (`lm.passes.Passes`); a row stored before this was
counted has none."""

SOLD = {"sold_l1": "l1", "sold_top1": "top1"}
"""Keys of a cell that say how far sold probabilities are from the truth (`experiments.stages.sold`): of the cells whose
defenses act on them."""

SERVED = (*COSTS, *SOLD, "extra_dollars", "tampering")
"""`COSTS` and `SOLD`, with what that work would cost a request of an honest user in dollars, and how well defended working
can be told from clean one (`experiments.measure.detectable`)."""

SHARES = ("tampering", "sold_top1")
"""Those of `SERVED` that lie in [0, 1]."""

FINDING = "finding_"
"""What the keys begin with of what a harvest found out besides answers (`attacks.client.Harvested.findings`): outcomes as
`FACTS` are, of the cells that have any."""

BY_DEFENSE = "@"
"""Stands between an outcome and the defense that it is of, in cells with several defenses that look into students:
``evidence_p@kgw`` and so on, besides ``evidence_p``, which is the first one's."""

THREAT = ("task", "teacher", "student", "api", "queries", "data", "accounts", "hours")
"""Keys of a cell that say under which threat model it ran: query budget × data budget × interface, and on what."""


@dataclass(frozen=True)
class CellResult:
    """One cell, one seed.

    Args:
        cell: configuration (`THREAT`, ``defense``, ``defense_name``, ``strength``, ``attack``, ``objective``, ``seed``) and
            outcomes (`FACTS`, `FINDING`, `SERVED`); under ``settings``, if it is there, the whole resolved
            configuration, which tells cells apart that agree in all of the former.
        scores: item tables by model (`MODELS`): item, family, level, split, decoding, strict, lenient, finished,
            formed, step_correct, tokens.
        honest: what legitimate users got under the defense, a row a sampled request: item, family, level, account, kind of
            user, percentile of its volume, status, strict, lenient, finished, waited (s), trace_kept, trace_audited,
            input_tokens, output_tokens, dollars, confidence.
        honest_clean: the same users without any defense; an empty table where it was not run.
        honest_load: what became of all requests of the honest population, by group of users
            (`experiments.measure.honest_load`); empty where no request is judged.
        passes: samples of students before and after refining (`experiments.measure.pass_at_k`); None where the attack does
            not refine.
        judged: what judges say of texts (`experiments.measure.judged`); None where nobody judges.
        transcripts: texts for people to read: kind (``harvest``: of the API to the attacker; ``heldout``: of a model to what
            it is scored on), role (``student``, ``undefended``, ``teacher``), item, family, prompt, reference, trace,
            answer, strict, lenient, finished, cut, refused (`experiments.stages.sample_texts`); None where none were kept.
        lineage: where the row comes from; empty where it was not read from a store.
    """

    cell: Mapping[str, Any]
    scores: Mapping[str, pl.DataFrame]
    honest: pl.DataFrame
    honest_clean: pl.DataFrame
    honest_load: pl.DataFrame = field(default_factory=nobody)
    passes: pl.DataFrame | None = None
    judged: pl.DataFrame | None = None
    transcripts: pl.DataFrame | None = None
    lineage: Lineage = field(default=NOWHERE, kw_only=True)

    @property
    def seed(self) -> int:
        """Seed of the cell."""
        return int(self.cell["seed"])

    @property
    def configuration(self) -> dict[str, Any]:
        """The cell without its seed and its outcomes: what is averaged over seeds agrees on this."""
        found = {k: v for k, v in self.cell.items() if k != "seed" and not outcome(k)}
        if isinstance(found.get("settings"), Mapping):
            found["settings"] = {k: v for k, v in found["settings"].items() if k != "seed"}
        return found


def outcome(key: str) -> bool:
    """Whether a key of a cell is an outcome, and no configuration."""
    return key.partition(BY_DEFENSE)[0] in FACTS or key in SERVED or key.startswith(FINDING)


def findings(results: Iterable[CellResult]) -> list[str]:
    """Keys of everything that was found out in any of the cells, sorted."""
    return sorted({key for result in results for key in result.cell if key.startswith(FINDING)})


def by_defense(results: Iterable[CellResult]) -> list[str]:
    """Keys of outcomes of single defenses in any of the cells, in the order of their stacks."""
    return list(dict.fromkeys(key for result in results for key in result.cell if BY_DEFENSE in key and outcome(key)))


def defense_names(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the stacked defenses, () for the undefended API."""
    names = cell.get("defense_name") or ()
    return tuple(name for name in ((names,) if isinstance(names, str) else names) if name != "none")


def by_configuration(results: Iterable[CellResult]) -> list[list[CellResult]]:
    """Results grouped by configuration, seeds ascending, in an order that does not depend on the input's order.

    Raises:
        MoatBenchError: a configuration has the same seed twice.
    """
    groups: dict[str, list[CellResult]] = {}
    for result in results:
        groups.setdefault(json.dumps(result.configuration, sort_keys=True, default=str), []).append(result)
    for group in groups.values():
        group.sort(key=lambda r: r.seed)
        if len({r.seed for r in group}) < len(group):
            cell = group[0].cell
            which = f"defense {cell.get('defense')}, attack {cell.get('attack')}, seed {cell.get('seed')}"
            raise MoatBenchError(f"two cells of a report cannot be told apart: {which}")
    return [groups[text] for text in sorted(groups, key=lambda text: _order(groups[text][0], text))]


def _order(result: CellResult, text: str) -> tuple[Any, ...]:
    cell, names = result.cell, defense_names(result.cell)
    threat = tuple(_comparable(cell.get(key)) for key in THREAT)
    return threat, len(names) > 0, names, _comparable(cell.get("strength")), str(cell.get("attack")), text


def _comparable(value: object) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
