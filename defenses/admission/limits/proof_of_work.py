"""Proof-of-work that grows with what an account's questions reveal: nobody is refused, extraction costs computing time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import types
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.sight import embedding_of
from defenses.base import AdmissionState, Defense, Preparation, Prepared
from defenses.strength import Strength
from lm.compiled import compiled_for
from lm.later import torch
from teacher.api.schema import RATE_LIMITED, Prompts, Requests, Verdicts

FEWEST = 20
"""Benign accounts that a point of the calibration curve needs."""


@dataclass(frozen=True)
class ProofOfWork(Defense):
    """A HashCash puzzle before each answer, harder the more an account has asked that is new, compared with honest accounts.

    The paper measures leakage by the privacy cost of a query under PATE, which is high where an ensemble disagrees, compares
    the cumulative cost with what a legitimate user has after as many queries, and lets the time of the puzzle grow
    exponentially with the difference, calibrated so that a legitimate user pays twice the time in all. There is no ensemble
    behind a language model's API, so here leakage is the *novelty* of prompts in the provider's embedding space: a prompt in
    k-means cell c (of benign prompts) that the account has asked from n_c times adds w / (1 + n_c), w = max(1, distance to
    the cell's centre / median benign distance). With L the sum, E(n) and S(n) the median and the upper spread (84th
    percentile less median, at least E(n)/√n) of honest accounts' L after n requests, the puzzle has

        bits = base + growth · max(0, (L − E(n)) / S(n)), of which at most log2(most) above the base,

    2^bits expected hashes (bits need not be whole: a threshold on the hash), and ``base`` such that the median benign
    account spends ``overhead`` times the time it would without puzzles. Seconds go to `Accounts.work`; only a puzzle that
    takes longer than ``max_seconds`` is refused, with a 429 without ``retry-after``. Leakage is counted by account: an
    attacker who spreads questions over many accounts pays less, and one who asks no more widely than honest users pays as
    they do.

    Args:
        overhead: total time of the median benign account's requests, over their time without puzzles.
        growth: bits for each spread of leakage above the honest median.
        most: hardest puzzle, over the easiest.
        cells: k-means cells of benign prompts.
        hash_rate: hashes a second of a client's machine.
        answer_seconds: what an answer takes without a puzzle.
        max_seconds: puzzles longer than this are not waited for.
        benign_requests: past requests of honest accounts to be calibrated on.
    """

    name: ClassVar[str] = "proof_of_work"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Dziedzic et al., ICLR 2022, arXiv 2201.09243; leakage by novelty instead of PATE's privacy cost"
    )
    checked: ClassVar[str] = "its formula, prompt by prompt; the median honest account's overhead"
    strength: ClassVar[Strength | None] = Strength("growth", 0, 5)
    prepared_from: ClassVar[tuple[str, ...] | None] = (
        *("overhead", "growth", "most", "cells", "hash_rate", "answer_seconds", "benign_requests"),
    )

    overhead: float = 2.0
    growth: float = 1.0
    most: float = 100.0
    cells: int = 64
    hash_rate: float = 1e6
    answer_seconds: float = 4.0
    max_seconds: float = 600.0
    benign_requests: int = 50_000

    def __post_init__(self) -> None:
        for name in ("overhead", "most"):
            require(getattr(self, name) > 1, f"proof_of_work.{name}", getattr(self, name), "must be more than 1")
        for name in ("hash_rate", "answer_seconds", "max_seconds", "benign_requests"):
            require(getattr(self, name) > 0, f"proof_of_work.{name}", getattr(self, name), "must be more than 0")
        require(self.growth >= 0, "proof_of_work.growth", self.growth, "must be at least 0")
        require(self.cells >= 2, "proof_of_work.cells", self.cells, "must be at least 2")

    def prepare(self, context: Preparation) -> Prepared:
        """Cells, the honest curve of leakage and the base, from past requests of honest accounts."""
        benign = context.benign(self.benign_requests)
        requests, embedding = benign.requests, embedding_of(benign.prompts, {})
        used = np.unique(requests.prompt)
        enough = len(used) >= self.cells
        require(enough, "proof_of_work.cells", self.cells, f"must be at most the {len(used)} distinct benign prompts")
        asking = len(np.unique(requests.account))
        reason = f"hold those of {asking} accounts, and the curve of honest leakage needs at least {FEWEST}"
        require(asking >= FEWEST, "proof_of_work.benign_requests", self.benign_requests, reason)
        from sklearn.cluster import KMeans

        means = KMeans(self.cells, n_init=1, random_state=int(context.rng.integers(2**31)))
        centres = np.asarray(means.fit(embedding[used]).cluster_centers_, np.float32)
        cell, distance = _nearest(embedding, centres)
        typical = max(float(np.median(distance[requests.prompt])), 1e-6)
        weight = np.maximum(1.0, distance / typical)
        seen, leaked, asked = _blank(len(benign.accounts), self.cells)
        flat = np.array([[0.0, 1.0]] * 2)
        history = _run(requests, cell, weight, (seen, leaked, asked), flat, (0.0, 0.0, 1.0, math.inf))
        curve = _curve(history[1], history[2])
        again = _blank(len(benign.accounts), self.cells)
        relative = _run(requests, cell, weight, again, curve, (self.growth, math.log2(self.most), 1.0, math.inf))[0]
        mean = np.bincount(requests.account, relative, len(asked))[asked > 0] / asked[asked > 0]
        base = (self.overhead - 1) * self.answer_seconds / float(np.median(mean))
        reason = f"is too slow: the easiest puzzle takes {base:.2g} seconds, which is less than one hash"
        require(base * self.hash_rate >= 1, "proof_of_work.hash_rate", self.hash_rate, reason)
        found = {"centres": centres, "curve": curve, "typical": np.array([typical]), "base": np.array([base])}
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def bits(self, state: AdmissionState) -> float:
        """Difficulty of the easiest puzzle: ``base`` of the formula."""
        return math.log2(float(state.prepared["base"][0]) * self.hash_rate)

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts:
        """Set each request a puzzle, and book the time it takes; refuse what nobody waits for."""
        own, accounts = state.memory, state.accounts
        cell, weight = self._sight(state.prompts, state)
        held = own.setdefault("held", _blank(0, self.cells))
        if len(held[1]) < len(accounts):
            new = _blank(len(accounts) - len(held[1]), self.cells)
            held = own["held"] = tuple(np.concatenate(pair) for pair in zip(held, new, strict=True))
        limits = (self.growth, math.log2(self.most), float(state.prepared["base"][0]), self.max_seconds)
        seconds = _run(requests, cell, weight, held, state.prepared["curve"].numpy(), limits)[0]
        verdicts = Verdicts.admitted(len(requests))
        refused = np.isnan(seconds)
        if refused.any():
            verdicts.status[refused] = RATE_LIMITED
            verdicts.reason[refused] = "proof_of_work"
        accounts.work += np.bincount(requests.account[~refused], seconds[~refused], len(accounts))
        return verdicts

    def _sight(self, prompts: Prompts, state: AdmissionState) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """(P,) cell and weight of each prompt, found once for these prompts."""
        own: dict[str, Any] = state.memory
        if own.get("prompts") is not prompts:
            cell, distance = _nearest(embedding_of(prompts, own), state.prepared["centres"].numpy())
            own["prompts"], own["sight"] = (
                prompts,
                (cell, np.maximum(1.0, distance / float(state.prepared["typical"][0]))),
            )
        sight: tuple[NDArray[np.int32], NDArray[np.float64]] = own["sight"]
        return sight


def _nearest(
    embedding: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(P,) the nearest centre of each row, and the Euclidean distance to it."""
    square = (centres**2).sum(1) - 2 * embedding @ centres.T
    cell = square.argmin(1).astype(np.int32)
    away = embedding.astype(np.float64) - centres[cell]
    return cell, np.sqrt((away**2).sum(1))


