"""One training loop for teachers, base students and students: what is learnt is in the batches and the loss.

A step's rows are cut into micro-batches of similar length whose weighted losses are added up and divided by the weights of
all, so a step costs its real tokens rather than its padding while every step still mixes all lengths. Knows no task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from lm.batch import Batch, collate
from lm.examples import Examples
from lm.fitting import Fitting
from lm.learnt_logits import learnt_logits
from lm.masters import Masters
from lm.optim import Muon
from lm.recipe import Recipe
from lm.room import MOST, tokens_that_fit
from lm.short_rows import attending
from lm.timing import timed
from lm.types import Progress

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from transformers import PreTrainedModel

Losses = Callable[[Tensor, Batch], tuple[Tensor, Tensor]]
"""Loss and weight of each target, (B, T) both, from logits (B, T, V); see `student.objectives.base.Objective.losses`."""

MICRO_COST = 250
"""Tokens' worth of time that a further micro-batch costs; decides how finely a step is cut."""


@timed("training")
def train(
    model: PreTrainedModel,
    batches: Callable[[int], Examples],
    losses: Losses,
    recipe: Recipe,
    pad: int,
    progress: Progress,
) -> NDArray[np.float32]:
    """Train ``model`` in place and leave it in evaluation mode.

    Args:
        model: any causal language model.
        batches: the rows of a step, by its number from 0.
        losses: what to minimise the weighted mean of; called once a micro-batch.
        recipe: how.
        pad: id of the padding token.
        progress: told after each step.

    Returns:
        (steps,) the loss of each step's rows before the step was taken.
    """
    trainer = Trainer(model, losses, recipe, pad)
    curve = np.zeros(recipe.steps, np.float32)
    model.train()
    fitting = Fitting(model, trainer, curve)
    for step in range(recipe.steps):
        rows = batches(
            step
        )  # those of a step that was taken before are drawn too: the order of what follows depends on it
        if step < fitting.first:
            continue
        curve[step] = trainer.step(rows)
        note = f"loss {curve[step]:.3f}" if step % 10 == 0 else ""
        progress(step + 1, recipe.steps, fitting.after(step, rows) or note)
    model.eval()
    return curve


