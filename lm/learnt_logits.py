"""Logits of the targets that are learnt, and of no others: of a vocabulary of tens of thousands, those of prompts and
padding can cost as much as the model. Knows no losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

KINDS = ("transformers.", "peft.")
"""Packages of the models whose output head is a module that is called once, on hidden states (B, T, d)."""


def learnt_logits(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Batch]:
    """Logits (1, M, V) of the M targets of a batch that weigh something, and those targets as a batch of one row.

    Rows are padded on the right and attention is causal: no token that is learnt sees padding, so that there is no attention
    mask, with which attention takes a slower kernel. The model's own work after the head (a soft cap, a scale) is done by
    it.

    Other models than those of `KINDS` give logits (B, T, V) of the whole batch.

    Args:
        model: in training.
        batch: padded rows, at least one target of any weight.
    """
    if not type(model).__module__.startswith(KINDS):
        return model(input_ids=batch.input_BT, attention_mask=batch.mask_BT, use_cache=False).logits, batch
    learnt_BT = batch.weight_BT != 0
    with _only(model.get_output_embeddings(), learnt_BT):
        logits = model(input_ids=batch.input_BT, use_cache=False).logits
    chosen: Any = [None if column is None else column[learnt_BT][None] for column in batch]
    return logits, Batch(*chosen)


@contextmanager
def _only(head: nn.Module, at_BT: Tensor) -> Iterator[None]:
    """Meanwhile the head is given the hidden states of these places, as one row."""

    def few(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args[0][at_BT][None], *args[1:]

    hook = head.register_forward_pre_hook(few)
    try:
        yield
    finally:
        hook.remove()
