"""Trains mini models, several as one program: each member has its own rows, losses, rates, length and order.

What a member learns does not depend on its company: on a CPU members are trained one after another, since stacking them
gains nothing there (docs/performance.md), elsewhere in stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.batch import Batch
from lm.examples import Examples
from lm.mini.configuration import MiniConfig
from lm.mini.modeling import MiniForCausalLM
from lm.mini.packing import pack
from lm.mini.program import forward
from lm.mini.stack import Stack, StackOptimizer
from lm.recipe import Recipe
from lm.timing import timed
from lm.train import Losses, weighed
from lm.types import Progress

MEMORY_SHARE = 0.6
"""Of a GPU's free memory that a stack may take."""


@dataclass(frozen=True)
class Member:
    """One model to be trained.

    Args:
        model: trained in place.
        batches: the rows of a step, by its number from 0.
        losses: what to minimise; members with equal losses are computed at once.
        recipe: how.
        tokens: of a step, at most; decides how many members memory holds.
    """

    model: MiniForCausalLM
    batches: Callable[[int], Examples]
    losses: Losses
    recipe: Recipe
    tokens: int = 4096


def train_mini(
    members: Sequence[Member], pad: int, progress: Progress, size: int | None = None
) -> list[NDArray[np.float32]]:
    """Train models of one shape and one kind of optimizer, each in place, in stacks.

    Args:
        members: at least one.
        pad: id of the padding token.
        progress: told after each step; steps of stacks that come one after another are added up.
        size: members of a stack; None takes what the device holds, 1 on a CPU.

    Returns:
        Of each member, in their order, the (steps,) loss of each step's rows before the step was taken.
    """
    order = sorted(range(len(members)), key=lambda i: members[i].tokens)  # like sizes leave little padding in a stack
    size = size or stack_size(members)
    stacks = [order[at : at + size] for at in range(0, len(order), size)]
    lengths = [max(members[i].recipe.steps for i in stack) for stack in stacks]
    losses: dict[int, NDArray[np.float32]] = {}
    for i, stack in enumerate(stacks):
        told = _Part(progress, sum(lengths[:i]), sum(lengths))
        losses |= zip(stack, train_stack([members[m] for m in stack], pad, told), strict=True)
    return [losses[i] for i in range(len(members))]


@dataclass(frozen=True)
class _Part:
    """Progress of one stack among several."""

    progress: Progress
    before: int
    total: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before + done, self.total, note)


def stack_size(members: Sequence[Member]) -> int:
    """How many of these members the free memory of their device holds at once; 1 on a CPU."""
    model = members[0].model
    if model.device.type != "cuda":
        return 1
    config: MiniConfig = model.config
    per_token = config.num_hidden_layers * (16 * config.hidden_size + 4 * config.intermediate_size)
    per_token += 4 * config.vocab_size
    weights = 6 * sum(parameter.numel() for parameter in model.parameters())
    each = 4 * (weights + per_token * max(member.tokens for member in members))
    free, _ = torch.cuda.mem_get_info(model.device)
    return int(max(1, free * MEMORY_SHARE // each))


@timed("training")
def train_stack(members: Sequence[Member], pad: int, progress: Progress) -> list[NDArray[np.float32]]:
    """Train models of one shape and one kind of optimizer as one; members may end at different steps.

    Args:
        members: at least one.
        pad: id of the padding token.
        progress: told after each step of the longest.

    Returns:
        As `train_mini`.
    """
    stack = Stack([member.model for member in members])
    optimizer = StackOptimizer(stack, [member.recipe for member in members])
    alive = list(members)
    at = torch.arange(len(members))  # whom of the members each one alive is
    total = max(member.recipe.steps for member in members)
    # Kept on the device, so that no step waits for its loss.
    losses_GS = torch.zeros(len(members), total, device=stack.device)
    for step in range(total):
        packed = pack([member.batches(step) for member in alive], pad, stack.device)
        logits_GMV, back = forward(stack, packed)
        loss_G, slope_GMV = _slope(alive, logits_GMV, packed.batch)
        losses_GS[at, step] = loss_G
        back(slope_GMV)
        optimizer.step(stack, step)
        progress(step + 1, total, f"loss {float(loss_G.mean()):.3f}" if step % 10 == 0 else "")
        left = [g for g, member in enumerate(alive) if member.recipe.steps > step + 1]
        if len(left) == len(alive):
            continue
        for g in set(range(len(alive))) - set(left):
            stack.write(g, alive[g].model)
        alive = [alive[g] for g in left]
        kept = torch.tensor(left, dtype=torch.int64, device=stack.device)
        stack.keep(kept)
        optimizer.keep(kept)
        at = at[left]
    return [losses_GS[g, : member.recipe.steps].cpu().numpy() for g, member in enumerate(members)]


def _slope(members: Sequence[Member], logits_GMV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Each member's weighted mean loss, and its gradient by the member's logits."""
    leaf = logits_GMV.requires_grad_()
    groups: dict[Losses, list[int]] = {}
    for g, member in enumerate(members):
        groups.setdefault(member.losses, []).append(g)
    mean_G = leaf.new_zeros(len(members))
    for losses, places in groups.items():
        all_of_them = len(places) == len(members)
        at = torch.tensor(places, device=leaf.device)
        part = batch if all_of_them else Batch._make(None if t is None else t[at] for t in batch)
        loss_GM, weight_GM = weighed(losses, leaf if all_of_them else leaf[at], part)
        mean_G = mean_G.index_add(0, at, (loss_GM * weight_GM).sum(1) / weight_GM.sum(1).clamp_min(1e-9))
    (slope,) = torch.autograd.grad(mean_G.sum(), leaf)
    return mean_G.detach(), slope
