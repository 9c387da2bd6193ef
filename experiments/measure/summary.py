"""Everything measured of one configuration over its seeds: each measure with its draws. Knows no table and no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from experiments.measure import transfer as ratios
from experiments.measure.bootstrap import REPLICATES, Resampler, seed_mean
from experiments.measure.calibration import honest_calibration
from experiments.measure.honest_load import load_numbers
from experiments.measure.paired import McNemar, mcnemar
from experiments.measure.panel import ALL, Block, honest_block, score_blocks
from experiments.measure.quantity import MISSING, Estimate, Quantity, blank, difference, estimates
from experiments.measure.result import FACTS, THREAT, CellResult, defense_names
from experiments.measure.transfer import POOLED

GRADERS = ("strict", "lenient")
SYMBOLS = {"student": "S_def", "undefended": "S_undef", "base": "S_base", "self": "S_self", "teacher": "T_clean"}
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


class Measure(NamedTuple):
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
        quantities: every measure with its draws.
        tests: per family, McNemar (mid-p) of the student against its undefended twin, pairs of all seeds together.
    """

    configuration: Mapping[str, Any]
    defense: str
    attack: str
    seeds: tuple[int, ...]
    families: tuple[str, ...]
    decodings: tuple[str, ...]
    facts: Mapping[str, float | None]
    quantities: Mapping[Measure, Quantity]
    tests: Mapping[str, McNemar]

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
        return self.quantities.get(Measure(name, family, decoding, grader), blank(MISSING))

    def headline(self, name: str, family: str) -> Quantity:
        """The measure under headline decoding and strict grading."""
        return self.quantity(name, family, self.decoding, "strict")

    def estimate(self, name: str, family: str = "", decoding: str = "", grader: str = "") -> Estimate:
        """What to print of the measure."""
        return self.estimates.get(Measure(name, family, decoding, grader), Estimate(None, reason=MISSING))

    def headline_estimate(self, name: str, family: str) -> Estimate:
        """What to print of a headline measure."""
        return self.estimate(name, family, self.decoding, "strict")

    @cached_property
    def estimates(self) -> dict[Measure, Estimate]:
        """What to print of every measure."""
        return dict(zip(self.quantities, estimates(list(self.quantities.values())), strict=True))


class Summariser:
    """Turns results into summaries; keeps the draws, so that all cells on the same seeds are resampled alike.

    Args:
        replicates: bootstrap resamples.
        entropy: seed of the resampling.
    """

    def __init__(self, replicates: int = REPLICATES, entropy: int = 0) -> None:
        self.replicates, self.entropy = replicates, entropy
        self._resamplers: dict[tuple[int, ...], Resampler] = {}

    def __call__(self, results: Sequence[CellResult]) -> Summary:
        """Summarise the seeds of one configuration.

        Args:
            results: at least one, seeds ascending and distinct.
        """
        seeds = tuple(r.seed for r in results)
        resampler = self._resamplers.setdefault(seeds, Resampler(seeds, self.replicates, self.entropy))
        blocks, honest = score_blocks(results), honest_block(results)
        heldout = blocks["heldout"]
        decodings = tuple(sorted({d for block in heldout.values() for m, d, _ in block.columns if m == "student"}))
        quantities: dict[Measure, Quantity] = {}
        quantities |= _Scores(heldout, resampler, "").measures(decodings)
        quantities |= _Scores(blocks["harder"], resampler, "harder ").measures(decodings)
        quantities |= _honest_measures(honest, resampler)
        quantities[Measure("ECE", ALL)] = _mean_over_seeds([honest_calibration(r.honest) for r in results])
        quantities |= _load_measures([load_numbers(r.honest_load) for r in results])
        configuration = results[0].configuration
        return Summary(
            configuration,
            str(configuration.get("defense") or "none"),
            str(configuration.get("attack") or ""),
            seeds,
            tuple(sorted(heldout)),
            decodings,
            {name: _mean([r.cell.get(name) for r in results]) for name in FACTS},
            quantities,
            {family: _against_twin(block, decodings) for family, block in heldout.items()},
        )


