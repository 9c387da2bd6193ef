"""Learn most from the traces whose imitation helps on rows that the attacker trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.comparable import families, members
from attacks.recover.own_reading import mean_logprob, read
from attacks.recover.verify_answers import verdicts
from configs.errors import ConfigError
from configs.ranges import at_least, more_than
from lm.examples import Examples

HOLDOUTS = ("public", "checked")


@dataclass(frozen=True)
class Reweight(Recover):
    """Weights trace i by w_i = exp(β clip(v_i)) / mean, v_i being the derivative of its loss along the holdout's gradient:
    the best response of a student whose distance from the naive one is bounded (the paper's adaptive student).

    With ℓ_i the mean negative log-likelihood of the tokens of trace i under the attacker's model before any query and g the
    gradient of the holdout's, a step on trace i takes η⟨∇ℓ_i, g⟩ off the holdout's loss. So v_i = ⟨∇ℓ_i, g/‖g‖⟩, by central
    differences [ℓ_i(θ + εg/‖g‖) − ℓ_i(θ − εg/‖g‖)] / 2ε, and a trace like the holdout is weighted up. The authors' code has
    the difference the other way round, which weights it down; it also leaves g as long as it is and clips at 10.

    Their holdout is traces of the undefended teacher, which no attacker has. Public rows are what everybody has; where the
    base was trained on them it has little left to learn, and their gradient says little. Harvested rows that the checker
    accepts say more of the task, and carry what the defense did to them.

    Here v is taken in standard deviations from its mean within a family, and weights are 1 on average there, so that one β
    means about the same for other models, and no family is learnt more or less than the attacker asked for it. Rows from
    elsewhere, and rows that teach the model nothing, keep their weight, as all do where there is nothing to hold out or its
    gradient vanishes. A backward pass over the holdout and two forward passes over all rows are counted in no budget.

    Args:
        beta: β, at least 0; 0 changes nothing.
        clip: largest |v| that counts, in standard deviations.
        holdout: "public" rows, or "checked": harvested ones that the attacker's own checker accepts.
        holdout_rows: most of these.
        epsilon: ε, positive.
    """

    name: ClassVar[str] = "reweight"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Allouah et al. 2026, arXiv 2605.22737 (adaptive student; and the authors' code)"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    beta: float = 1.0
    clip: float = 3.0
    holdout: Literal["public", "checked"] = "public"
    holdout_rows: int = 512
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        at_least(self, 0, "beta")
        more_than(self, 0, "clip", "epsilon")
        at_least(self, 1, "holdout_rows")
        if self.holdout not in HOLDOUTS:
            raise ConfigError("holdout", self.holdout, "is nothing that can be held out", HOLDOUTS)

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. All rows stay, in their order."""
        if self.beta == 0 or not (data.item >= 0).any():
            return data
        value = self._values(data, context)
        weight = np.ones(len(data), np.float32)
        for group in members(np.where(np.isnan(value), -1, families(data, context))):
            raised = np.exp(self.beta * np.clip(standardised(value[group]), -self.clip, self.clip))
            weight[group] = raised / raised.mean()
        return data.with_weight(data.weight * weight[data.completions.row_of_value])

    def _values(self, data: Examples, context: RecoverContext) -> NDArray[np.float64]:
        """(B,) v_i before it is standardised; NaN where there is none."""
        from lm.directional import both_sides, holdout_gradient

        assert context.student is not None
        value = np.full(len(data), np.nan)
        held, (rows, origin) = read(self._held_out(data, context), context).rows, read(data, context)
        if not len(rows) or not held.weight.any():
            return value
        lm = context.student()
        try:
            direction = holdout_gradient(lm, held)
        except ValueError:  # it vanishes: nothing that is learnt matters to the holdout
            return value
        plus, minus = (mean_logprob(side, rows) for side in both_sides(lm, direction, self.epsilon))
        value[origin] = (minus - plus) / (2 * self.epsilon)
        return value

    def _held_out(self, data: Examples, context: RecoverContext) -> Examples:
        if self.holdout == "public":
            return context.public(self.holdout_rows)
        accepted = np.flatnonzero([right is True for right in verdicts(data, context)])
        return data.take(np.sort(context.rng.permutation(accepted)[: self.holdout_rows]))


def standardised(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) in standard deviations from the mean; zeros where all are alike."""
    deviation = float(value.std())
    return (value - value.mean()) / deviation if deviation > 1e-12 else np.zeros(len(value))
