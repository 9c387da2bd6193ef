"""Forms that a curve of transfer against queries can have, and their bounded least-squares fit, many curves at once.

Every form is a · g(q; b, c): 0 at q = 0, never falling, within [0, 1]. The amplitude a enters linearly, so for given b and c
its best value has a closed form and only (log b, log c) are searched (variable projection, Golub & Pereyra 1973): on a fixed
grid of starts over the whole box, then on ever finer grids around the best one. No random start, no stopping rule: the same
points give the same curve. Knows neither models nor campaigns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import ConfigError, require

Array = NDArray[np.float64]

BEYOND = 10.0
"""c lies between the least measured count divided by this and the largest times this."""
STARTS = (33, 49)
"""Starts along log b and log c."""
ROUNDS, SIDE, SHRINK = 16, 7, 0.5
"""Refinements, points on a side of each refinement's grid, and how much smaller each is than the one before."""


def _power(q: Array, b: Array, c: Array) -> Array:
    return (q / c) ** b


def _saturating(q: Array, b: Array, c: Array) -> Array:
    return -np.expm1(-((q / c) ** b))


def _hill(q: Array, b: Array, c: Array) -> Array:
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 + (c / q) ** b)


@dataclass(frozen=True)
class Form:
    """One form.

    Args:
        name: as it is stored.
        words: the formula in T and q.
        shape: ``g(q, b, c)``, element by element.
        located: whether c is fitted; otherwise it is the largest measured count, and a the transfer there.
        slope: bounds of b. A power law that grows ever faster would turn noise into anything beyond the last count, so its
            returns may not increase.
    """

    name: str
    words: str
    shape: Callable[[Array, Array, Array], Array]
    located: bool
    slope: tuple[float, float]

    def __call__(self, parameters: ArrayLike, queries: ArrayLike) -> Array:
        """(..., Q) transfer at ``queries`` (Q,) for ``parameters`` (..., 3) = (a, b, c); at most 1."""
        a, b, c = np.moveaxis(np.asarray(parameters, np.float64), -1, 0)[..., None]
        with np.errstate(over="ignore"):
            found: Array = np.minimum(1.0, a * self.shape(np.asarray(queries, np.float64), b, c))
        return found


FORMS = (
    Form("power", "min(1, a·(q/c)^b)", _power, located=False, slope=(0.1, 1.0)),
    Form("saturating", "a·(1 − exp(−(q/c)^b))", _saturating, located=True, slope=(0.1, 10.0)),
    Form("hill", "a·q^b/(c^b + q^b)", _hill, located=True, slope=(0.1, 10.0)),
)
"""The simplest first: of two that predict equally well the first is chosen."""


def form_named(name: str) -> Form:
    """The form of that name; `ConfigError` with the names there are."""
    found = {form.name: form for form in FORMS}
    if name not in found:
        raise ConfigError("form", name, "is not a form of a curve", found)
    return found[name]


def fit(form: Form, queries: ArrayLike, transfer: ArrayLike, used: ArrayLike | None = None) -> Array:
    """Least-squares parameters of each row of points.

    Args:
        form: what to fit.
        queries: (Q,) counts, more than 0, ascending.
        transfer: (R, Q) points; rows with a NaN among those used have NaN parameters.
        used: (Q,) bool, the points that count; all where it is not given. Bounds come from all of them.

    Returns:
        (R, 3): a in [0, 1], b in `Form.slope`, c between the ends that `BEYOND` gives.

    Raises:
        ConfigError: queries that are not ascending and positive, or fewer used than parameters.
    """
    q, y = np.asarray(queries, np.float64), np.atleast_2d(np.asarray(transfer, np.float64))
    positive = bool(q.size) and bool(q[0] > 0) and bool((np.diff(q) > 0).all())
    require(positive, "queries", q.tolist(), "must be more than 0, each more than the one before")
    keep = np.ones(q.size, np.bool_) if used is None else np.asarray(used, np.bool_)
    need = 3 if form.located else 2
    require(int(keep.sum()) >= need, "queries", q[keep].tolist(), f"are too few points for the {need} of {form.name}")
    known = np.isfinite(y[:, keep]).all(axis=1)
    found = np.full((len(y), 3), np.nan)
    if known.any():
        found[known] = _searched(form, q[keep], y[known][:, keep], (q[0] / BEYOND, q[-1] * BEYOND), q[-1])
    return found


def _searched(form: Form, q: Array, y: Array, ends: tuple[float, float], last: float) -> Array:
    low = np.log([form.slope[0], ends[0] if form.located else last])
    high = np.log([form.slope[1], ends[1] if form.located else last])
    axes = [np.linspace(low[i], high[i], n if high[i] > low[i] else 1) for i, n in enumerate(STARTS)]
    starts = np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)
    best = starts[_amplitudes(form, q, y, starts[None])[1].argmin(axis=1)]
    half = (high - low) / (np.array(STARTS) - 1)
    side = np.linspace(-1, 1, SIDE)
    offsets = np.stack([part.ravel() for part in np.meshgrid(side, side if form.located else [0.0])], axis=1)
    for _ in range(ROUNDS):
        around = np.clip(best[:, None] + offsets * half, low, high)
        best = around[np.arange(len(y)), _amplitudes(form, q, y, around)[1].argmin(axis=1)]
        half = half * SHRINK
    return np.concatenate([_amplitudes(form, q, y, best[:, None])[0], np.exp(best)], axis=1)


def _amplitudes(form: Form, q: Array, y: Array, logs: Array) -> tuple[Array, Array]:
    """(R, K) best amplitude and squared error of rows (R, Q) for (R or 1, K, 2) logarithms of b and c."""
    with np.errstate(over="ignore"):
        g = form.shape(q, np.exp(logs[..., :1]), np.exp(logs[..., 1:]))
    yg = y @ g[0].T if len(g) == 1 else np.einsum("rq,rkq->rk", y, g)
    gg = (g * g).sum(axis=-1)
    a = np.clip(yg / np.maximum(gg, np.finfo(np.float64).tiny), 0.0, 1.0)
    return a, (y * y).sum(axis=1)[:, None] - 2 * a * yg + a * a * gg
