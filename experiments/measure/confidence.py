"""Calibration of the answer probabilities that honest users are sold."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.special import ndtr

from teacher.api.schema import OK

BINS = 10


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float | None:
    """Σ_b (n_b/n)·|mean correct − mean confidence| over bins of equal width on [0, 1] (Naeini et al. 2015; Guo et al. 2017),
    without the bias of the plain estimate.

    The absolute value of a noisy sum is too large (Kumar, Liang & Ma 2019; Roelofs et al. 2022): a calibrated model reads
    .036 with 200 answers. So the sign of a bin's gap is taken from one half of its answers and its size from the other
    (cross-fitting), in the mean over all random halves. With G = Σ (correct − confidence), its variance under perfect
    calibration s² = Σ confidence·(1 − confidence), and halves taken as normal, that mean is G·(2Φ(G/s) − 1) − 2s·φ(G/s).
    Its expectation is 0 where calibration is perfect, and it is |G| where the gap is clear of its noise; single values may
    fall below 0.

    Args:
        confidence: (n,) probabilities; a value on an edge belongs to the bin above, 1 to the last.
        correct: (n,) 0 or 1.
        bins: number of bins.

    Returns:
        None where there are no finite pairs.

    Raises:
        ValueError: shapes differ, or a probability is outside [0, 1].
    """
    p, hit = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if p.shape != hit.shape or p.ndim != 1:
        raise ValueError(f"confidence {p.shape} and correct {hit.shape} must be (n,) both")
    keep = np.isfinite(p) & np.isfinite(hit)
    p, hit = p[keep], hit[keep]
    if p.size == 0:
        return None
    if p.min() < 0 or p.max() > 1 + 1e-9:
        raise ValueError("a probability must be in [0, 1]")
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=hit - p, minlength=bins)
    sd = np.sqrt(np.bincount(index, weights=np.maximum(p * (1 - p), 0.0), minlength=bins))
    z = gap / np.maximum(sd, 1e-12)
    return float((gap * (2 * ndtr(z) - 1) - 2 * sd * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)).sum() / p.size)


def honest_calibration(honest: pl.DataFrame, bins: int = BINS) -> float | None:
    """ECE of accepted honest answers against the strict grader; None where no probabilities are sold."""
    if not honest.height or honest["confidence"].null_count() == honest.height:
        return None
    answered = honest.filter(
        (pl.col("status") == OK) & pl.col("confidence").is_not_null() & pl.col("strict").is_not_null()
    )
    confidence = answered["confidence"].cast(pl.Float64).to_numpy()
    return expected_calibration_error(confidence, answered["strict"].cast(pl.Float64).to_numpy(), bins)
