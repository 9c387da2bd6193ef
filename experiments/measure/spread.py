"""How much one seed's value of a measure varies, learnt from all cells of a table at once. Knows arrays only.

With two or three seeds a cell alone says little about its variance; the cells of a column (one measure, one family) say it
together. The model, per cell c with K_c seeds and d_c = K_c - 1:

    s2_c ~ sigma2_c * chi2(d_c) / d_c                        variance of the values between seeds
    sigma2_c ~ sigma0_c * d0_c / chi2(d0_c)                  moderation (limma: Smyth 2004, doi 10.2202/1544-6115.1027)
    sigma0_c = v_c + m * v * (v_c / v)^p                     item noise v_c (known, mean v) and a part that seeds add

The seeds' part follows the item noise by a power p of `POWERS`, as the column says: the same in all cells (0), or smaller
where an accuracy is near 0 or 1, as if seeds moved a logit (2). Only the seeds' part differs between cells, so
d0_c = d0 / (its share)^2 with d0 of `PRIORS`. The prior of m is that of Jeffreys for a variance above a known floor,
dm / (1 + m) (Box & Tiao 1973, section 5.2), and an atom at 0. m, p and d0 are integrated over a grid rather than plugged in;
a cell's precision 1/sigma2_c then has a mean and a variance, and the t distribution with these is what is returned.
Without items, one cell alone has Student's t with K - 1 degrees of freedom.

Cells share their seeds, hence part of their noise: a lucky teacher lifts all its students. C cells whose residuals
correlate by r in the mean are worth sum(d_c) / (1 + (C - 1) r^2) degrees of freedom (Satterthwaite 1946, doi
10.2307/3002019), and their likelihood is tempered to that (Pauli, Racugno & Ventura 2011). Cells with the very same
values count once.

Settings were chosen by simulation: `python -m benchmarks.coverage`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]

POWERS = (0.0, 1.0, 2.0)
PRIORS = (8.0, 16.0, 64.0)
MOST = 1e6
"""Largest d0: a variance that is known."""
NODES = 21
"""Of m, evenly in log(1 + m) about its quasi-likelihood estimate."""
REACH = 4.5
"""How far they reach, in standard deviations of log(1 + m)."""
ATOM = 0.5
"""Prior weight of m = 0, seeds add nothing, against that of log(1 + m) in an interval of length 1."""
SMOOTH = 0.2
"""Part of the column's mean item noise that is added to a cell's before the power is taken: noise near 0 is ill known."""
ROUNDING = 1e-9
"""What is below is 0: an estimate of 0 comes out as 0 or as 1e-18, depending on the order of sums."""
LEAST = 1e-6
"""Least item noise, as a part of the variance between seeds: for measures without items."""


class Spread(NamedTuple):
    """Per cell, (C,) each.

    Args:
        variance: of one seed's value, item noise included; the mean of K seeds has a K-th of it.
        freedom: degrees of freedom of that variance.
    """

    variance: Array
    freedom: Array


def spread(values: Array, noise: Array) -> Spread:
    """The variance of one seed's value in each cell of a column.

    Args:
        values: (C, S) a value per cell and seed; NaN where a cell lacks the seed.
        noise: (C,) variance of one seed's value by its items alone, at least 0.

    Returns:
        item noise with infinite degrees of freedom where no cell has two seeds: nothing is known of seeds then.
    """
    first, same = _unlike(np.concatenate([np.nan_to_num(values, nan=np.inf), noise[:, None]], axis=1))
    found = _distinct(values[first], noise[first])
    return Spread(found.variance[same], found.freedom[same])


def _unlike(rows: Array) -> tuple[list[int], list[int]]:
    """The first place of each different row, rows ascending, and for every row which of them it is: what `numpy.unique`
    gives, in a tenth of its time for the few rows of a table. Sums over sorted rows do not depend on the order of cells."""
    told = list(map(tuple, rows.tolist()))
    first: list[int] = []
    same = [0] * len(told)
    for place in sorted(range(len(told)), key=told.__getitem__):
        if not first or told[place] != told[first[-1]]:
            first.append(place)
        same[place] = len(first) - 1
    return first, same


def _distinct(values: Array, noise: Array) -> Spread:
    known = np.isfinite(values)
    count = known.sum(axis=1)
    residual = values - (np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1))[:, None]
    d = np.maximum(count - 1.0, 0.0)
    between = np.nansum(residual**2, axis=1) / np.maximum(d, 1)
    seen = d > 0
    scale = max(float(noise.mean()), LEAST * float(between[seen].mean()) if seen.any() else 0.0)
    if not seen.any() or scale == 0:
        return Spread(noise, np.full(len(noise), np.inf))
    column = _Column(np.maximum(noise / scale, LEAST), between / scale, d, seen)
    rough = (column.v + column.m_P[:, None] * column.w_PC).mean(axis=0)
    r = correlation(residual[seen] / np.sqrt(rough[seen] * scale)[:, None])
    found = _posterior(column, 1.0 / (1.0 + (float(seen.sum()) - 1) * r**2))
    return Spread(found.variance * scale, found.freedom)


class _Column:
    """A column in units of its mean item noise: v, s2 and d by cell (C), the cells that have several seeds, and per
    power (P) the form w = v^p of the seeds' part and the quasi-likelihood estimate of its size m."""

    def __init__(self, v: Array, s2: Array, d: Array, seen: NDArray[np.bool_]) -> None:
        self.v, self.s2, self.d, self.seen = v, s2, d, seen
        self.w_PC = ((v + SMOOTH) / (1 + SMOOTH)) ** np.array(POWERS)[:, None]
        self.m_P = _quasi(s2[seen], v[seen], self.w_PC[:, seen], d[seen])


