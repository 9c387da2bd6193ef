"""Drop what the attacker's own model finds least or most probable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.recover.comparable import families, members
from attacks.recover.own_reading import mean_logprob, read
from configs.errors import ConfigError, require
from configs.ranges import at_least
from lm.examples import Examples

READERS = ("base", "fitted")


@dataclass(frozen=True)
class PerplexityFilter(Recover):
    """Drops of each family the rows with the highest and with the lowest perplexity under a model of the attacker's own.

    Perplexity is that of what a row teaches under the cell's objective: exp of minus the mean log-probability of its tokens,
    by their weights. The thresholds are quantiles within a family, since one family's responses are more probable than
    another's whatever was done to them. Of a family of n rows, ⌊share · n⌋ go on either side; of rows that are equally
    perplexing at a threshold the later ones go. Rows from elsewhere stay, and so do rows that teach the model nothing.

    ``base`` finds improbable what it was never taught, so that it keeps what is easy; a model ``fitted`` to all rows finds
    improbable what is unlike the rest of the harvest. The papers prune pretraining data by a reference model, from either
    end or both, and find that which end is better depends on the data.

    Args:
        highest: share of a family that is dropped for being least probable.
        lowest: share dropped for being most probable; the two add up to less than 1.
        reader: "base", his model before any query, or "fitted", that model trained on all rows.
    """

    name: ClassVar[str] = "perplexity_filter"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Marion et al. 2023, arXiv 2309.04564; Ankner et al. 2024, arXiv 2405.20541"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    highest: float = 0.1
    lowest: float = 0.0
    reader: Literal["base", "fitted"] = "base"

    def __post_init__(self) -> None:
        at_least(self, 0, "highest", "lowest")
        require(self.highest + self.lowest < 1, "highest", self.highest, "and lowest must add up to less than 1")
        if self.reader not in READERS:
            raise ConfigError("reader", self.reader, "is no model that can read the rows", READERS)

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        assert context.student is not None
        assert context.fit is not None
        rows, origin = read(data, context)
        if not len(rows):
            return data
        lm = context.student() if self.reader == "base" else context.fit(rows)
        logprob = np.full(len(data), np.nan)
        logprob[origin] = mean_logprob(lm, rows)
        keep = np.ones(len(data), np.bool_)
        for group in members(np.where(np.isnan(logprob), -1, families(data, context))):
            for share, worst in ((self.highest, -logprob), (self.lowest, logprob)):
                falling = group[np.argsort(worst[group], kind="stable")]
                keep[falling[len(group) - int(share * len(group) + 1e-9) :]] = False
        return data.where(keep)
