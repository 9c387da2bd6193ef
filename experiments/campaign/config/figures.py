"""The figures that campaigns and populations are drawn from, as files in ``data/`` with a source for each.

Sources: P primary text or data, S secondary reports, C computed from public data, I this project's proposal, to be swept and
never presented as measured.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from configs.errors import ConfigError

DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def table(name: str) -> pl.DataFrame:
    """``data/NAME.csv``: ``campaigns``, ``attack_defaults``, ``population`` or ``tiers``."""
    return pl.read_csv(DATA / f"{name}.csv")


def reported(preset: str) -> dict[str, Any]:
    """The row of a reported campaign; null where the report does not say."""
    rows = table("campaigns").filter(pl.col("preset") == preset)
    if rows.is_empty():
        raise ConfigError(
            "campaign.reported", preset, "is not a reported campaign", table("campaigns")["preset"].to_list()
        )
    return rows.row(0, named=True)


def default(parameter: str) -> float:
    """The default of an attack parameter."""
    return float(table("attack_defaults").filter(pl.col("parameter") == parameter)["default"].item())


@cache
def workload(name: str) -> dict[str, float]:
    """Fitted figures of a workload; what was not fitted for it is taken from ``chat_large``, which has the most clients."""
    rows = table("population")
    own = rows.filter(pl.col("workload") == name)
    if own.is_empty():
        raise ConfigError("population.workloads", name, "is not a fitted workload", rows["workload"].to_list())
    other = rows.filter(pl.col("workload") == "chat_large").row(0, named=True)
    found = {
        k: other[k] if v is None else v for k, v in own.row(0, named=True).items() if k not in ("workload", "trace")
    }
    return {k: float(v) for k, v in found.items()}


def files_read() -> list[Path]:
    """Files of ``data/`` that a campaign is made from: all but the curves, which are read when it is reported."""
    return [path for path in DATA.iterdir() if path.is_file() and path.name != "curves.csv"]
