"""Everything measured of one configuration over its seeds, seed by seed; what to print of it follows from the table
it stands in (`estimated`). Knows neither layout nor files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from experiments.measure import transfer as ratios
from experiments.measure.agreement import Agreement
from experiments.measure.cell_result import (
    FACTS,
    SERVED,
    SHARES,
    THREAT,
    CellResult,
    by_defense,
    defense_names,
    findings,
)
from experiments.measure.confidence import honest_calibration
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.honest_load import load_numbers
from experiments.measure.judged import JudgedPair, agreements, length_correlations, rating_measures
from experiments.measure.panel import ALL, Column, Panel, honest_block, score_blocks
from experiments.measure.pass_at_k import pass_measures, sampled_once
from experiments.measure.quantity import MISSING, Quantity, blank, difference, linear, mean_of, plain
from experiments.measure.transfer import POOLED
from experiments.store.maintenance.lineage import NOWHERE, Lineage, joined

GRADERS = ("strict", "lenient")
SYMBOLS = {"student": "S_def", "undefended": "S_undef", "base": "S_base", "self": "S_self", "teacher": "T_clean"}
LIKE = {"S_undef": "S_def", "S_self": "S_def", "transfer_undefended": "transfer", "transfer_self": "transfer"}
"""Students of few different attacks, and the column of those that tell how much seeds move a student."""
HONEST = {
    "refusals": "refused",
    "wait_seconds": "waited",
    "trace_kept": "trace_kept",
    "trace_audited": "trace_audited",
    "T_def_finished_share": "finished",
    "dollars_per_honest_query": "dollars",
    "input_tokens_per_honest_query": "input_tokens",
    "output_tokens_per_honest_query": "output_tokens",
}


class MeasureKey(NamedTuple):
    """Name of a measure: '' where family, decoding or grader does not apply."""

    name: str
    family: str = ""
    decoding: str = ""
    grader: str = ""


@dataclass(frozen=True)
class Summary:
    """One configuration.

    Args:
        configuration: the cell without seed and outcomes.
        defense: label of the defense with its strength.
        attack: label of the attack.
        seeds: ascending.
        families: of the held-out items, sorted.
        decodings: of the student's held-out scores, sorted.
        facts: attacker-side outcomes, mean over seeds; None where no cell states it.
        quantities: every measure.
        estimates: what to print of every measure; empty until `estimated`.
        agreements: how far judges agree, over the texts of all seeds (`experiments.measure.judged`).
        lengths: rank correlation of their ratings with the length of the texts, by texts and judge.
        lineage: where its rows come from, seeds ascending.
    """

    configuration: Mapping[str, Any]
    defense: str
    attack: str
    seeds: tuple[int, ...]
    families: tuple[str, ...]
    decodings: tuple[str, ...]
    facts: Mapping[str, float | None]
    quantities: Mapping[MeasureKey, Quantity]
    estimates: Mapping[MeasureKey, Estimate] = field(default_factory=dict)
    agreements: Mapping[JudgedPair, Agreement] = field(default_factory=dict)
    lengths: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    lineage: Lineage = NOWHERE

    @property
    def names(self) -> tuple[str, ...]:
        """Stacked defenses, () when undefended."""
        return defense_names(self.configuration)

    @property
    def threat(self) -> tuple[Any, ...]:
        """Values of `THREAT`."""
        return tuple(self.configuration.get(key) for key in THREAT)

    @property
    def decoding(self) -> str:
        """Decoding of headline numbers: greedy where it was scored."""
        return "greedy" if "greedy" in self.decodings or not self.decodings else self.decodings[0]

    def quantity(self, name: str, family: str = "", decoding: str = "", grader: str = "") -> Quantity:
        """The measure, blank when it was not taken."""
        return self.quantities.get(MeasureKey(name, family, decoding, grader), blank(MISSING))

    def headline(self, name: str, family: str) -> Quantity:
        """The measure under headline decoding and strict grading."""
        return self.quantity(name, family, self.decoding, "strict")

    def estimate(self, name: str, family: str = "", decoding: str = "", grader: str = "") -> Estimate:
        """What to print of the measure."""
        return self.estimates.get(MeasureKey(name, family, decoding, grader), Estimate(None, reason=MISSING))

    def headline_estimate(self, name: str, family: str) -> Estimate:
        """What to print of a headline measure."""
        return self.estimate(name, family, self.decoding, "strict")


def summarise(results: Sequence[CellResult]) -> Summary:
    """Summarise the seeds of one configuration.

    Args:
        results: at least one, seeds ascending and distinct.
    """
    seeds = tuple(r.seed for r in results)
    blocks, honest = score_blocks(results), honest_block(results)
    heldout = blocks["heldout"]
    decodings = tuple(sorted({d for block in heldout.values() for m, d, _ in block.columns if m == "student"}))
    quantities: dict[MeasureKey, Quantity] = {}
    quantities |= _Scores(heldout, seeds, "").measures(decodings)
    quantities |= _Scores(blocks["harder"], seeds, "harder ").measures(decodings)
    quantities |= _honest_measures(honest, seeds)
    quantities[MeasureKey("ECE", ALL)] = plain(seeds, [honest_calibration(r.honest) for r in results])
    quantities |= _load_measures(seeds, [load_numbers(r.honest_load) for r in results])
    quantities |= {
        MeasureKey(name): plain(seeds, [r.cell.get(name) for r in results], name in SHARES) for name in SERVED
    }
    passes = pass_measures(_passes(results), seeds)
    quantities |= {MeasureKey(name, family): quantity for (name, family), quantity in passes.items()}
    judged = [r.judged for r in results]
    quantities |= {MeasureKey(*name): quantity for name, quantity in rating_measures(judged, seeds).items()}
    configuration = results[0].configuration
    return Summary(
        configuration,
        str(configuration.get("defense") or "none"),
        str(configuration.get("attack") or ""),
        seeds,
        tuple(sorted(heldout)),
        decodings,
        {
            name: _mean([r.cell.get(name) for r in results])
            for name in (*FACTS, *findings(results), *by_defense(results))
        },
        quantities,
        agreements=agreements(judged),
        lengths=length_correlations(judged),
        lineage=joined(r.lineage for r in results),
    )


def _passes(results: Sequence[CellResult]) -> list[pl.DataFrame | None]:
    """What pass@k is read from, by result. The scores' own samples stand in where no seed has more, and only those at
    temperature 1: in a cell of which some seeds have more, they would leave pass@1 alone."""
    if any(r.passes is not None for r in results):
        return [r.passes for r in results]
    return [sampled_once(r.scores) if _temperature(r) == 1 else None for r in results]


def _temperature(result: CellResult) -> float:
    """Of the sampled scores; 1 where nothing is said."""
    settings = result.cell.get("settings") or {}
    return float(settings.get("measure", {}).get("temperature", 1.0))


def estimated(summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries of one table with what to print: each measure is estimated over all of them together."""
    columns: dict[MeasureKey, list[int]] = {}
    for i, s in enumerate(summaries):
        for measure in s.quantities:
            columns.setdefault(measure, []).append(i)
    found: list[dict[MeasureKey, Estimate]] = [dict.fromkeys(s.quantities, Estimate(None)) for s in summaries]
    for measure, places in columns.items():
        like = measure._replace(name=LIKE.get(measure.name, measure.name))
        beside = [summaries[i].quantities[like] for i in columns.get(like, ())] if like != measure else []
        column = estimates([summaries[i].quantities[measure] for i in places], beside)
        for i, estimate in zip(places, column, strict=True):
            found[i][measure] = estimate
    return [replace(s, estimates=own) for s, own in zip(summaries, found, strict=True)]


