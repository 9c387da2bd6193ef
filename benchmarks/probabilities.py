"""Times the defenses on sold probabilities, on one core, beside a loop over rows that does the same with numpy or scipy.

The loop runs on the first few rows alone and its time is scaled to all of them; on those both must agree. Models that some
defenses run beside are not timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import expit, logit

from benchmarks.stopwatch import timed
from defenses.release.grad_redirection import redirected
from defenses.release.mad import spread_target, vertex_target
from defenses.release.modelguard_w import LEAST, least_likely
from defenses.release.reverse_sigmoid import reversed_sigmoid
from defenses.release.told import towards

Row = NDArray[np.float64]

TINY = ("--rows", "300", "--looped", "3")
"""Arguments with which the tests see that it runs; the figures mean nothing."""

EXAMPLES = """\
examples:
  python -m benchmarks.probabilities                     a million 64-way vectors
  python -m benchmarks.probabilities --rows 100000 --looped 100
"""


class Work(NamedTuple):
    """One defense in both ways.

    Args:
        name: of the defense.
        ours: (N, C) rows at once.
        loop: (C,) one row, from its number.
        measure: of rows, what both have to agree in; the rows themselves where a solution need not be unique.
    """

    name: str
    ours: Callable[[slice], Row]
    loop: Callable[[int], Row]
    measure: Callable[[int, Row], float]


def lowered(y: Row, beta: float, gamma: float) -> Row:
    """Reverse sigmoid of one row."""
    raw: Row = y - beta * (expit(gamma * logit(y)) - 0.5)
    return raw / raw.sum()


def turned(y: Row, q: Row, epsilon: float) -> Row:
    """MAD of one row, vertex by vertex."""
    away = y - q
    angles = []
    for vertex in np.eye(len(y)):
        other = vertex - q
        angles.append(1 - other @ away / (np.linalg.norm(other) * np.linalg.norm(away)))
    way = np.eye(len(y))[int(np.argmax(angles))] - y
    moved: Row = y + min(1.0, epsilon / np.abs(way).sum()) * way
    return moved


def given(y: Row, gain: Row, epsilon: float) -> Row:
    """Gradient redirection of one row, donor by donor."""
    order, new = np.argsort(gain), y.copy()
    left = want = min(epsilon / 2, 1 - y[order[-1]])
    for donor in order[:-1]:
        part = min(new[donor], left)
        new[donor] -= part
        left -= part
    new[order[-1]] += want
    return new


def solved(y: Row, epsilon: float) -> Row:
    """ModelGuard-W of one row, by a solver."""
    n, top, eye = len(y), int(y.argmax()), np.eye(len(y))
    rows = [np.hstack([eye, -eye]), np.hstack([-eye, -eye]), np.hstack([np.zeros((1, n)), np.ones((1, n))])]
    rows.append(np.hstack([eye - eye[top], 0 * eye]))
    found = linprog(
        np.concatenate([np.log(y + LEAST), np.zeros(n)]),
        A_ub=np.vstack(rows),
        b_ub=np.concatenate([y, -y, [epsilon], np.zeros(n)]),
        A_eq=np.hstack([np.ones((1, n)), np.zeros((1, n))]),
        b_eq=[1.0],
    )
    return np.asarray(found.x[:n], np.float64)


def work(y: Row, q: Row, gain: Row, epsilon: float) -> list[Work]:
    """All of it on these rows."""
    there, rest = np.ones(y.shape, np.bool_), np.zeros(len(y))

    def mad(s: slice) -> Row:
        return towards(y[s], vertex_target(y[s], q[s], there[s], rest[s]), epsilon)

    def first(i: int, row: Row) -> float:
        return float(row @ np.arange(len(row)))

    return [
        Work(
            "reverse_sigmoid",
            lambda s: reversed_sigmoid(y[s], there[s], 0.02, 0.2),
            lambda i: lowered(y[i], 0.02, 0.2),
            first,
        ),
        Work("mad", mad, lambda i: turned(y[i], q[i], epsilon), first),
        Work(
            "grad_redirection",
            lambda s: redirected(y[s], gain[s], there[s], epsilon),
            lambda i: given(y[i], gain[i], epsilon),
            first,
        ),
        Work(
            "modelguard_w",
            lambda s: least_likely(y[s], there[s], epsilon),
            lambda i: solved(y[i], epsilon),
            lambda i, row: float(row @ np.log(y[i] + LEAST)),
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times; 1 where both ways do not agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=64)
    parser.add_argument("--looped", type=int, default=200)
    asked = parser.parse_args(argv)
    for name, least in (("rows", 1), ("classes", 2), ("looped", 1)):
        if getattr(asked, name) < least:
            parser.error(f"--{name} {getattr(asked, name)}: must be at least {least}")
    rng, size = np.random.default_rng(0), (asked.rows, asked.classes)
    y, q = (rng.dirichlet(np.full(asked.classes, 0.2), asked.rows) for _ in range(2))
    agreed = True
    looped = min(asked.looped, asked.rows)
    for one in work(y, q, rng.standard_normal(size), 0.5):
        one.ours(slice(0, 2))  # compiles
        made, ours = timed(lambda w=one: w.ours(slice(None)))
        by_row, loop = timed(lambda w=one: [w.loop(i) for i in range(looped)])
        slow = loop.cpu * asked.rows / looped
        print(f"{one.name}: {ours.cpu:.2f} s for {asked.rows} rows, by row {slow:.0f} s: {slow / ours.cpu:.0f} times")
        agreed &= all(abs(one.measure(i, made[i]) - one.measure(i, row)) < 1e-6 for i, row in enumerate(by_row))
    there = np.ones(size, np.bool_)
    spread_target(y[:2], q[:2], there[:2], np.zeros(2))
    _, spread = timed(lambda: spread_target(y, q, there, np.zeros(len(y))))
    print(f"mad with keep_argmax: {spread.cpu:.2f} s for {asked.rows} rows")
    print("the same" if agreed else "NOT the same")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
