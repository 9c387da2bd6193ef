"""Detectors over a request log: fitted on a reference, then shown it epoch by epoch, as in a campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from configs.errors import ConfigError, require
from defenses.admission.detector import Detector
from defenses.base import AdmissionState, Prepared
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.logs.log_reference import (
    SIMULATED,
    LeftOut,
    in_words,
    on_log,
    on_simulated,
    prompts_of,
    share_of,
    usable,
)
from experiments.campaign.logs.log_traffic import accounts_of, requests_of, tokens_of
from experiments.campaign.logs.request_log import Numbering, RequestLog, read
from experiments.campaign.world.library import library
from teacher.api.clock import DAY
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Prompts


@dataclass(frozen=True)
class Replayed:
    """What detectors would have alarmed on.

    Args:
        log: that was shown to them.
        reference: what they were fitted on, in words.
        begins: virtual seconds from which the log was judged.
        judged: rows that were judged.
        detectors: names of those that watched.
        left_out: the others.
        accounts: a row for each account with a request that was judged: ``account``, ``label``, ``kind``, ``requests``, and
            of each detector ``score_NAME`` (highest, null where never judged) and ``alarm_NAME``.
        alarms: a row for each detector and account it alarmed on, by the first alarm: ``detector``, ``account``, ``time``
            (Unix seconds, end of the epoch), ``day`` (since the log's first midnight), ``score`` at that time, ``group`` (-1
            alone), ``requests_before``.
        groups: a row for each group each time it was found: ``detector``, ``group``, ``time``, ``day``, ``size``,
            ``requests_before``.
    """

    log: RequestLog
    reference: str
    begins: float
    judged: int
    detectors: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    accounts: pl.DataFrame
    alarms: pl.DataFrame
    groups: pl.DataFrame


def replay(
    path: Path,
    detectors: Mapping[str, Detector],
    campaign: Campaign,
    reference: str = SIMULATED,
    progress: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """Show a log to detectors.

    Args:
        path: of the log.
        detectors: by name.
        campaign: population, past, epoch and seed; its encoder and policy are not used.
        reference: what detectors take for honest traffic: ``simulated``, the path of another log, or the share of the log's
            time (0.25), from its begin on, that they are fitted on and that is not judged. Accounts with a label other than
            honest are left out of it.
        progress: told what is done next.

    Raises:
        ConfigError: a log or reference that cannot be used, or that no detector can read.
    """
    texts, before = Numbering(), None
    if reference == SIMULATED:
        texts.of(pl.Series(library("hashing").prompts.texts, dtype=pl.String))
    elif (share := share_of(reference)) is None:
        progress(f"reading {Path(reference).name}")
        before = read(Path(reference), texts, "--reference")
    progress(f"reading {path.name}")
    log = read(path, texts)
    begins = 0.0
    if reference != SIMULATED and before is None:
        assert share is not None
        epoch = 3600.0 * campaign.epoch_hours
        begins = float(np.floor(log.time[0] + share * (log.time[-1] - log.time[0])) // epoch * epoch)
        require(begins > log.time[0], "--reference", reference, "is less than an epoch of this log: take more")
    kept, left_out = usable(detectors, log, before, reference)
    progress("fitting detectors")
    prompts = prompts_of(texts, any("prompt" in detector.reads for detector in kept.values()))
    if reference == SIMULATED:
        prepared = on_simulated(kept, campaign, left_out)
    else:
        whose, until = (before, np.inf) if before is not None else (log, begins)
        prepared = on_log(kept, whose, until, prompts, campaign.seed, left_out)
    kept = {name: kept[name] for name in kept if name in prepared}
    if not kept:
        why = "; ".join(f"{one.detector} {one.why}" for one in left_out)
        raise ConfigError("--logs", path.name, f"can be judged by none of the detectors: {why}")
    progress("watching")
    watch = _Watch(log, kept, prepared, prompts, campaign.epoch_hours, begins)
    accounts, alarms, groups = watch.run()
    told = in_words(reference, log, begins)
    judged = len(log) - watch.first
    return Replayed(log, told, begins, judged, tuple(kept), tuple(left_out), accounts, alarms, groups)


class _Watch:
    """The log, epoch by epoch."""

    def __init__(
        self,
        log: RequestLog,
        detectors: Mapping[str, Detector],
        prepared: Mapping[str, Prepared],
        prompts: Prompts,
        epoch_hours: float,
        begins: float,
    ) -> None:
        self.log, self.detectors, self.epoch, self.begins = log, detectors, 3600.0 * epoch_hours, begins
        self.first = int(np.searchsorted(log.time, begins))
        accounts, count = accounts_of(log), len(log.names)
        self.states = {
            name: AdmissionState(Ledger(), {}, accounts, Prices(), prompts=prompts, prepared=prepared[name])
            for name in detectors
        }
        self.sent = np.zeros(count, np.int64)
        self.score = {name: np.full(count, np.nan) for name in detectors}
        self.alarm = {name: np.zeros(count, np.bool_) for name in detectors}
        self.alarms: list[pl.DataFrame] = []
        self.groups: list[pl.DataFrame] = []
        self.found = dict.fromkeys(detectors, 0)

    def run(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        log, row = self.log, self.first
        due = {name: self.begins + 3600.0 * one.every_hours for name, one in self.detectors.items()}
        end = self.begins
        while row < len(log):
            end += self.epoch
            stop = int(np.searchsorted(log.time, end))
            rows = slice(row, stop)
            requests, tokens = requests_of(log, rows), tokens_of(log, rows)
            self.sent += np.bincount(requests.account, minlength=len(self.sent))
            for name, detector in self.detectors.items():
                state = replace(self.states[name], max_tokens=tokens)
                detector.watch(requests, tokens, state)
                if end + 1e-6 >= due[name]:
                    due[name] = end + 3600.0 * detector.every_hours
                    self._examine(name, detector, state, end)
            row = stop
        return self._accounts(), _stacked(self.alarms, _ALARMS), _stacked(self.groups, _GROUPS)

    def _examine(self, name: str, detector: Detector, state: AdmissionState, now: float) -> None:
        found = detector.examine(state, now)
        held = self.score[name]
        held[found.account] = np.fmax(held[found.account], found.score)
        guilty, group = found.account[found.alarm], found.cluster[found.alarm].astype(np.int64)
        numbers, group_of, sizes = np.unique(group, return_inverse=True, return_counts=True)
        several = (numbers >= 0) & (sizes > 1)  # the last of a group stands alone, as in a campaign
        number = np.where(several, self.found[name] + np.cumsum(several) - 1, -1)
        self.found[name] += int(several.sum())
        new = ~self.alarm[name][guilty]
        self.alarm[name][guilty] = True
        at = {"time": self.log.start + now, "day": now / DAY, "detector": name}
        first = {
            "account": pl.Series([self.log.names[i] for i in guilty[new]], dtype=pl.String),
            "score": found.score[found.alarm][new],
            "group": number[group_of][new],
            "requests_before": self.sent[guilty[new]],
        }
        self._note(self.alarms, first, at, _ALARMS)
        sums = np.bincount(group_of, self.sent[guilty], minlength=len(numbers)).astype(np.int64)
        groups = {"group": number[several], "size": sizes[several], "requests_before": sums[several]}
        self._note(self.groups, groups, at, _GROUPS)

    @staticmethod
    def _note(
        held: list[pl.DataFrame], columns: Mapping[str, object], at: Mapping[str, object], schema: pl.Schema
    ) -> None:
        frame = pl.DataFrame(columns).with_columns(**{name: pl.lit(value) for name, value in at.items()})
        held.append(frame.select(pl.col(name).cast(kind) for name, kind in schema.items()))

    def _accounts(self) -> pl.DataFrame:
        log = self.log
        columns = {
            "account": pl.Series(log.names, dtype=pl.String),
            "label": pl.Series(log.known("label").tolist(), dtype=pl.String),
            "kind": pl.Series(log.known("kind").tolist(), dtype=pl.String),
            "requests": self.sent,
            **{f"score_{name}": values for name, values in self.score.items()},
            **{f"alarm_{name}": values for name, values in self.alarm.items()},
        }
        return pl.DataFrame(columns).filter(pl.col("requests") > 0).with_columns(pl.col(pl.Float64).fill_nan(None))


_ALARMS = pl.Schema(
    {
        "detector": pl.String(), "account": pl.String(), "time": pl.Float64(), "day": pl.Float64(),
        "score": pl.Float64(), "group": pl.Int64(), "requests_before": pl.Int64(),
    }
)  # fmt: skip
_GROUPS = pl.Schema(
    {
        "detector": pl.String(), "group": pl.Int64(), "time": pl.Float64(), "day": pl.Float64(),
        "size": pl.Int64(), "requests_before": pl.Int64(),
    }
)  # fmt: skip


def _stacked(frames: list[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
