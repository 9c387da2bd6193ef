"""Float32 masters of weights in half precision: a step of a usual rate is smaller than the distance of two neighbours there
and would be rounded away. As in mixed-precision training (Micikevicius et al., arXiv 1710.03740, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Masters:
    """What an optimizer moves, in float32, for weights of any format.

    Attributes:
        moved: for each parameter, in their order, itself where it is float32, or its master.

    Args:
        parameters: in training.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.moved = [p if p.dtype == torch.float32 else nn.Parameter(p.detach().float()) for p in parameters]
        self._pairs = [(p, m) for p, m in zip(parameters, self.moved, strict=True) if m is not p]
        self._of = {id(p): m for p, m in self._pairs}

    def of(self, parameter: nn.Parameter) -> nn.Parameter:
        """What is moved for a parameter."""
        return self._of.get(id(parameter), parameter)

    def take_gradients(self) -> None:
        """The masters get the parameters' gradients, which these give up."""
        for parameter, master in self._pairs:
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """The parameters become what their masters are, rounded."""
        for parameter, master in self._pairs:
            parameter.copy_(master)
