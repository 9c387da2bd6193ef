"""How many pairs of an account's prompts are nearly the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.sight import embedding_of
from defenses.admission.windows.window_detector import WindowDetector
from defenses.base import Prepared, Traffic
from defenses.strength import Strength
from lm.compiled import kernel
from lm.later import torch
from teacher.api.schema import Prompts

_PAIRS = 200_000
_ROUNDING = 1e-5


@dataclass(frozen=True)
class SEAT(WindowDetector):
    """Share of a window's pairs of prompts that lie closer together than benign prompts do, over a benign quantile.

    In the paper a similarity encoder is trained adversarially for the task, pairs closer than a threshold are counted over
    the account's history, and more than N of them end the account. Adapted here: the encoder is the provider's text encoder;
    the distance under which prompts are similar is the quantile ``similar`` of distances between different benign prompts;
    pairs are counted within a window of n, as a share of its n(n-1)/2; and N is fitted, as a quantile of benign windows.

    Args:
        similar: share of pairs of different benign prompts that count as similar.
    """

    name: ClassVar[str] = "seat"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Zhang, Chen & Wagner, AISec 2021 (SEAT: Similarity Encoder by Adversarial Training for Detecting Model Extraction "
        "Attack Queries), doi 10.1145/3474369.3486863"
    )
    checked: ClassVar[str] = "the share of close pairs, counted"
    strength: ClassVar[Strength | None] = Strength("quantile", 0.99, 0.5)

    benign_requests: int = 60_000
    similar: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        text = f"must be from {100 / _PAIRS} (a hundred of the {_PAIRS} pairs that are compared) to below 1"
        require(100 / _PAIRS <= self.similar < 1, "seat.similar", self.similar, text)
        require(self.window <= 2000, "seat.window", self.window, "must be at most 2000: its pairs are compared")

    @property
    def least_threshold(self) -> float:
        """Half a pair: where benign windows hold none, one is an alarm."""
        return 1.0 / (self.window * (self.window - 1))

    def learn(self, benign: Traffic, rows: NDArray[np.int64], rng: np.random.Generator) -> Prepared:
        """The scalar product from which two prompts are similar."""
        asked = benign.requests.prompt[rows]
        first, second = (asked[rng.integers(len(asked), size=_PAIRS)] for _ in range(2))
        apart = first != second
        text = "benign pairs of different prompts; a hundred of them have to be similar, so more must differ"
        require(int(apart.sum()) * self.similar >= 50, "seat.reference", int(apart.sum()), text)
        embedding = embedding_of(benign.prompts, {})
        blocks = zip(*(np.array_split(asked_by[apart], 20) for asked_by in (first, second)), strict=True)
        product = np.concatenate([np.einsum("pd,pd->p", embedding[one], embedding[other]) for one, other in blocks])
        return {"product": torch.tensor(np.quantile(product, 1 - self.similar), dtype=torch.float64)}

    def judge(
        self, windows: NDArray[np.int32], prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> NDArray[np.float64]:
        """(K,) share of similar pairs in each window of prompts (K, n)."""
        found = np.empty(len(windows))
        _shares(embedding_of(prompts, memory), windows, float(prepared["product"]) - _ROUNDING, found)
        return found


def _share(embedding: NDArray[np.float32], windows: NDArray[np.int32], least: float, out: NDArray[np.float64]) -> None:
    """Share of pairs with a scalar product of at least ``least`` into ``out`` (K,), of windows (K, n) of rows (P, d)."""
    size, width = windows.shape[1], embedding.shape[1]
    per_pair = 2.0 / (size * (size - 1.0))
    points = np.empty((size, width), np.float32)
    for w in range(len(out)):
        for i in range(size):
            points[i] = embedding[windows[w, i]]
        pairs = 0
        for i in range(size):
            for j in range(i):
                product = np.float32(0.0)
                for k in range(width):
                    product += points[i, k] * points[j, k]
                if product >= least:
                    pairs += 1
        out[w] = pairs * per_pair


_shares = kernel(_share)
