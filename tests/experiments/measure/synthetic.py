"""Cells with a known truth: each model answers each item right with a stated probability."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from experiments.measure.cell_result import CellResult

Truth = Mapping[str, Mapping[str, float]]

FAMILIES = {"chain": 120, "code": 80, "facts": 40, "tool": 60}
TRUTH: dict[str, dict[str, float]] = {
    "base": {"chain": 0.08, "code": 0.05, "facts": 0.02, "tool": 0.10},
    "self": {"chain": 0.12, "code": 0.06, "facts": 0.02, "tool": 0.12},
    "undefended": {"chain": 0.95, "code": 0.98, "facts": 0.90, "tool": 0.97},
    "teacher": {"chain": 0.99, "code": 1.0, "facts": 1.0, "tool": 0.99},
}


def scores(
    accuracy: Mapping[str, float], seed: int, name: str, families: Mapping[str, int] = FAMILIES, harder: bool = False
) -> pl.DataFrame:
    """Both decodings; difficulty is shared by models (the same uniform draw an item). The harder split doubles what a
    report estimates, so it is there where it is asked for."""
    return _scores(tuple(accuracy.items()), seed, name, tuple(families.items()), harder)


@lru_cache(maxsize=512)  # models that are the same in many cells are; a frame is never changed
def _scores(
    accuracies: tuple[tuple[str, float], ...],
    seed: int,
    name: str,
    families: tuple[tuple[str, int], ...],
    harder: bool,
) -> pl.DataFrame:
    accuracy = dict(accuracies)
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, *name.encode()])
    columns: dict[str, list[Any]] = {}
    for family, n in families:
        hardness = shared.random(n)
        for split in ("heldout", "harder"):
            for decoding in ("greedy", "sampled"):
                level = accuracy[family] * (1.0 if split == "heldout" else 0.8) * (1.0 if decoding == "greedy" else 0.9)
                blend = np.where(own.random(n) < 0.8, hardness, own.random(n))
                strict = blend < level
                part = {
                    "item": [f"{split}-{family}-{seed}-{i}" for i in range(n)],
                    "family": [family] * n,
                    "level": [4] * n,
                    "split": [split] * n,
                    "decoding": [decoding] * n,
                    "strict": strict,
                    "lenient": strict | (own.random(n) < 0.02),
                    "finished": strict | (own.random(n) < 0.9),
                    "formed": strict | (np.arange(n) % 3 > 0),
                    "step_correct": np.where(strict, 1.0, 0.6) if family == "chain" else np.full(n, np.nan),
                    "tokens": own.integers(5, 30, n),
                }
                for column, values in part.items():
                    columns.setdefault(column, []).append(values)
    frame = pl.DataFrame({column: np.concatenate(parts) for column, parts in columns.items()})
    frame = frame.with_columns(pl.col("step_correct").fill_nan(None))
    return frame if harder else frame.filter(pl.col("split") == "heldout")


def honest(
    accuracy: Mapping[str, float], refused: float, seed: int, sold: bool = True, waited: float = 0.0
) -> pl.DataFrame:
    """Requests of legitimate users; the same items and accounts for the same seed."""
    rng = np.random.default_rng([seed, 7])
    rows = []
    for family, n in FAMILIES.items():
        hardness, lot = rng.random(n), rng.random(n)
        ok = lot >= refused
        right = (hardness < accuracy[family]) & ok
        rows.append(
            pl.DataFrame(
                {
                    "item": [f"honest-{family}-{seed}-{i}" for i in range(n)],
                    "family": [family] * n,
                    "level": [4] * n,
                    "account": [f"u{i % 9}" for i in range(n)],
                    "status": np.where(ok, 200, 429),
                    "strict": right,
                    "lenient": right,
                    "finished": ok,
                    "waited": np.where(ok, waited, 0.0),
                    "trace_kept": [1.0 if family == "chain" else None] * n,
                    "trace_audited": [True if family == "chain" else None] * n,
                    "input_tokens": [10] * n,
                    "output_tokens": np.where(ok, 20, 0),
                    "dollars": np.where(ok, 1e-4, 0.0),
                    "confidence": np.where(right, 0.9, 0.6) if sold else [None] * n,
                },
                schema_overrides={"confidence": pl.Float64, "trace_audited": pl.Boolean, "trace_kept": pl.Float64},
            )
        )
    return pl.concat(rows)


def cell(
    defense: str, names: list[str], strength: float | None, attack: str, seed: int, **changes: Any
) -> dict[str, Any]:
    """A cell's description."""
    return {
        "task": "mini",
        "teacher": "mini",
        "student": "mini",
        "api": "text",
        "defense": defense,
        "defense_name": names,
        "strength": strength,
        "attack": attack,
        "objective": "sft",
        "queries": 1000,
        "data": 1000,
        "accounts": 1,
        "hours": 24.0,
        "seed": seed,
        "asked": 1000,
        "accepted": 1000,
        "refused": 0,
        "input_tokens": 10000,
        "output_tokens": 20000,
        "dollars": 1.25,
        "accounts_used": 1,
        "student_steps": 250,
        "student_tokens": 300000,
        "student_loss": 0.12,
        "training_rows": 1000,
        "distinct_prompts": 990,
        "cut_share": 0.0,
        "changed_share": 0.5,
        "same_model": 0.0,
        "foreign_share": 0.0,
        "overlap_dropped": 0.0,
        "own_samples": 0,
        "own_tokens": 0,
        "own_steps": 0,
        "evidence_p": 0.01,
        "evidence_p_clean": 0.5,
        "evidence": 3.0,
        "evidence_clean": 0.1,
        "evidence_p_self": 0.6,
        "evidence_self": -0.2,
    } | changes


def result(
    description: dict[str, Any],
    student: Mapping[str, float],
    users: Mapping[str, float] | None = None,
    refused: float = 0.0,
    sigma: float = 0.0,
    truth: Truth = TRUTH,
    waited: float = 0.0,
    harder: bool = False,
) -> CellResult:
    """A cell whose student has the given accuracy per family, moved by N(0, sigma) from seed to seed."""
    seed = description["seed"]
    shift = float(np.random.default_rng([seed, 3]).normal(0, sigma)) if sigma else 0.0
    tables = {name: scores(accuracy, seed, name, harder=harder) for name, accuracy in truth.items()}
    name = f"{description['defense']}|{description['attack']}"
    tables["student"] = scores({f: a + shift for f, a in student.items()}, seed, name, harder=harder)
    clean = truth["teacher"]
    return CellResult(
        description, tables, honest(users or clean, refused, seed, waited=waited), honest(clean, 0.0, seed)
    )