def against_best(summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries with ``relative``: the gain that was left of that of the best undefended attack on equal budgets.

    Best under one threat model (`THREAT`), family, decoding and grader is the attack whose student is best without a
    defense, its name given in the quantity's remark. An attack's own undefended twin (``relative_own``) may be a bad one.
    """
    groups: dict[tuple[Any, ...], list[Summary]] = {}
    for s in summaries:
        groups.setdefault(s.threat, []).append(s)
    found = []
    for s in summaries:
        more: dict[MeasureKey, Quantity] = {}
        for measure, student in s.quantities.items():
            if measure.name != "S_def":
                continue
            rivals = [
                (other.quantity("S_undef", *measure[1:]), other.attack)
                for other in groups[s.threat]
                if set(s.seeds) <= set(other.seeds)
            ]
            known = [(q, attack) for q, attack in rivals if q.known]
            if known:
                best, attack = max(known, key=lambda pair: pair[0].point)
                base = s.quantity("S_base", *measure[1:])
                own = ratios.relative_transfer(student, base, best)
                more[measure._replace(name="relative")] = own if own.reason else own._replace(reason=f"of {attack}")
        found.append(replace(s, quantities={**s.quantities, **more}))
    return found


class _Scores:
    """Accuracies per family and pooled, and their ratios, on one split."""

    def __init__(self, blocks: Mapping[str, Panel], seeds: Sequence[int], prefix: str) -> None:
        self.prefix, self.families = prefix, sorted(blocks)
        self.read = {family: block.means(seeds) for family, block in blocks.items()}
        self.available = {(m, d) for block in blocks.values() for m, d, _ in block.columns}

    def measures(self, decodings: Iterable[str]) -> dict[MeasureKey, Quantity]:
        found: dict[MeasureKey, Quantity] = {}
        for decoding in decodings:
            for family in (*self.families, POOLED):
                for grader in GRADERS:
                    found |= self._ratios(family, decoding, grader)
                for name, metric in (
                    ("finished_share", "finished"),
                    ("formed_share", "formed"),
                    ("step_correct", "step_correct"),
                    ("tokens", "tokens"),
                ):
                    for model in ("student", "undefended"):
                        key = MeasureKey(f"{self.prefix}{SYMBOLS[model]}_{name}", family, decoding)
                        found[key] = self._value(model, family, decoding, metric)
        return {key: q for key, q in found.items() if q.known or q.reason != MISSING}

    def _ratios(self, family: str, decoding: str, grader: str) -> dict[MeasureKey, Quantity]:
        value = {model: self._value(model, family, decoding, grader) for model in SYMBOLS}
        student, base, twin, teacher = (value[m] for m in ("student", "base", "undefended", "teacher"))
        moved, whole = ratios.transfer(student, base, teacher), ratios.transfer(twin, base, teacher)
        named = {SYMBOLS[model]: quantity for model, quantity in value.items()} | {
            "transfer": moved,
            "transfer_undefended": whole,
            "transfer_self": ratios.transfer(value["self"], base, teacher),
            "transfer_lost": difference(whole, moved),
            "relative_own": ratios.relative_transfer(student, base, twin),
            "DE": ratios.distillation_effectiveness(student, twin),
            "S_def_if_finished": self._value("student", family, decoding, f"{grader}_finished"),
            "S_def_if_formed": self._value("student", family, decoding, f"{grader}_formed"),
        }
        return {MeasureKey(f"{self.prefix}{name}", family, decoding, grader): q for name, q in named.items()}

    def _value(self, model: str, family: str, decoding: str, metric: str) -> Quantity:
        if family == POOLED:
            if metric in ("step_correct", "tokens"):
                return blank(MISSING)
            return mean_of([self._value(model, name, decoding, metric) for name in self.families])
        columns = self.read[family]
        # A model scored in one way only (a teacher that is always sampled) stands in for the other decoding.
        scored = sorted(d for m, d in self.available if m == model)
        use = decoding if decoding in scored or not scored else scored[0]
        return columns.get((model, use, metric), blank(MISSING))


def _honest_measures(block: Panel, seeds: Sequence[int]) -> dict[MeasureKey, Quantity]:
    read: Mapping[Column, Quantity] = block.means(seeds)
    families = sorted({family for _, family, _ in block.columns})
    found: dict[MeasureKey, Quantity] = {}
    for family in families:
        side = {(s, m): q for (s, f, m), q in read.items() if f == family}
        for grader in GRADERS:
            clean, defended = side["clean", grader], side["defended", grader]
            found[MeasureKey("T_honest_clean", family, "", grader)] = clean
            found[MeasureKey("T_def", family, "", grader)] = defended
            found[MeasureKey("T_def_accepted", family, "", grader)] = side["defended", f"{grader}_accepted"]
            found[MeasureKey("honest_drop", family, "", grader)] = difference(clean, defended)
            found[MeasureKey("DC", family, "", grader)] = ratios.defense_cost(clean, defended)
        found[MeasureKey("T_def_if_finished", family, "", "strict")] = side["defended", "strict_finished"]
        accepted = side["defended", "accepted"]
        side["defended", "refused"] = linear([(-1.0, accepted)], 1 - accepted.point)._replace(bounded=True)
        found |= {MeasureKey(name, family): side["defended", metric] for name, metric in HONEST.items()}
    return {key: q for key, q in found.items() if q.known or q.reason != MISSING or key.name.startswith("T_def")}


def _load_measures(
    seeds: tuple[int, ...], numbers: Sequence[Mapping[tuple[str, str], float]]
) -> dict[MeasureKey, Quantity]:
    """Of the honest load, whose group of users stands in the place of the family."""
    names = dict.fromkeys(name for own in numbers for name in own)
    return {MeasureKey(*name): plain(seeds, [own.get(name) for own in numbers]) for name in names}


def _mean(values: Sequence[object]) -> float | None:
    known = [float(v) for v in values if isinstance(v, int | float) and np.isfinite(v)]
    return float(np.mean(known)) if known else None