class _Scores:
    """Accuracies per family and pooled, and their ratios, on one split."""

    def __init__(self, blocks: Mapping[str, Block], resampler: Resampler, prefix: str) -> None:
        self.prefix, self.families = prefix, sorted(blocks)
        self.read = {family: _readings(block, resampler, f"{prefix}{family}") for family, block in blocks.items()}
        self.available = {(m, d) for block in blocks.values() for m, d, _ in block.columns}

    def measures(self, decodings: Iterable[str]) -> dict[Measure, Quantity]:
        found: dict[Measure, Quantity] = {}
        for decoding in decodings:
            for family in (*self.families, POOLED):
                for grader in GRADERS:
                    found |= self._ratios(family, decoding, grader)
                for name, metric in (
                    ("finished_share", "finished"),
                    ("step_correct", "step_correct"),
                    ("tokens", "tokens"),
                ):
                    for model in ("student", "undefended"):
                        key = Measure(f"{self.prefix}{SYMBOLS[model]}_{name}", family, decoding)
                        found[key] = self._value(model, family, decoding, metric)
        return {key: q for key, q in found.items() if q.known or q.reason != MISSING}

    def _ratios(self, family: str, decoding: str, grader: str) -> dict[Measure, Quantity]:
        value = {model: self._value(model, family, decoding, grader) for model in SYMBOLS}
        student, base, twin, teacher = (value[m] for m in ("student", "base", "undefended", "teacher"))
        moved, whole = ratios.transfer(student, base, teacher), ratios.transfer(twin, base, teacher)
        named = {SYMBOLS[model]: quantity for model, quantity in value.items()} | {
            "transfer": moved,
            "transfer_undefended": whole,
            "transfer_self": ratios.transfer(value["self"], base, teacher),
            "transfer_lost": difference(whole, moved),
            "relative": ratios.relative_transfer(student, base, twin),
            "DE": ratios.distillation_effectiveness(student, twin),
            "S_def_if_finished": self._value("student", family, decoding, f"{grader}_finished"),
        }
        return {Measure(f"{self.prefix}{name}", family, decoding, grader): q for name, q in named.items()}

    def _value(self, model: str, family: str, decoding: str, metric: str) -> Quantity:
        if family == POOLED:
            if metric in ("step_correct", "tokens"):
                return blank(MISSING)
            return ratios.macro_mean([self._value(model, name, decoding, metric) for name in self.families])
        columns = self.read[family]
        # A model scored in one way only (a teacher that is always sampled) stands in for the other decoding.
        scored = sorted(d for m, d in self.available if m == model)
        use = decoding if decoding in scored or not scored else scored[0]
        return columns.get((model, use, metric), blank(MISSING))


def _honest_measures(block: Block, resampler: Resampler) -> dict[Measure, Quantity]:
    read = _readings(block, resampler, "honest")
    families = sorted({family for _, family, _ in block.columns})
    found: dict[Measure, Quantity] = {}
    for family in families:
        side = {(s, m): q for (s, f, m), q in read.items() if f == family}
        for grader in GRADERS:
            clean, defended = side["clean", grader], side["defended", grader]
            found[Measure("T_honest_clean", family, "", grader)] = clean
            found[Measure("T_def", family, "", grader)] = defended
            found[Measure("T_def_accepted", family, "", grader)] = side["defended", f"{grader}_accepted"]
            found[Measure("honest_drop", family, "", grader)] = difference(clean, defended)
            found[Measure("DC", family, "", grader)] = ratios.defense_cost(clean, defended)
        found[Measure("T_def_if_finished", family, "", "strict")] = side["defended", "strict_finished"]
        accepted = side["defended", "accepted"]
        side["defended", "refused"] = Quantity(1 - accepted.point, 1 - accepted.draws, accepted.reason)
        found |= {Measure(name, family): side["defended", metric] for name, metric in HONEST.items()}
    return {key: q for key, q in found.items() if q.known or q.reason != MISSING or key.name.startswith("T_def")}


def _load_measures(seeds: Sequence[Mapping[tuple[str, str], float]]) -> dict[Measure, Quantity]:
    """Of the honest load, whose group of users stands in the place of the family."""
    names = dict.fromkeys(name for numbers in seeds for name in numbers)
    return {Measure(*name): _mean_over_seeds([numbers.get(name) for numbers in seeds]) for name in names}


def _readings(block: Block, resampler: Resampler, name: str) -> dict[tuple[str, str, str], Quantity]:
    """Point and draws of every column of a block."""
    points, draws = seed_mean(block.values), resampler.means(name, block.values)
    return {
        column: Quantity(float(points[i]), draws[:, i], "" if np.isfinite(points[i]) else MISSING)
        for i, column in enumerate(block.columns)
    }


def _against_twin(block: Block, decodings: Sequence[str]) -> McNemar:
    decoding = "greedy" if "greedy" in decodings or not decodings else decodings[0]
    places = [(m, decoding, "strict") for m in ("student", "undefended")]
    if any(place not in block.columns for place in places):
        return McNemar(0, 0, float("nan"))
    first, second = (np.concatenate([v[:, block.columns.index(p)] for v in block.values]) for p in places)
    if not np.any(np.isfinite(first) & np.isfinite(second)):
        return McNemar(0, 0, float("nan"))
    return mcnemar(first, second)


def _mean(values: Sequence[object]) -> float | None:
    known = [float(v) for v in values if isinstance(v, int | float) and np.isfinite(v)]
    return float(np.mean(known)) if known else None


def _mean_over_seeds(values: Sequence[float | None]) -> Quantity:
    mean = _mean(values)
    return blank(MISSING) if mean is None else Quantity(mean, np.empty(0))
