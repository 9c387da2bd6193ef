"""What detectors over a request log are fitted on: simulated honest accounts, another log, or the begin of the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from configs.errors import ConfigError, require
from defenses.admission.detector import Detector
from defenses.admission.sight import hashing_embedding, minhash_sketch
from defenses.base import Prepared, Traffic
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.config.policy import Policy
from experiments.campaign.logs.log_traffic import accounts_of, requests_of, tokens_of
from experiments.campaign.logs.request_log import Numbering, RequestLog, honest
from experiments.campaign.world.library import library
from experiments.campaign.world.past import fitted
from lm.ragged import Ragged
from lm.seeds import generator
from teacher.api.clock import DAY
from teacher.api.schema import Prompts

SIMULATED = "simulated"
"""The reference that needs no honest traffic of the provider's own."""


class LeftOut(NamedTuple):
    """A detector that did not watch.

    Args:
        detector: its name.
        why: in words.
    """

    detector: str
    why: str


def share_of(reference: str) -> float | None:
    """The number that it is, or None where it is a file."""
    try:
        share = float(reference)
    except ValueError:
        return None
    require(0 < share < 1, "--reference", reference, "must be between 0 and 1, or a file, or simulated")
    return share


def usable(
    detectors: Mapping[str, Detector], log: RequestLog, before: RequestLog | None, reference: str
) -> tuple[dict[str, Detector], list[LeftOut]]:
    """The detectors that this log and reference have the columns for, and the others with the reason."""
    kept, left_out = {}, []
    for name, detector in detectors.items():
        missing = [what for what in detector.reads if what not in log.has]
        other = [what for what in detector.reads if before is not None and what not in before.has]
        if missing:
            left_out.append(LeftOut(name, f"needs {_lacks(missing, log)}"))
        elif other and before is not None:
            left_out.append(LeftOut(name, f"needs {_lacks(other, before)} in the reference"))
        elif detector.needs_red_team and reference != SIMULATED:
            why = "is trained on a red team, which is simulated: beside a real reference it would tell the simulation apart"
            left_out.append(LeftOut(name, why))
        else:
            kept[name] = detector
    return kept, left_out


def _lacks(missing: list[str], log: RequestLog) -> str:
    words = []
    for what in missing:
        if what == "prompt" and log.too_many_texts:
            words.append("prompt, of which there are too many different ones to be kept: give fewer accounts")
        elif what == "asn" and "network" in log.has:
            words.append("asn, which takes networks that are IPv4 addresses")
        else:
            words.append("network" if what == "asn" else what)
    return ", ".join(dict.fromkeys(words))


def prompts_of(texts: Numbering, read_by_any: bool) -> Prompts:
    """What a provider makes of the texts, in the order in which they came."""
    if not read_by_any:
        return Prompts((), Ragged.of([]))
    known = tuple(texts.number)
    parts = [hashing_embedding(known[at : at + 50_000]) for at in range(0, len(known), 50_000)]
    embedding = np.concatenate(parts) if parts else hashing_embedding(())
    return Prompts(known, Ragged.of([]), embedding=embedding, sketch=minhash_sketch(known))


def on_simulated(kept: Mapping[str, Detector], campaign: Campaign, left_out: list[LeftOut]) -> dict[str, Prepared]:
    """Fitted on the simulated past; detectors that it is too short for are left out."""
    left = dict(kept)
    while left:
        world = replace(campaign, encoder="hashing", policy=Policy(detectors=left))
        try:
            return fitted(world, library("hashing"))
        except ConfigError as error:
            name = next((n for n in left if error.field.startswith(f"policy.detectors.{n}.")), None)
            if name is None:
                raise
            left_out.append(LeftOut(name, _not_fitted(error)))
            del left[name]
    return {}


def on_log(
    kept: Mapping[str, Detector],
    log: RequestLog,
    until: float,
    prompts: Prompts,
    seed: int,
    left_out: list[LeftOut],
) -> dict[str, Prepared]:
    """Fitted on the requests of a log before ``until`` (virtual seconds) of accounts that nobody says anything against."""
    rows = np.flatnonzero((log.time < until) & honest(log)[log.account])
    traffic = Traffic(requests_of(log, rows), prompts, accounts_of(log), tokens_of(log, rows))
    found: dict[str, Prepared] = {}
    for name, detector in kept.items():
        try:
            found[name] = detector.fit(traffic, None, generator(seed, "past", name))
        except ConfigError as error:
            left_out.append(LeftOut(name, _not_fitted(error)))
    return found


def _not_fitted(error: ConfigError) -> str:
    return f"cannot be fitted on this reference: {error.field.rpartition('.')[2]} = {error.value!r} {error.reason}"


def in_words(reference: str, log: RequestLog, begins: float) -> str:
    """What the reference was, and what that means for the thresholds."""
    if reference == SIMULATED:
        return (
            "simulated honest accounts: a threshold's false-alarm rate holds for that population, and for this log only as "
            "far as its customers are like it"
        )
    without = (
        "accounts with another label than honest left out"
        if "label" in log.has
        else "taken as honest, attacks included"
    )
    if begins > 0:
        return (
            f"the first {begins / DAY:g} days of the log, which are not judged ({without}): an attack among them raises the "
            "thresholds"
        )
    return f"the requests of {Path(reference).name} ({without})"
