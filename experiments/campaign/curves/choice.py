"""Which measured curves a campaign is read off: those that come with the project, or a file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from configs.errors import ConfigError, MoatBenchError, require
from experiments.campaign.curves.fitted import Curves, fit_curves
from experiments.campaign.curves.measured import checked, shipped

SHIPPED = "shipped"


def curves_of(where: str) -> Curves:
    """Fitted curves of the shipped table, or of a file that ``python -m experiments.cli.curves --table`` wrote.

    Raises:
        ConfigError: there is no such file, or it is no table of curves.
    """
    if where == SHIPPED:
        return fit_curves(shipped())
    require(Path(where).is_file(), "curves", where, f"is neither {SHIPPED!r} nor a file")
    try:
        return fit_curves(checked(pl.read_csv(where)))
    except (pl.exceptions.PolarsError, MoatBenchError, OSError, ValueError) as error:
        reason = f"is not a table of curves ({str(error).strip().splitlines()[0]})"
        raise ConfigError("curves", where, reason) from error
