"""Gradient redirection: within an L1 budget, sell what moves a student furthest in a direction of the provider's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from configs.ranges import at_least, between, more_than
from defenses.base import Defense, Preparation, Prepared, ReleaseContext
from defenses.release.student_reading import as_examples, of_ids, require_same_tokens, student_probs
from defenses.release.told import Rows, Told, in_blocks, told_of, with_told
from defenses.strength import Strength
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.directional import Direction
    from lm.language_model import LanguageModel

GRADIENT = "grad."


@dataclass(frozen=True)
class GradRedirection(Defense):
    """Sells the y' on the simplex with ‖y' − y‖₁ ≤ ε that has the largest ⟨Gᵀy', z⟩, G having a row ∂ log q_i / ∂θ a token.

    That is linear in y', with coefficients a = G z, so the exact solution is greedy: mass ε/2 (or what there is besides it)
    goes to the token with the largest a, taken from the others, smallest a first.

    ``target`` says what z is. "holdout": the gradient of a student-sized model's loss on clean traces. Whoever trains on y'
    goes along Gᵀy', so this raises that loss most, and a is Δ of antidistillation sampling
    (`defenses.decoding.proxy_delta`), two forward passes by central differences over all of θ.

    "ones", GRAD² of the paper's tables (ALL-ONES in the authors' code): the same with every entry of z alike.

    "reverse" (MIN-IP there): z = −Gᵀy, against the gradient that the truth would give. It is taken of the output layer W
    alone, where with logits W h a row of G is (e_i − q) hᵀ and a_i = −‖h‖²⟨e_i − q, y − q⟩, ordered as q_i − y_i: mass goes
    from the token that the teacher finds likelier than the student by most to the one that it finds less likely by most.
    The paper takes all of θ and a batch of queries at a time.

    Prepared: ``grad.<parameter>`` for "holdout", nothing for the others or ε = 0. q and Δ are taken after the text that the
    client sees.

    Args:
        epsilon: ε, the L1 distance from the truth, in [0, 2]; 0 changes nothing.
        target: "holdout", "ones" or "reverse".
        step: of the central differences, as `Antidistillation.epsilon`.
        traces: clean traces that the holdout's gradient is taken on.
    """

    name: ClassVar[str] = "grad_redirection"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Mazeika et al., ICML 2022, arXiv 2206.14157, algorithm 1"
    checked: ClassVar[str] = "scipy's linprog; autograd for the derivative; the L1 budget met"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    reads_logprobs: ClassVar[int] = -1
    strength: ClassVar[Strength | None] = Strength("epsilon", 0, 2)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("target", "traces")

    epsilon: float
    target: Literal["holdout", "ones", "reverse"] = "holdout"
    step: float = 0.1
    traces: int = 512

    def __post_init__(self) -> None:
        between(self, 0, 2, "epsilon")
        known = ("holdout", "ones", "reverse")
        require(self.target in known, "target", self.target, "must be 'holdout', 'ones' or 'reverse'")
        more_than(self, 0, "step")
        at_least(self, 1, "traces")

    def prepare(self, context: Preparation) -> Prepared:
        """The unit gradient of the holdout's loss; it does not depend on ε."""
        if self.target != "holdout":
            return {}
        from lm.directional import holdout_gradient

        proxy, holdout = context.proxy(), context.clean_traces(self.traces)
        require_same_tokens(self.name, context.teacher.vocab, proxy.vocab)
        try:
            direction = holdout_gradient(proxy, holdout)
        except ValueError as error:
            raise ConfigError("defense.grad_redirection.traces", len(holdout), str(error)) from error
        return {f"{GRADIENT}{name}": g for name, g in direction.items()}

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change what is told of each token."""
        told = told_of(responses)
        if self.epsilon == 0 or not len(told.place):
            return responses
        student = context.serving.proxy()
        require_same_tokens(self.name, context.serving.teacher.vocab, student.vocab)
        gain = self._gain(student, told, responses, context)
        return with_told(responses, told, redirected(told.probs, gain, told.listed, self.epsilon))

    def _gain(self, student: LanguageModel, told: Told, responses: Responses, context: ReleaseContext) -> Rows:
        """(M, C) a, up to a positive factor."""
        if self.target == "reverse":
            return of_ids(student_probs(student, responses, context)[told.place], told.ids) - told.probs
        from defenses.decoding.proxy_delta import PerturbedProxy, delta_of

        if self.target == "ones":
            direction = alike(student)
        else:
            prepared = context.serving.prepared.items()
            direction = {name.removeprefix(GRADIENT): g for name, g in prepared if name.startswith(GRADIENT)}
        delta = delta_of(PerturbedProxy(student, direction, self.step), student, as_examples(responses, context))
        return of_ids(delta[told.place], told.ids)


def alike(student: LanguageModel) -> Direction:
    """The unit vector in the space of a model's parameters whose entries are all alike."""
    import torch

    parameters = dict(student.model.named_parameters())
    entry = sum(p.numel() for p in parameters.values()) ** -0.5
    return {name: torch.full_like(p, entry, dtype=torch.float32) for name, p in parameters.items()}


def redirected(probs: Rows, gain: Rows, listed: NDArray[np.bool_], epsilon: float) -> Rows:
    """(M, C) y' with the largest Σ a_i y'_i among rows with the sums of y and ‖y' − y‖₁ ≤ ε.

    Args:
        probs: (M, C) y.
        gain: (M, C) a; equal ones are taken from and given to in the order of columns.
        listed: (M, C) which columns there are.
        epsilon: ε.
    """

    def change(y: Rows, a: Rows, there: NDArray[np.bool_]) -> Rows:
        order = np.argsort(np.where(there, a, -np.inf), axis=1, kind="stable")
        rising = np.take_along_axis(y, order, 1)
        before = np.cumsum(rising, axis=1)
        moved = np.minimum(epsilon / 2, before[:, -2])  # what the others have is all that can be had
        rising -= np.clip(moved[:, None] - (before - rising), 0.0, rising)
        rising[:, -1] += moved
        np.put_along_axis(new := np.empty_like(y), order, rising, 1)
        return new

    return in_blocks(change, probs, gain, listed)
