"""Distance between the distribution of an account's window of prompts and that of honest traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.sight import embedding_of
from defenses.admission.windows.window_detector import WindowDetector, grown
from defenses.base import AdmissionState, Prepared, Traffic
from defenses.strength import Strength
from lm.compiled import kernel
from lm.later import torch
from teacher.api.schema import Prompts, Requests

WIDTHS = (0.5, 1.0, 2.0, 4.0)
"""Of the kernels that are averaged, as multiples of the median benign distance."""

_BLOCK = 2048


class Features(NamedTuple):
    """A kernel as a scalar product: k(x, y) ≈ φ(x)·φ(y), with equality where x or y is a landmark (Nyström).

    φ(x) = k(x, Z) V Λ^(-1/2), K_ZZ = V Λ Vᵀ; the directions of the largest eigenvalues are kept. Williams & Seeger 2000.

    Args:
        landmarks: (m, d) float64 unit rows Z.
        projection: (m, r) float64 V Λ^(-1/2).
        sigma: median distance of benign prompts, of which the kernel's widths are multiples.
    """

    landmarks: NDArray[np.float64]
    projection: NDArray[np.float64]
    sigma: float

    @classmethod
    def of(cls, landmarks: NDArray[np.floating], sigma: float, most: int) -> Features:
        """At most ``most`` features of landmarks (m, d), fewer where they span fewer dimensions."""
        points = landmarks.astype(np.float64)
        value, vector = np.linalg.eigh(rbf_mean(points, points, sigma))
        kept = np.flatnonzero(value > 1e-10 * value[-1])[::-1][:most]
        return cls(points, vector[:, kept] / np.sqrt(value[kept]), sigma)

    def __call__(self, embedding: NDArray[np.floating]) -> NDArray[np.float32]:
        """(P, r) φ of (P, d) unit rows."""
        phi = np.empty((len(embedding), self.projection.shape[1]), np.float32)
        for start in range(0, len(embedding), _BLOCK):
            rows = slice(start, start + _BLOCK)
            phi[rows] = rbf_mean(embedding[rows].astype(np.float64), self.landmarks, self.sigma) @ self.projection
        return phi


def rbf_mean(x: NDArray[np.float64], y: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """(A, B) mean of exp(-|x-y|² / 2w²) over the widths w = `WIDTHS`·σ, of unit rows (A, d) and (B, d)."""
    square = np.maximum(2.0 - 2.0 * (x @ y.T), 0.0)
    kernels = [np.exp(square / (-2.0 * (width * sigma) ** 2)) for width in WIDTHS]
    return np.asarray(np.mean(kernels, axis=0))


@dataclass(frozen=True)
class MMDWindow(WindowDetector):
    """Unbiased MMD² between the embeddings of a window of prompts and a benign reference, over a benign quantile.

    The kernel is the mean of four Gaussians. It is taken in Nyström features φ, of which one sum per account is kept, so a
    request costs as much as it has features. With y the reference, m of them, and φ measured from their mean (to which
    the statistic is indifferent), the unbiased estimate of Gretton et al. 2012, equation 3, is
    MMD² = (|Σφ(x)|² - Σ|φ(x)|²) / n(n-1) - Σ|φ(y)|² / m(m-1). The threshold is taken from the same features, so their error
    costs power and raises no false alarms. An account is judged each time it has sent n more prompts.

    With benign windows ``across`` accounts, as published, an honest account whose prompts are all of one kind is as far from
    the mixture of all as an attacker is, and raises an alarm.

    Args:
        window: prompts in a window, n.
        benign_windows: ``across`` or ``within`` accounts, see `WindowDetector`.
        reference: benign prompts that windows are compared with, m.
        benign_requests: past requests of honest accounts: the reference and as many windows as the quantile needs.
        landmarks: distinct prompts of the reference that the features are built from.
        features: numbers that are kept of each prompt and account, at most.
    """

    name: ClassVar[str] = "mmd_window"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "arXiv 2606.05725 (An Embarrassingly Simple Detector for Model Extraction Attacks in LLM API Traffic); "
        "Gretton et al., JMLR 2012; Nystroem features: Williams & Seeger, NIPS 2000"
    )
    checked: ClassVar[str] = "the unbiased estimate pair by pair; the published table's shape"
    strength: ClassVar[Strength | None] = Strength("quantile", 0.99, 0.5)

    window: int = 1500
    benign_windows: Literal["across", "within"] = "across"
    reference: int = 20_000
    benign_requests: int = 400_000
    landmarks: int = 256
    features: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("landmarks", "features"):
            require(getattr(self, name) >= 2, f"mmd_window.{name}", getattr(self, name), "must be at least 2")
        text = f"must not be more than the {self.landmarks} landmarks"
        require(self.features <= self.landmarks, "mmd_window.features", self.features, text)

    @property
    def least_threshold(self) -> float:
        """Rounding of the features' sums."""
        return 1e-7

    def learn(self, benign: Traffic, rows: NDArray[np.int64], rng: np.random.Generator) -> Prepared:
        """Features from landmarks, and the reference's mean and spread in them."""
        asked, times = np.unique(benign.requests.prompt[rows], return_counts=True)
        embedding = embedding_of(benign.prompts, {})[asked]
        sigma = _median_distance(embedding, times, rng)
        chosen = rng.choice(len(asked), min(self.landmarks, len(asked)), replace=False)
        features = Features.of(embedding[chosen], sigma, self.features)
        phi, m = features(embedding).astype(np.float64), len(rows)
        centre = times @ phi / m
        spread = float(times @ ((phi - centre) ** 2).sum(1)) / (m * (m - 1))
        found = {"landmarks": features.landmarks, "projection": features.projection, "centre": centre}
        scalars = {"sigma": sigma, "spread": spread}
        return {
            **{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()},
            **{name: torch.tensor(value, dtype=torch.float64) for name, value in scalars.items()},
        }

    def judge(
        self, windows: NDArray[np.int32], prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> NDArray[np.float64]:
        """(K,) MMD² of each window of prompts (K, n) to the reference."""
        phi, square = self._seen(prompts, prepared, memory)
        n = windows.shape[1]
        total = np.array([phi[window].sum(0, dtype=np.float64) for window in windows]).reshape(len(windows), -1)
        cross = (total**2).sum(1) - square[windows].sum(1)
        return np.asarray(cross / (n * (n - 1)) - float(prepared["spread"]))

    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """See `Detector.watch`: the windows of `judge`, of which only sums are kept."""
        threshold = self._threshold(state)
        if not len(requests):
            return
        phi, square = self._seen(state.prompts, state.prepared, state.memory)
        sums = state.memory.get("_sums")
        if sums is None:
            sums = (np.zeros((0, phi.shape[1]), np.float32), np.zeros(0), np.zeros(0, np.int32))
        total, squares, filled = (grown(held, len(state.accounts)) for held in sums)
        state.memory["_sums"] = (total, squares, filled)
        spread, best = float(state.prepared["spread"]), self._best(state)
        _accumulate(
            requests.account, requests.prompt, phi, square, total, squares, filled, best, self.window, spread, threshold
        )

    @staticmethod
    def _seen(
        prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(P, r) features of all prompts from the reference's mean, and (P,) their squared lengths; made once."""
        held = memory.get("_phi")
        if held is None or held[0] is not prompts:
            features = Features(prepared["landmarks"].numpy(), prepared["projection"].numpy(), float(prepared["sigma"]))
            phi = features(embedding_of(prompts, memory)) - prepared["centre"].numpy().astype(np.float32)
            held = memory["_phi"] = (prompts, phi, (phi.astype(np.float64) ** 2).sum(1))
        return held[1], held[2]


def _median_distance(embedding: NDArray[np.float32], times: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Median distance of two benign requests that ask different things; (U, d) unit rows asked ``times`` (U,) each."""
    text = "different prompts among the benign requests; the kernel's width needs two"
    require(len(embedding) > 1, "mmd_window.reference", len(embedding), text)
    first, second = rng.choice(len(embedding), (2, 20_000), p=times / times.sum())
    apart = first != second
    if not apart.any():
        first, second, apart = np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, np.bool_)
    difference = embedding[first[apart]].astype(np.float64) - embedding[second[apart]]
    sigma = float(np.median(np.sqrt((difference**2).sum(1))))
    require(
        sigma > 1e-6, "mmd_window.reference", sigma, "is the median distance of benign prompts: they all look alike"
    )
    return sigma


def _add(
    account: NDArray[np.int32],
    prompt: NDArray[np.int64],
    phi: NDArray[np.float32],
    square: NDArray[np.float64],
    total: NDArray[np.float32],
    squares: NDArray[np.float64],
    filled: NDArray[np.int32],
    best: NDArray[np.float64],
    window: int,
    spread: float,
    threshold: float,
) -> None:
    """Add B requests to the sums of their accounts, (A, r), (A,) and (A,); where one is full, judge it and start again."""
    pairs = 1.0 / (window * (window - 1.0))
    per_threshold = 1.0 / threshold
    width = phi.shape[1]
    for row in range(len(account)):
        who, what = account[row], prompt[row]
        for k in range(width):
            total[who, k] += phi[what, k]
        squares[who] += square[what]
        filled[who] += 1
        if filled[who] == window:
            length = 0.0
            for k in range(width):
                length += np.float64(total[who, k]) * np.float64(total[who, k])
            score = ((length - squares[who]) * pairs - spread) * per_threshold
            best[who] = max(best[who], score)
            total[who] = 0.0
            squares[who] = 0.0
            filled[who] = 0


_accumulate = kernel(_add)