def _posterior(column: _Column, kept: float) -> Spread:
    """The t distributions of all cells, the likelihood being worth a part ``kept`` of what it says."""
    v, s2, d, seen = column.v, column.s2, column.d, column.seen
    total = kept * float(d[seen].sum())
    half = REACH * np.sqrt(2.0 / total + 3.0 / total**2)
    logs_PJ = np.log1p(column.m_P)[:, None] + np.linspace(-half, half, NODES)
    m_PJ, prior_PJ = np.zeros((len(POWERS), NODES + 1)), np.full((len(POWERS), NODES + 1), ATOM)  # the atom comes first
    m_PJ[:, 1:] = np.expm1(np.maximum(logs_PJ, 0.0))
    prior_PJ[:, 1:] = np.where(logs_PJ > ROUNDING, 2 * half / (NODES - 1), 0.0)
    prior = prior_PJ.ravel()
    part = (m_PJ[:, :, None] * column.w_PC[:, None]).reshape(prior.size, -1)[prior > 0]
    base = v + part
    d0 = np.minimum(np.array(PRIORS)[:, None, None] * np.maximum(part / base, 1e-3) ** -2, MOST)
    scaled, after = d0 * base, d0 + d
    grown = np.log1p(d * s2 / scaled)
    own = _gamma_ratio(d0, d) - (d / 2) * np.log(scaled) - (after / 2) * grown
    log = kept * own[:, :, seen].sum(axis=2) + np.log(prior[prior > 0])
    chance = np.exp(log - log.max())
    chance /= chance.sum()
    precision = after / (scaled + d * s2)
    mean = np.einsum("ij,ijc->c", chance, precision)
    away = np.einsum("ij,ijc->c", chance, (precision - mean) ** 2 + precision**2 * (2 / after))
    return Spread(1 / mean, 2 * mean**2 / away)


def _gamma_ratio(d0: Array, d: Array) -> Array:
    """log of Γ((d + d0)/2) / Γ(d0/2), cells last; interpolated, as gammaln would take most of the time."""
    at, found = np.log(d0), np.empty_like(d0)
    for each in set(d.tolist()):
        found[..., d == each] = np.interp(at[..., d == each], _LOG_D0, _table(each))
    return found


_LOG_D0 = np.linspace(np.log(min(PRIORS)) - 0.01, np.log(MOST) + 0.01, 1024)


@cache
def _table(d: float) -> Array:
    d0 = np.exp(_LOG_D0)
    return np.asarray(gammaln((d + d0) / 2) - gammaln(d0 / 2))


def _quasi(s2: Array, v: Array, w_PC: Array, d: Array) -> Array:
    """(P,) m of s2 = v + m w, whose variance is proportional to its squared mean: iterated weighted least squares."""
    omega = np.broadcast_to(d, w_PC.shape)
    m = np.zeros(len(w_PC))
    for _ in range(8):
        m = np.maximum((omega * (s2 - v)).sum(axis=1) / (omega * w_PC).sum(axis=1), 0.0)
        omega = d * w_PC / (v + m[:, None] * w_PC) ** 2
    return m


def correlation(z_CS: Array) -> float:
    """Mean correlation of the rows' residuals over pairs of cells that share seeds; 0 for one cell."""
    known = np.isfinite(z_CS)
    z = np.where(known, z_CS, 0.0)
    count = known.sum(axis=0)
    pairs = float((count * (count - 1)).sum())
    if pairs == 0:
        return 0.0
    together = float((z.sum(axis=0) ** 2 - (z**2).sum(axis=0)).sum()) / pairs
    alone = float((z**2).sum()) / float(known.sum())
    return float(np.clip(together / alone, -1.0, 1.0)) if alone > 0 else 0.0
