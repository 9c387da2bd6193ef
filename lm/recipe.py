"""How a model is trained, as configuration: steps, batches, optimizer and rates. Trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from configs.errors import ConfigError, require


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        steps: optimizer steps.
        batch_size: rows a step.
        optimizer: ``muon`` (block matrices by Muon, the rest by AdamW) or ``adamw``.
        lr: learning rate of the block matrices under ``muon``, of everything under ``adamw``.
        other_lr: learning rate of embeddings, head, norms and mixes under ``muon``.
        warmup: share of the steps over which the rate rises linearly.
        decay: share of the steps over which it falls linearly to ``floor``.
        floor: last rate as a share of the highest.
        weight_decay: decoupled weight decay on matrices.
        clip: largest gradient norm; 0 does not clip.
        balance: repeat short rows within an epoch, so that a row of a quarter of the mean number of learnt tokens is seen
            four times; for mixtures in which an answer of three words is as much worth learning as a page.
        micro_tokens: most padded tokens in a micro-batch, for memory.
    """

    steps: int = 250
    batch_size: int = 80
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 0.01
    other_lr: float = 0.01
    warmup: float = 0.04
    decay: float = 0.6
    floor: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    balance: bool = False
    micro_tokens: int = 16_384

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            require(getattr(self, name) >= 1, f"recipe.{name}", getattr(self, name), "must be at least 1")
        least, reason = (0, "must be at least 1, or 0 for what fits") if self.measures else (1, "must be at least 1")
        require(self.micro_tokens >= least, "recipe.micro_tokens", self.micro_tokens, reason)
        for name in ("lr", "other_lr"):
            require(getattr(self, name) > 0, f"recipe.{name}", getattr(self, name), "must be positive")
        for name in ("warmup", "decay", "floor"):
            require(0 <= getattr(self, name) <= 1, f"recipe.{name}", getattr(self, name), "must be in [0, 1]")
        for name in ("weight_decay", "clip"):
            require(getattr(self, name) >= 0, f"recipe.{name}", getattr(self, name), "must be at least 0")
        if self.optimizer not in ("muon", "adamw"):
            raise ConfigError("recipe.optimizer", self.optimizer, "unknown optimizer", ("muon", "adamw"))

    @property
    def measures(self) -> bool:
        """Whether ``micro_tokens`` may be 0: as many as fit are then found by trying."""
        return False

    @property
    def computes_in(self) -> str:
        """Number format of the matrix products where that is another than the weights', "" where it is not."""
        return ""

    def rate(self, step: int) -> float:
        """Share of the highest learning rate at ``step`` (from 0)."""
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return rise * (self.floor + (1 - self.floor) * fall)
