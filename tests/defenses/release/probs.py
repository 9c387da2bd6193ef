"""What tests of defenses on sold probabilities have in common: distributions of all kinds, and the same under a solver."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog


@st.composite
def distributions(draw, most=9):
    """(M, C) rows on the simplex: even and uneven ones, zeros and ties among them; the mass that is told may be below 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(2, most))
    probs = rng.dirichlet(np.full(columns, draw(st.sampled_from([0.05, 0.3, 1.0, 8.0]))), rows)
    if draw(st.booleans()):
        probs = np.round(probs, 1)
        probs[probs.sum(1) == 0, 0] = 1
        probs /= probs.sum(1, keepdims=True)
    return probs * draw(st.sampled_from([1.0, 1.0, 0.8]))


EPSILONS = st.sampled_from([0.01, 0.2, 0.5, 1.0, 1.7, 2.0])


def everything(probs):
    """That all columns are there."""
    return np.ones(probs.shape, np.bool_)


def check(probs, changed, epsilon=None):
    """Rows with the same sums, without negative entries, within the budget."""
    assert (changed >= -1e-15).all()
    np.testing.assert_allclose(changed.sum(1), probs.sum(1), atol=1e-12)
    if epsilon is not None:
        assert (np.abs(changed - probs).sum(1) <= epsilon + 1e-9).all()


def lowest(y, cost, epsilon, keep=False):
    """The smallest Σ c_i y'_i with the sum of y and ‖y' − y‖₁ ≤ ε, by a solver; with ``keep``, the largest stays so."""
    n, top = len(y), y.argmax()
    eye, none = np.eye(n), np.zeros((1, n))
    rows = [np.hstack([eye, -eye]), np.hstack([-eye, -eye]), np.hstack([none, none + 1])]
    bounds = [y, -y, [epsilon]]
    if keep:
        rows.append(np.hstack([eye - eye[top], 0 * eye]))
        bounds.append(np.zeros(n))
    found = linprog(
        np.concatenate([cost, np.zeros(n)]),
        A_ub=np.vstack(rows),
        b_ub=np.concatenate(bounds),
        A_eq=np.hstack([none + 1, none]),
        b_eq=[y.sum()],
        bounds=(0, None),
    )
    assert found.status == 0
    return found.fun
