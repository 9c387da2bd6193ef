"""Learn how sold probabilities were changed, and undo it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.knowledge import Level
from attacks.recover.posterior_pairs import SoldPairs, undone
from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples
from lm.later import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(frozen=True)
class InvertPosterior(Recover):
    """D-DAE's recovery: a network of two hidden layers maps what is sold of a token to what the teacher believes, trained on
    pairs that the attacker makes himself, and is put on everything that was sold to him.

    The pairs are the probabilities of a shadow model and what the defense, as he knows it, makes of them
    (`attacks.knowledge.Rehearsed`). With y' the k sold probabilities in the order in which they are listed and the mass of
    all other tokens, the loss is the cross-entropy −Σ y log softmax(f(y')) over the same k + 1 bins, minimal at the mean of
    y given y'. The paper maps a class to itself; a token means something else after every prompt, and here its place in the
    list stands for the class. What depends on which token it is (noise drawn for each, a gradient) cannot be undone.

    Where nothing that was tried out came back with its own tokens, or no probabilities are sold, rows stay as they are.

    Args:
        width: of the hidden layers.
        epochs: over the pairs, in batches of 4,096 by Adam at ``lr``, which is halved five times on the way.
        lr: of Adam.
    """

    name: ClassVar[str] = "invert_posterior"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Chen et al. 2023 (D-DAE), IEEE S&P; network and loss as in the code of Tang et al. 2024 (ModelGuard), CCS"
    )
    adaptive: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    rehearses: ClassVar[Level] = "method"
    checks: ClassVar[bool] = False

    width: int = 64
    epochs: int = 50
    lr: float = 3e-3

    def __post_init__(self) -> None:
        at_least(self, 1, "width", "epochs")
        require(self.lr > 0, "lr", self.lr, "must be positive")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        seed = int(context.rng.integers(2**62))
        return undone(data, context, lambda pairs, sold: self._recovered(pairs, sold, seed))

    def _recovered(self, pairs: SoldPairs, sold: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
        """(N, C) what the network says of sold bins."""
        rng = torch.Generator().manual_seed(seed)
        served, clean = (torch.from_numpy(side.astype(np.float32)) for side in pairs)
        network = _network(served.shape[1], self.width, rng)
        optimizer = torch.optim.Adam(network.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, max(1, self.epochs // 6), 0.5)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(served), generator=rng).split(4096):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(_seen(served[rows])), clean[rows]).backward()
                optimizer.step()
            schedule.step()
        with torch.no_grad():
            said: NDArray[np.float64] = (
                network(_seen(torch.from_numpy(sold.astype(np.float32)))).softmax(1).double().numpy()
            )
        return said


def _seen(probs: Tensor) -> Tensor:
    """(B, 2C) the network's view of bins: probabilities and, since most are near 0, their logarithms."""
    return torch.cat([probs, (probs + 1e-6).log() / 10], 1)


def _network(bins: int, width: int, rng: torch.Generator) -> Module:
    """Two hidden layers, drawn from this generator."""
    layers = (torch.nn.Linear(2 * bins, width), torch.nn.Linear(width, width), torch.nn.Linear(width, bins))
    with torch.no_grad():
        for layer in layers:
            bound = layer.in_features**-0.5
            layer.weight.uniform_(-bound, bound, generator=rng)
            layer.bias.uniform_(-bound, bound, generator=rng)
    relu = torch.nn.ReLU
    return torch.nn.Sequential(layers[0], relu(), layers[1], relu(), layers[2])
