"""Measured tables of curves that are known, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from experiments.campaign.curves.measured import KEY, SCHEMA, checked, packed

COUNTS = (33, 66, 133, 266, 532, 1064, 2128)
Truth = Mapping[tuple[str, str], Callable[[float], float]]
STRENGTH = {"none": None, "trace_hidden": 1.0, "random_errors": 0.3}

TRUTH: Truth = {
    ("chain", "none"): lambda q: 1 - np.exp(-((q / 700) ** 2)),
    ("chain", "trace_hidden"): lambda q: 0.0,
    ("chain", "random_errors"): lambda q: 0.8 * (1 - np.exp(-((q / 800) ** 2))),
    ("code", "none"): lambda q: q / (300 + q),
    ("code", "trace_hidden"): lambda q: q / (300 + q),
    ("code", "random_errors"): lambda q: 0.7 * q / (300 + q),
}


def table(
    truth: Truth = TRUTH, counts: Sequence[int] = COUNTS, seeds: Sequence[int] = (0, 1, 2), items: int = 400
) -> pl.DataFrame:
    """Base right on none, teacher on all; the first so many items of the student right, rounded: no noise but rounding."""
    rows = []
    for (family, defense), transfer in truth.items():
        for count in counts:
            for seed in seeds:
                right = np.arange(items) < round(float(transfer(count)) * items)
                marks = {"student": right, "base": np.zeros(items, bool), "teacher": np.ones(items, bool)}
                rows.append(
                    {
                        "family": family,
                        "defense": defense,
                        "strength": STRENGTH[defense],
                        "attack": "imitate",
                        "queries": count,
                        "seed": seed,
                        "items": items,
                        **{model: int(mark.sum()) for model, mark in marks.items()},
                        "transfer": right.mean(),
                        **{f"{model}_marks": packed(mark) for model, mark in marks.items()},
                    }
                )
    return checked(pl.DataFrame(rows, schema=SCHEMA).sort(*KEY))
