"""Models of one mini architecture stacked into one set of tensors, and the optimizer of the stack.

Two flat buffers hold all weights of all members: matrices inside blocks, which Muon updates, and the rest, which AdamW
updates; every named weight is a view, so that an update is a handful of operations however many weights there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lm.mini.configuration import MiniConfig
from lm.mini.modeling import MiniForCausalLM
from lm.optim import orthogonalised
from lm.recipe import Recipe

MOMENTUM = 0.95
BETAS = (0.9, 0.95)
EPS = 1e-8


@dataclass
class Buffer:
    """(G, n) numbers and, by name, views (G, *shape) of them."""

    flat: Tensor
    views: dict[str, Tensor]

    @classmethod
    def zeros(cls, members: int, shapes: dict[str, torch.Size], device: torch.device) -> Buffer:
        """All 0."""
        flat = torch.zeros(members, sum(shape.numel() for shape in shapes.values()), device=device)
        views, at = {}, 0
        for name, shape in shapes.items():
            views[name] = flat[:, at : at + shape.numel()].view(members, *shape)
            at += shape.numel()
        return cls(flat, views)

    def keep(self, members: Tensor) -> Buffer:
        """A copy with these members only."""
        shapes = {name: view.shape[1:] for name, view in self.views.items()}
        kept = Buffer.zeros(len(members), shapes, self.flat.device)
        kept.flat.copy_(self.flat[members])
        return kept


class Stack:
    """Weights and gradients of G models of one shape.

    Args:
        models: at least one; they are copied.
    """

    def __init__(self, models: Sequence[MiniForCausalLM]) -> None:
        first = models[0]
        self.config: MiniConfig = first.config
        shapes = {name: parameter.shape for name, parameter in first.named_parameters()}
        inner = {name: shape for name, shape in shapes.items() if is_matrix(name)}
        outer = {name: shape for name, shape in shapes.items() if name not in inner}
        self.matrices = Buffer.zeros(len(models), inner, first.device)
        self.others = Buffer.zeros(len(models), outer, first.device)
        self.matrix_grads = Buffer.zeros(len(models), inner, first.device)
        self.other_grads = Buffer.zeros(len(models), outer, first.device)
        for g, model in enumerate(models):
            for name, parameter in model.named_parameters():
                self[name][g].copy_(parameter.detach())

    def __len__(self) -> int:
        return len(self.matrices.flat)

    def __getitem__(self, name: str) -> Tensor:
        """(G, *shape) weights of that name."""
        return self.matrices.views[name] if name in self.matrices.views else self.others.views[name]

    def grad(self, name: str) -> Tensor:
        """(G, *shape) gradient of that name."""
        return self.matrix_grads.views[name] if name in self.matrix_grads.views else self.other_grads.views[name]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.matrices.flat.device

    @torch.no_grad()
    def write(self, member: int, model: MiniForCausalLM) -> None:
        """Copy one member's weights into a model."""
        for name, parameter in model.named_parameters():
            parameter.copy_(self[name][member])

    def keep(self, members: Tensor) -> None:
        """Drop all members but these."""
        self.matrices, self.others = self.matrices.keep(members), self.others.keep(members)
        self.matrix_grads, self.other_grads = self.matrix_grads.keep(members), self.other_grads.keep(members)


def is_matrix(name: str) -> bool:
    """Whether Muon updates a weight: the matrices inside blocks."""
    return name.startswith("blocks.") and name.endswith(".weight")


