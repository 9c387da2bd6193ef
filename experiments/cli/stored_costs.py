"""What the store says of the costs of defenses: counted passes, seconds of sampling, of hooks, and of preparing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from experiments.measure.cell_result import THREAT
from experiments.stages.backend import GENERATIONS
from experiments.stages.harvest import HarvestStage
from experiments.stages.offer import sampled_from
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProxyStudentStage
from experiments.stages.row import RowStage
from experiments.store.layout import Ref, ref_of
from experiments.store.maintenance.lineage import NOWHERE, Lineage, Lineages, joined
from experiments.store.stage import Stage
from experiments.store.store import Store
from lm.types import Channel

SETTING = tuple(axis for axis in THREAT if axis in ("task", "teacher", "student", "api"))
"""Axes of the threat model on which the costs of a defense depend."""


class RawSampling(NamedTuple):
    """Raw generations that are stored.

    Args:
        seconds: that they took.
        tokens: that were drawn.
    """

    seconds: float
    tokens: int


@dataclass(frozen=True)
class SeedCosts:
    """One defense, one seed. What is not stored is None.

    Args:
        passes: extra forward passes per generated token.
        compute: extra compute, as a share of the teacher's.
        own: milliseconds of sampling a token through the defended API.
        twin: the same through the undefended one.
        shared: whether both are the same raw generations: nothing of the defense acts while the teacher samples.
        hooks: milliseconds a token in the hooks that act while answering.
        prepare: seconds of preparing.
        models: seconds of training models for it.
        dollars: list price of the extra compute of a million output tokens.
    """

    passes: float | None
    compute: float | None
    own: float | None
    twin: float | None
    shared: bool
    hooks: float | None
    prepare: float | None
    models: float | None
    dollars: float | None

    @property
    def added(self) -> float | None:
        """Milliseconds of sampling a token that the defense adds; 0 where it shares the undefended generations."""
        if self.shared:
            return 0.0
        return None if self.own is None or self.twin is None else self.own - self.twin

    @property
    def ratio(self) -> float | None:
        """Sampling against the undefended; 1 where it shares its generations."""
        if self.shared:
            return 1.0
        return None if self.own is None or not self.twin else self.own / self.twin


@dataclass
class DefenseCosts:
    """One defense over its seeds.

    Args:
        setting: values of `SETTING`.
        defense: its label.
        seeds: by seed.
        trained: keys of the models that were trained for it.
        lineage: where the rows come from.
    """

    setting: tuple[Any, ...]
    defense: str
    seeds: dict[int, SeedCosts] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    lineage: Lineage = NOWHERE

    def median(self, name: str) -> float | None:
        """Of one figure, over the seeds that have it."""
        known = [value for one in self.seeds.values() if (value := getattr(one, name)) is not None]
        return float(median(known)) if known else None


def stored_costs(rows: Iterable[RowStage], store: Store) -> list[DefenseCosts]:
    """What is stored of the costs of these rows, attacks taken together, in the order of the rows."""
    alike: dict[tuple[Any, ...], list[RowStage]] = {}
    for row in rows:
        setting = tuple(row.cell.get(axis) for axis in SETTING)
        alike.setdefault((setting, str(row.cell["defense"]), int(row.cell["seed"])), []).append(row)
    found: dict[tuple[Any, ...], DefenseCosts] = {}
    lineages = Lineages(store.root)
    for (setting, defense, seed), own in alike.items():
        costs = found.setdefault((setting, defense), DefenseCosts(setting, defense))
        costs.seeds[seed] = _of_seed(own, store)
        costs.trained |= {stage.key for stage in _trained(own[0])}
        costs.lineage = joined([costs.lineage, *(lineages.of(Ref(row.name, row.key)) for row in own)])
    return list(found.values())


def _of_seed(rows: Sequence[RowStage], store: Store) -> SeedCosts:
    first = rows[0]
    passes, compute, hooks = _counted(first, store)
    wanted, clean = _sampled_as(first.harvest), _sampled_as(first.harvest_undefended)
    return SeedCosts(
        passes=passes,
        compute=compute,
        own=_sampling([stage for row in rows for stage in (row.harvest, row.honest)], wanted, store),
        twin=_sampling([stage for row in rows for stage in (row.harvest_undefended, row.honest_clean)], clean, store),
        shared=wanted == clean,
        hooks=hooks,
        prepare=_seconds(first.harvest.prepared.values(), store),
        models=_seconds(_trained(first), store),
        dollars=None if compute is None else compute * first.harvest.offer.prices.output,
    )


def _counted(row: RowStage, store: Store) -> tuple[float | None, float | None, float | None]:
    """Passes, compute, and milliseconds a token in hooks; all 0 where no defense acts while the API serves."""
    if row.costs is None:
        return 0.0, 0.0, 0.0
    entry = store.get(row.costs)
    if entry is None:
        return None, None, None
    tokens, seconds = entry.meta["tokens"], sum(entry.meta["hook_seconds"].values())
    return entry.meta["extra_passes"], entry.meta["extra_compute"], 1e3 * seconds / tokens if tokens else None


def _sampling(stages: Iterable[Stage], wanted: Mapping[str, Any], store: Store) -> float | None:
    """Milliseconds a token of all raw generations of such a model that these stages asked for."""
    used: dict[str, RawSampling] = {}
    for stage in stages:
        manifest = store.manifest(stage)
        for memo in () if manifest is None else manifest["memos"]:
            if memo["stage"] != GENERATIONS or memo["key"] in used:
                continue
            entry = store.entry(ref_of(memo["stage"], memo["key"]))
            config = {} if entry is None else entry.manifest["config"]
            # Stages that ran side by side note each other's generations too, and scored texts are read, not drawn.
            if entry is not None and config["model"] == wanted and "scored" not in config:
                drawn = entry.arrays(GENERATIONS)["channel"] != Channel.TOOL
                used[memo["key"]] = RawSampling(entry.seconds, int(np.count_nonzero(drawn)))
    tokens = sum(one.tokens for one in used.values())
    return 1e3 * sum(one.seconds for one in used.values()) / tokens if tokens else None


def _sampled_as(stage: HarvestStage) -> Mapping[str, Any]:
    """What the raw generations behind this API are stored under, whoever asks."""
    models = {"proxy": stage.base.key} | ({} if stage.proxy_student is None else {"student": stage.proxy_student.key})
    prepared = {name: one.key for name, one in stage.prepared.items()}
    return sampled_from(stage.offer, stage.served.key, models, prepared)


def _trained(row: RowStage) -> list[ProxyStudentStage]:
    """Models that the provider trains for the defenses; the public base model is everybody's."""
    prepared: list[PrepareStage] = list(row.harvest.prepared.values())
    own = [row.harvest.proxy_student, *(stage.models.student for stage in prepared)]
    return list({stage.key: stage for stage in own if stage is not None}.values())


def _seconds(stages: Iterable[Stage], store: Store) -> float | None:
    """That the stored results of these stages took together; None where one is not stored."""
    manifests = [store.manifest(stage) for stage in stages]
    known = [float(manifest["seconds"]) for manifest in manifests if manifest is not None]
    return sum(known) if len(known) == len(manifests) else None