class Trainer:
    """A model in training, one step at a time; in place, and whether it is in training mode is the caller's.

    Args:
        model, losses, recipe, pad: as in `train`.
    """

    def __init__(self, model: PreTrainedModel, losses: Losses, recipe: Recipe, pad: int) -> None:
        self._model, self._losses, self._recipe, self._pad = model, losses, recipe, pad
        self._device = next(model.parameters()).device
        self._masters = Masters([p for p in model.parameters() if p.requires_grad])
        self._optimizers = _optimizers(model, recipe, self._masters)
        self._highest = [[group["lr"] for group in o.param_groups] for o in self._optimizers]
        self._done = 0

    def _micro_tokens(self, rows: Examples) -> int:
        """As many as fit, found by trying the longest of these rows; nothing is learnt meanwhile."""
        lengths = rows.prompts.lengths + rows.completions.lengths
        longest, whole = np.array([int(lengths.argmax())]), replace(self._recipe, micro_tokens=MOST)

        def tried(units: int) -> int:
            part = rows.take(np.repeat(longest, units))
            _backward(self._model, part, self._losses, whole, self._pad, self._device)
            return units * int(lengths.max())

        found = tokens_that_fit(tried, self._device)
        self._model.zero_grad()
        return found

    def state(self) -> dict[str, Tensor]:
        """All that a step depends on besides its rows: the weights in training, and what the optimizers know."""
        found = {f"weight.{i}": weight.detach() for i, weight in enumerate(self._masters.moved)}
        for o, optimizer in enumerate(self._optimizers):
            for i, known in optimizer.state_dict()["state"].items():
                found |= {f"optimizer.{o}.{i}.{name}": value for name, value in known.items()}
        return {**found, "done": torch.tensor(self._done), "micro_tokens": torch.tensor(self._recipe.micro_tokens)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> int:
        """Go on from a `state`; the steps that were taken."""
        for i, weight in enumerate(self._masters.moved):
            weight.copy_(state[f"weight.{i}"])
        self._masters.give_weights()
        for o, optimizer in enumerate(self._optimizers):
            known: dict[int, dict[str, Tensor]] = {}
            for place in (name.split(".") for name in state if name.startswith(f"optimizer.{o}.")):
                known.setdefault(int(place[2]), {})[place[3]] = state[".".join(place)]
            optimizer.load_state_dict({**optimizer.state_dict(), "state": known})
        self._recipe = replace(self._recipe, micro_tokens=int(state["micro_tokens"]))
        self._done = int(state["done"])
        return self._done

    def step(self, rows: Examples) -> float:
        """Take one step on these rows; returns their loss before it."""
        with attending(self._model, int((rows.prompts.lengths + rows.completions.lengths).max(initial=0))):
            if not self._recipe.micro_tokens:
                self._recipe = replace(self._recipe, micro_tokens=self._micro_tokens(rows))
            loss = _backward(self._model, rows, self._losses, self._recipe, self._pad, self._device)
        self._masters.take_gradients()
        if self._recipe.clip:
            nn.utils.clip_grad_norm_(self._masters.moved, self._recipe.clip, foreach=True)
        for optimizer, rates in zip(self._optimizers, self._highest, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._recipe.rate(self._done)
            optimizer.step()
            optimizer.zero_grad()
        self._masters.give_weights()
        self._done += 1
        return loss


def _backward(
    model: PreTrainedModel, rows: Examples, losses: Losses, recipe: Recipe, pad: int, device: torch.device
) -> float:
    """Accumulate the gradient of the step's weighted mean loss; returns that loss.

    What all targets weigh is known after the last micro-batch only, since an objective may weigh them by their logits. Until
    then the rows' own weights (without their signs, which an advantage has) stand in for it, so that sums stay of the size
    of a mean.
    """
    about = float(np.abs(rows.weight).sum())
    shown = weight = 0.0
    for part in micro_batches(rows.prompts.lengths + rows.completions.lengths - 1, recipe.micro_tokens):
        batch = collate(rows, part, pad, device)
        if float(batch.weight_BT.abs().sum()) <= 0:
            continue
        with torch.autocast(
            device.type, getattr(torch, recipe.computes_in or "bfloat16"), enabled=bool(recipe.computes_in)
        ):
            logits_BTV, batch = learnt_logits(model, batch)
        loss_BT, weight_BT = weighed(losses, logits_BTV, batch)
        value = (loss_BT * weight_BT).sum() / about
        value.backward()
        shown += float(value.detach())
        weight += float(weight_BT.sum())
    scale = about / max(weight, 1e-9)
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(scale)
    return shown * scale


def weighed(losses: Losses, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Loss and weight of each target, (B, T) both, as every program of training takes them: weights are numbers that no
    gradient goes through, and what the rows do not give to learn weighs nothing."""
    loss_BT, weight_BT = losses(logits_BTV, batch)
    return loss_BT, weight_BT.detach() * (batch.weight_BT != 0)


def micro_batches(lengths: NDArray[np.int64], micro_tokens: int) -> list[NDArray[np.int64]]:
    """Row indices sorted by length and cut where that saves the most padding, by dynamic programming: a part costs its rows
    x its longest row, plus `MICRO_COST`."""
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) + 1  # a cut inside equal lengths saves nothing
    best, cut = [0.0], [0]
    starts = np.r_[0, ends]
    for i, end in enumerate(ends, start=1):
        costs = np.array(best) + (end - starts[:i]) * ordered[end - 1] + MICRO_COST
        cut.append(int(costs.argmin()))
        best.append(float(costs.min()))
    parts: list[NDArray[np.int64]] = []
    i = len(ends)
    while i > 0:
        part = order[starts[cut[i]] : starts[i]]
        most = max(1, micro_tokens // max(1, int(ordered[starts[i] - 1])))
        parts += [part[at : at + most] for at in range(0, len(part), most)]
        i = cut[i]
    return parts


def epochs(examples: Examples, recipe: Recipe, rng: np.random.Generator) -> Callable[[int], Examples]:
    """Batches that go through all rows in a new random order each epoch; call with consecutive steps. A batch may span two
    epochs, so that every step has ``recipe.batch_size`` rows."""
    pool = np.arange(len(examples))
    if recipe.balance:
        learnt = np.bincount(examples.completions.row_of_value, examples.weight > 0, len(examples))
        pool = np.repeat(pool, np.maximum(1, np.rint(learnt.mean() / np.maximum(learnt, 1))).astype(np.int64))

    def stream() -> Iterator[NDArray[np.int64]]:
        left = np.zeros(0, np.int64)
        while True:
            while len(left) < recipe.batch_size:
                left = np.concatenate([left, rng.permutation(pool)])
            yield left[: recipe.batch_size]
            left = left[recipe.batch_size :]

    rows = stream()
    return lambda step: examples.take(next(rows))


def _optimizers(model: PreTrainedModel, recipe: Recipe, masters: Masters) -> list[Optimizer]:
    """Of the masters: Muon for the matrices inside blocks and AdamW elsewhere, or AdamW for all."""
    ends = {id(layer.weight) for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    stacked: dict[int, int] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inner = parameter.ndim == 2 and id(parameter) not in ends and "mix" not in name
        moved = masters.of(parameter)
        (matrices if inner else others).append(moved)
        if name.endswith("qkv.weight"):
            stacked[id(moved)] = 3
    if recipe.optimizer == "adamw":
        groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return [AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), fused=True)]
    found: list[Optimizer] = []
    if matrices:
        found.append(Muon(matrices, recipe.lr, weight_decay=recipe.weight_decay, stacked=stacked))
    if others:
        found.append(AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True))
    return found
