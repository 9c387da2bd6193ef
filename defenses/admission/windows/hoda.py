"""How unlike honest requests the hardness of an account's requests is distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.windows.window_detector import WindowDetector
from defenses.base import AdmissionState, Prepared, Traffic
from defenses.strength import Strength
from lm.later import torch
from teacher.api.schema import Prompts, Requests


@dataclass(frozen=True)
class HODA(WindowDetector):
    """Pearson distance between a window's histogram of hardness and the benign one, over a benign quantile.

    In the paper the hardness of a sample is the epoch from which the checkpoints of the model's training agree on its label,
    which a provider of text has no like of. Adapted here: hardness is the number of output tokens, on a logarithmic scale
    between the benign quantiles .5 % and 99.5 %, cut into ``levels`` of equal width (levels of equal mass would make
    the benign histogram flat, and a correlation with a flat one is undefined). Distance: 1 - ρ between the two histograms;
    a flat histogram has ρ = 0. The paper's threshold is the largest benign distance, here a quantile.

    Where answers are judged before they are made, as in a lab cell, lengths are not known; requests whose lengths are all
    what was reserved are then not looked at, and nobody is suspected.

    Args:
        levels: of hardness.
    """

    name: ClassVar[str] = "hoda"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Sadeghzadeh, Sobhanian, Dehghan & Jalili 2021 (HODA), arXiv 2106.11424"
    checked: ClassVar[str] = "the Pearson distance to the benign histogram, written out"
    strength: ClassVar[Strength | None] = Strength("quantile", 0.99, 0.5)

    benign_requests: int = 60_000
    levels: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require(3 <= self.levels <= 1000, "hoda.levels", self.levels, "must be from 3 to 1000")

    def learn(self, benign: Traffic, rows: NDArray[np.int64], rng: np.random.Generator) -> Prepared:
        """Edges between levels, and the benign share of each."""
        length = np.log1p(benign.output_tokens[rows].astype(np.float64))
        low, high = np.quantile(length, [0.005, 0.995])
        text = "is the spread of the logarithm of benign output lengths: they are all alike, so none is harder"
        require(high - low > 1e-6, "hoda.reference", float(high - low), text)
        edges = np.linspace(low, high, self.levels + 1)[1:-1]
        share = np.bincount(np.searchsorted(edges, length, "right"), minlength=self.levels) / len(length)
        text = f"spread evenly over the {self.levels} levels, which no histogram can be correlated with; change levels"
        require(float(share.std()) > 1e-6, "hoda.levels", self.levels, f"benign output lengths {text}")
        return {"edges": torch.from_numpy(edges), "share": torch.from_numpy(share)}

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Detector.reads`."""
        return ("output_tokens",)

    def values(self, requests: Requests, output_tokens: NDArray[np.int32], prepared: Prepared) -> NDArray[np.int32]:
        """(B,) level of each request."""
        edges = np.expm1(prepared["edges"].numpy())
        return np.searchsorted(edges, output_tokens, "right").astype(np.int32)

    def judge(
        self, windows: NDArray[np.int32], prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> NDArray[np.float64]:
        """(K,) Pearson distance of each window of levels (K, n)."""
        count = len(windows)
        at = windows + np.arange(count)[:, None] * self.levels
        histogram = (
            np.bincount(at.ravel(), minlength=count * self.levels).reshape(count, self.levels).astype(np.float64)
        )
        own, benign = histogram - histogram.mean(1, keepdims=True), prepared["share"].numpy()
        benign = benign - benign.mean()
        length = np.sqrt((own**2).sum(1) * (benign**2).sum())
        return 1.0 - np.where(length > 0, own @ benign / np.where(length > 0, length, 1.0), 0.0)

    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """See `Detector.watch`; lengths that are not known yet say nothing."""
        if len(requests) and not _reserved(output_tokens, state.max_tokens):
            super().watch(requests, output_tokens, state)


def _reserved(output_tokens: NDArray[np.int32], max_tokens: int | NDArray[np.int32]) -> bool:
    """Whether these are no lengths of answers but what was set aside for them."""
    most = np.asarray(max_tokens)
    if most.shape not in ((), output_tokens.shape):
        return False
    return bool((output_tokens == most).all())