def _curve(leaked: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2) log2 of median and of spread of honest leakage after 1, 2, 4, ... requests, as far as enough accounts go."""
    knots, number = [], 1
    while (at := leaked[asked == number]).size >= FEWEST or number == 1:
        median, upper = np.quantile(at, [0.5, 0.84])
        knots.append([median, max(upper - median, median / math.sqrt(number))])  # few requests say little
        number *= 2
    if len(knots) == 1:  # as if everything were new
        knots.append([2 * value for value in knots[0]])
    return np.log2(np.array(knots))


def _blank(accounts: int, cells: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """What is kept of accounts: requests by cell, leakage, requests."""
    return np.zeros((accounts, cells), np.uint16), np.zeros(accounts), np.zeros(accounts, np.int64)


def _run(
    requests: Requests,
    cell: NDArray[np.int32],
    weight: NDArray[np.float64],
    held: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    curve: NDArray[np.float64],
    limits: tuple[float, float, float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(B,) seconds of each puzzle, NaN where refused; the account's leakage and its number of requests with this one."""
    who = np.ascontiguousarray(requests.account, np.int32)
    assert not len(who) or (who.min() >= 0 and who.max() < len(held[1])), "the gateway lets only known accounts through"
    seconds, leaked, asked = np.empty(len(who)), np.empty(len(who)), np.empty(len(who))
    asks = np.ascontiguousarray(requests.prompt, np.int64)
    _compiled()(who, asks, cell, weight, *held, curve, *limits, seconds, leaked, asked)
    return seconds, leaked, asked


def _work(
    who: Any, prompt: Any, cell: Any, weight: Any, seen: Any, leak: Any, count: Any, curve: Any,
    growth: float, most_bits: float, base: float, patience: float, seconds: Any, leaked: Any, asked: Any,
) -> None:  # fmt: skip
    """The puzzles one after the other. Knots lie at powers of two; before, between and beyond them logs are straight."""
    for i in range(len(who)):
        account, at = who[i], cell[prompt[i]]
        novelty = weight[prompt[i]] / (1.0 + seen[account, at])
        total, number = leak[account] + novelty, count[account] + 1
        place = math.log2(float(number))
        knot = min(int(place), len(curve) - 2)
        part = place - knot
        honest = 2.0 ** (curve[knot, 0] + part * (curve[knot + 1, 0] - curve[knot, 0]))
        spread = 2.0 ** (curve[knot, 1] + part * (curve[knot + 1, 1] - curve[knot, 1]))
        bits = min(most_bits, growth * max(0.0, (total - honest) / spread))
        leaked[i], asked[i] = total, number
        seconds[i] = base * 2.0**bits
        if seconds[i] > patience:
            seconds[i] = math.nan
            continue
        leak[account], count[account] = total, number
        if seen[account, at] < 65535:
            seen[account, at] += 1


@cache
def _compiled() -> Callable[..., Any]:
    def array(dtype: Any, dimensions: int = 1, written: bool = False) -> Any:
        return types.Array(dtype, dimensions, "C", readonly=not written)

    reals, out = array(types.float64), array(types.float64, written=True)
    signature = types.void(
        *(array(types.int32), array(types.int64), array(types.int32), reals),
        *(array(types.uint16, 2, written=True), out, array(types.int64, written=True), array(types.float64, 2)),
        *(types.float64, types.float64, types.float64, types.float64, out, out, out),
    )
    return compiled_for(signature)(_work)
