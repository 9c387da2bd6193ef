"""How a measured number of a campaign is named, and the tables brought into the shape that all measures expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from configs.errors import ConfigError
from experiments.campaign.campaign_result import CampaignResult
from experiments.measure.estimate import Estimate


class Key(NamedTuple):
    """Name of a number.

    Args:
        measure: what was measured.
        part: what it was measured of: ``detector``, ``kind``, ``operation``, ``capability``, ``finder`` (a detector
        that
            found groups), ``provider``; '' for the whole campaign.
        of: which of these.
    """

    measure: str
    part: str = ""
    of: str = ""


Measured = Mapping[Key, Estimate]
"""Everything that was measured of one campaign, or of several seeds of it."""

BLANK = Estimate(None, reason="not measured")

_WHOLE, _REAL, _TEXT, _FLAG = pl.Int64(), pl.Float64(), pl.String(), pl.Boolean()
_SIX = ("sent", "served", "refused", "blocked", "hidden", "altered")
COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "epochs": {"epoch": _WHOLE, "day": _REAL, "provider": _TEXT}
    | {f"{side}_{what}": _WHOLE for side in ("honest", "attack") for what in _SIX}
    | dict.fromkeys(("distil_usable", "attack_active", "attack_banned", "reviews"), _WHOLE)
    | {"attack_dollars": _REAL},
    "harvest": {"epoch": _WHOLE, "provider": _TEXT, "operation": _TEXT, "capability": _TEXT}
    | {"planned": _REAL}
    | dict.fromkeys(("sent", "refused", "usable", "hidden", "altered", "contaminated"), _WHOLE),
    "accounts": {"provider": _TEXT, "account": _WHOLE, "operation": _TEXT, "kind": _TEXT, "hard_negative": _FLAG}
    | dict.fromkeys(("requests", "distil_usable", "rung", "cluster"), _WHOLE)
    | dict.fromkeys(("opened_day", "first_alarm_day", "acted_day", "banned_day", "lost_day"), _REAL),
    "clusters": {"provider": _TEXT, "day": _REAL, "detector": _TEXT, "main_operation": _TEXT, "acted": _FLAG}
    | dict.fromkeys(("size", "attackers", "honest", "operations", "main_count"), _WHOLE),
    "edges": {"provider": _TEXT, "a": _WHOLE, "b": _WHOLE, "weight": _REAL},
}
"""The columns of each table that are read here; see `CampaignResult`."""


def checked(result: CampaignResult) -> CampaignResult:
    """The result with every column of `COLUMNS` in its type; a table without any column counts as empty.

    Raises:
        ConfigError: a table lacks a column, or a column cannot be read as its type.
    """
    typed = {name: _typed(name, getattr(result, name), columns) for name, columns in COLUMNS.items()}
    return replace(
        result,
        epochs=typed["epochs"],
        harvest=typed["harvest"],
        accounts=typed["accounts"],
        clusters=typed["clusters"],
        edges=typed["edges"],
    )


def _typed(name: str, table: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if not table.columns:
        return pl.DataFrame(schema=dict(columns))
    for column in columns:
        if column not in table.columns:
            raise ConfigError(f"campaign.{name}", table.columns, f"lacks the column {column!r}")
    # Categorical text would not compare with text, and columns that are null throughout have no type of their own.
    try:
        return table.with_columns(pl.col(column).cast(kind) for column, kind in columns.items())
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"campaign.{name}", table.columns, f"has a column of another type ({error})") from error
