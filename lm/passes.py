"""Forward passes of language models, counted: those of the model that answers, and those of all others that run on its way.
Knows no defenses.

Nothing is counted unless somebody collects (`counting`). Counted is what one text costs whatever batch it is in, so that the
same texts give the same numbers for any batch size: a forward pass is one text going through one model once, and of a batch
only the texts that still grow count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lm.later import torch

if TYPE_CHECKING:
    from torch import nn

DECODE, RELEASE = "decode", "release"
"""Places where other models may run: while the answering model samples, and before an answer leaves."""


@dataclass
class Passes:
    """What was counted.

    Args:
        tokens: that the answering model drew, one forward pass of it each.
        work: positions that it read, times its parameters.
        extra: forward passes of all other models.
        extra_work: positions that those read, times their parameters.
        seconds: spent where other models may run, by the name of the place; wall clock.
    """

    tokens: int = 0
    work: float = 0.0
    extra: float = 0.0
    extra_work: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def extra_per_token(self) -> float | None:
        """Extra forward passes per drawn token; None where nothing was drawn."""
        return self.extra / self.tokens if self.tokens else None

    @property
    def extra_compute(self) -> float | None:
        """Work of all other models as a share of the answering model's; None where nothing was drawn."""
        return self.extra_work / self.work if self.work else None


class _Tally:
    """Passes in the making: whose turn it is, and whether the present call is counted already."""

    def __init__(self) -> None:
        self.passes = Passes()
        self.share: float | None = None  # None while the answering model runs
        self.inside = 0
        self._sizes: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()

    def add(self, model: nn.Module, rows: int, positions: float) -> None:
        if model not in self._sizes:
            self._sizes[model] = sum(p.numel() for p in model.parameters())
        work = float(positions) * self._sizes[model]
        if self.share is None:
            self.passes.tokens += rows
            self.passes.work += work
        else:
            self.passes.extra += rows * self.share
            self.passes.extra_work += work * self.share


_tally: ContextVar[_Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting() -> Iterator[Passes]:
    """Count meanwhile in this thread; complete when the block is left.

    Every call of a transformers model is seen, whoever makes it, copies and models of a defense's own included; of models
    within models the outermost counts.
    """
    from transformers import PreTrainedModel

    tally = _Tally()

    def begins(module: nn.Module, args: tuple[Any, ...]) -> None:
        if _tally.get() is tally and isinstance(module, PreTrainedModel):
            tally.inside += 1

    def ended(module: nn.Module, args: tuple[Any, ...], *more: Any) -> None:
        if _tally.get() is tally and isinstance(module, PreTrainedModel):
            tally.inside -= 1
            given, output = (
                more if len(more) == 2 else ({}, None)
            )  # torch leaves the keywords out of a call that failed
            if tally.inside == 0 and output is not None:
                tally.add(module, *_read(args, given))

    hooks = torch.nn.modules.module
    before = hooks.register_module_forward_pre_hook(begins)
    after = hooks.register_module_forward_hook(ended, with_kwargs=True, always_call=True)
    token = _tally.set(tally)
    try:
        yield tally.passes
    finally:
        _tally.reset(token)
        before.remove()
        after.remove()


def counted() -> bool:
    """Whether somebody counts in this thread."""
    return _tally.get() is not None


@contextmanager
def by_others(place: str, share: float = 1.0) -> Iterator[None]:
    """Whatever model runs meanwhile is not the one that answers.

    Args:
        place: under which its seconds are counted, where it is not inside another.
        share: of the batch's texts that count; the others have ended, and are read along by whoever sees the whole batch.
    """
    tally = _tally.get()
    if tally is None:
        yield
        return
    outer, inside, start = tally.share, tally.inside, time.perf_counter()
    tally.share, tally.inside = share if outer is None else outer * share, 0
    try:
        yield
    finally:
        tally.share, tally.inside = outer, inside
        if outer is None:
            taken = time.perf_counter() - start
            tally.passes.seconds[place] = tally.passes.seconds.get(place, 0.0) + taken


@contextmanager
def reading(model: nn.Module, rows: int, positions: int) -> Iterator[None]:
    """One forward pass of so many texts, however it is computed (compiled kernels call no module).

    Args:
        model: whose.
        rows: texts that count.
        positions: of them that are read.
    """
    tally = _tally.get()
    if tally is None:
        yield
        return
    if tally.inside == 0:
        tally.add(model, rows, positions)
    tally.inside += 1
    try:
        yield
    finally:
        tally.inside -= 1


def _read(args: tuple[Any, ...], given: Mapping[str, Any]) -> tuple[int, float]:
    """Rows of a call, and how many positions they have without padding."""
    named = (given[name] for name in ("input_ids", "inputs_embeds") if given.get(name) is not None)
    ids = next(named, args[0] if args else None)
    if ids is None:
        return 1, 1
    mask = given.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return ids.shape[0], ids.shape[0] * ids.shape[1]
    return ids.shape[0], float(mask[:, -ids.shape[1] :].sum())