class StackOptimizer:
    """Muon for matrices and AdamW for the rest, or AdamW for all; rates, decay and clipping by member.

    Computes what `lm.train` does with `lm.optim.Muon` and `torch.optim.AdamW` for each member alone.

    Args:
        stack: what is trained.
        recipes: one a member, all with the same optimizer.
    """

    def __init__(self, stack: Stack, recipes: Sequence[Recipe]) -> None:
        kinds = {recipe.optimizer for recipe in recipes}
        assert len(kinds) == 1, kinds
        self.muon = kinds == {"muon"}
        self.recipes = list(recipes)
        self._momentum = torch.zeros_like(stack.matrices.flat) if self.muon else None
        buffers = [stack.others] if self.muon else [stack.others, stack.matrices]
        self._moments = [[torch.zeros_like(b.flat), torch.zeros_like(b.flat)] for b in buffers]
        self._step = 0

    def keep(self, members: Tensor) -> None:
        """Drop all members but these."""
        self.recipes = [self.recipes[int(i)] for i in members]
        self._momentum = None if self._momentum is None else self._momentum[members]
        self._moments = [[m[members] for m in pair] for pair in self._moments]

    @torch.no_grad()
    def step(self, stack: Stack, step: int) -> None:
        """One update of all members from their gradients, which are spoilt."""
        share = [recipe.rate(step) for recipe in self.recipes]
        self._clip(stack)
        self._step += 1
        main = self._column(stack, [r.lr * s for r, s in zip(self.recipes, share, strict=True)])
        decay = self._column(stack, [r.weight_decay for r in self.recipes])
        if self.muon:
            other = self._column(stack, [r.other_lr * s for r, s in zip(self.recipes, share, strict=True)])
            self._adamw(stack.others.flat, stack.other_grads.flat, self._moments[0], other)
            if any(recipe.weight_decay for recipe in self.recipes):
                stack.matrices.flat.mul_(1 - main * decay)
            self._muon(stack, main)
            return
        self._adamw(stack.others.flat, stack.other_grads.flat, self._moments[0], main)
        stack.matrices.flat.mul_(1 - main * decay)
        self._adamw(stack.matrices.flat, stack.matrix_grads.flat, self._moments[1], main)

    @staticmethod
    def _column(stack: Stack, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).to(stack.device, non_blocking=True)[:, None]

    def _clip(self, stack: Stack) -> None:
        """Scale each member's gradient to at most its recipe's norm (0: leave it)."""
        if not any(recipe.clip for recipe in self.recipes):
            return
        limit = self._column(stack, [recipe.clip or float("inf") for recipe in self.recipes])
        grads = (stack.matrix_grads.flat, stack.other_grads.flat)
        norms = [torch.linalg.vector_norm(grad, dim=1, keepdim=True) for grad in grads]
        scale = (limit / (torch.hypot(*norms) + 1e-6)).clamp_max(1.0)
        for grad in grads:
            grad.mul_(scale)

    def _adamw(self, weights: Tensor, grads: Tensor, moments: list[Tensor], rate: Tensor) -> None:
        first, second = moments
        first.lerp_(grads, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(grads, grads, value=1 - BETAS[1])
        down = second.sqrt().div_((1 - BETAS[1] ** self._step) ** 0.5).add_(EPS)
        weights.sub_((first / down).mul_(rate / (1 - BETAS[0] ** self._step)))

    def _muon(self, stack: Stack, rate_G1: Tensor) -> None:
        """Nesterov momentum, orthogonalised by shape over all members, scaled by √max(1, rows/columns)."""
        assert self._momentum is not None
        grads = stack.matrix_grads.flat
        average = self._momentum.lerp_(grads, 1 - MOMENTUM)
        grads.lerp_(average, MOMENTUM)
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for name, weight in stack.matrices.views.items():
            parts = 3 if name.endswith("qkv.weight") else 1
            members, rows, columns = len(weight), weight.shape[1] // parts, weight.shape[2]
            update = stack.matrix_grads.views[name].view(members, parts, rows, columns)
            entry = weight.view(members, parts, rows, columns), update
            by_shape.setdefault((min(rows, columns), max(rows, columns)), []).append(entry)
        rate = rate_G1[:, :, None, None]
        for entries in by_shape.values():
            flat = [(u if u.shape[2] <= u.shape[3] else u.mT).flatten(0, 1) for _, u in entries]
            outs = orthogonalised(torch.cat(flat)).split([len(u) for u in flat])
            for (weight, update), out in zip(entries, outs, strict=True):
                rows, columns = weight.shape[2:]
                turned = (out if rows <= columns else out.mT).view_as(update)
                weight.sub_(turned * (rate * max(1.0, rows / columns) ** 0.5))
