"""Maximising angular deviation: sell what points the gradient of a student elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import between
from defenses.base import Defense, ReleaseContext
from defenses.release.student_reading import of_ids, require_same_tokens, student_probs
from defenses.release.told import Rows, in_blocks, told_of, towards, vertex, with_told
from defenses.strength import Strength
from lm.compiled import compiled
from teacher.api.schema import Responses

TRIED = 16
"""Most tokens besides the first among which the argmax-preserving variant spreads the mass."""


@dataclass(frozen=True)
class MAD(Defense):
    """Moves y towards the token e_i with the largest 1 − cos(Gᵀe_i, Gᵀy), by α = min(1, ε / ‖y − e_i‖₁).

    G has a row ∂ log q_i / ∂W for each token, q being what a student-sized model says after the text that the client sees, W
    its output layer (as in the paper's experiments). With logits W h that row is (e_i − q) hᵀ, so that Gᵀy = (y − q) hᵀ and
    cos(Gᵀe_i, Gᵀy) = ⟨e_i − q, y − q⟩ / (‖e_i − q‖ ‖y − q‖): h falls out, and one forward pass of the student a response
    is all that is run. A bias of W changes nothing of this.

    ``keep_argmax``: in place of e_i equal mass on a set of tokens with the most probable one in it, so that this one stays
    first; the set is grown greedily, token by token, to at most 17, and the best set on the way is taken (the paper's
    heuristic for many classes). Ties with the first token are possible at the largest ε; lists then still begin with it.

    Args:
        epsilon: ε, the L1 distance from the truth, in [0, 2]; 0 changes nothing.
        keep_argmax: whether the most probable token stays the most probable one.
        choice: "angle" as above; "random": any told token but the most probable, new at every query: the control.
    """

    name: ClassVar[str] = "mad"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Orekondy et al., ICLR 2020, arXiv 1906.10908, equations 4 to 8"
    checked: ClassVar[str] = "the objective at every vertex; autograd for G; the L1 budget met"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    reads_logprobs: ClassVar[int] = -1
    strength: ClassVar[Strength | None] = Strength("epsilon", 0, 2)

    epsilon: float
    keep_argmax: bool = False
    choice: Literal["angle", "random"] = "angle"

    def __post_init__(self) -> None:
        between(self, 0, 2, "epsilon")
        require(self.choice in ("angle", "random"), "choice", self.choice, "must be 'angle' or 'random'")
        require(not (self.keep_argmax and self.choice == "random"), "keep_argmax", True, "goes with choice 'angle'")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change what is told of each token."""
        told = told_of(responses)
        if self.epsilon == 0 or not len(told.place):
            return responses
        if self.choice == "random":
            target = vertex(told.probs, not_the_first(told.probs, told.listed, context.rng))
        else:
            student = context.serving.proxy()
            require_same_tokens(self.name, context.serving.teacher.vocab, student.vocab)
            q = of_ids(student_probs(student, responses, context)[told.place], told.ids)
            find = spread_target if self.keep_argmax else vertex_target
            target = find(told.probs, q, told.listed, told.rest)
        return with_told(responses, told, towards(told.probs, target, self.epsilon))


def not_the_first(probs: Rows, listed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """(M,) a random listed column that is not the most probable."""
    drawn = np.where(listed, rng.random(probs.shape), -1.0)
    np.put_along_axis(drawn, probs.argmax(1)[:, None], -0.5, 1)
    return np.asarray(drawn.argmax(1), np.int64)


def cosines(probs: Rows, q: Rows, rest: Rows) -> Rows:
    """(M, C) cos(Gᵀv_i, Gᵀy) of the vertices v_i, with all told mass on token i.

    Args:
        probs: (M, C) y, what is told.
        q: (M, C) of the student.
        rest: (M,) mass of y that is not told; the student's is 1 − Σq, and both are one more class.
    """
    b, s = probs - q, probs.sum(1, keepdims=True)
    beyond = np.square(rest - np.clip(1 - q.sum(1), 0, None))[:, None]
    along = s * b - (q * b).sum(1, keepdims=True) + beyond
    size = s**2 - 2 * s * q + np.square(q).sum(1, keepdims=True) + beyond
    whole = np.sqrt(np.square(b).sum(1, keepdims=True) + beyond)
    cos: Rows = along / np.maximum(np.sqrt(np.clip(size, 0, None)) * whole, 1e-300)
    return cos


def vertex_target(probs: Rows, q: Rows, listed: NDArray[np.bool_], rest: Rows) -> Rows:
    """(M, C) the vertex with the smallest cosine."""

    def change(y: Rows, own: Rows, there: NDArray[np.bool_], beyond: Rows) -> Rows:
        cos = np.where(there, cosines(y, own, beyond), np.inf)
        return vertex(y, np.asarray(cos.argmin(1), np.int64))

    return in_blocks(change, probs, q, listed, rest)


def spread_target(probs: Rows, q: Rows, listed: NDArray[np.bool_], rest: Rows) -> Rows:
    """(M, C) equal mass on the most probable token and those that a greedy search adds to it."""
    target = np.zeros_like(probs)
    away = rest - np.clip(1 - q.sum(1), 0, None)
    _spread(np.ascontiguousarray(probs), np.ascontiguousarray(q), listed, away, target)
    return target


@compiled
def _spread(probs: Rows, q: Rows, listed: NDArray[np.bool_], away: Rows, target: Rows) -> None:
    rows, columns = probs.shape
    chosen, best = np.zeros(columns, np.bool_), np.zeros(columns, np.bool_)
    for row in range(rows):
        first, s, qb, qq = 0, 0.0, 0.0, 0.0
        for j in range(columns):
            y, own = probs[row, j], q[row, j]
            if y > probs[row, first]:
                first = j
            s += y
            qb += own * (y - own)
            qq += own * own
            chosen[j] = False
        beyond = away[row] * away[row]
        chosen[first] = True
        held_b, held_q, size, least = probs[row, first] - q[row, first], q[row, first], 1, np.inf
        for _ in range(TRIED):
            at, lowest = -1, np.inf
            share = s / (size + 1)
            for j in range(columns):
                if listed[row, j] and not chosen[j]:
                    along = share * (held_b + probs[row, j] - q[row, j]) - qb + beyond
                    square = share * s - 2 * share * (held_q + q[row, j]) + qq + beyond
                    cos = along / max(np.sqrt(max(square, 0.0)), 1e-300)
                    if cos < lowest:
                        at, lowest = j, cos
            if at < 0:
                break
            chosen[at] = True
            held_b += probs[row, at] - q[row, at]
            held_q += q[row, at]
            size += 1
            if lowest < least:
                least = lowest
                best[:] = chosen
        count = best.sum()
        for j in range(columns):
            if best[j]:
                target[row, j] = s / count
