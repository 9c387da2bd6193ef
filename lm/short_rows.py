"""How a model attends while it is trained. On a CPU the gradient of PyTorch's fused attention takes several times as long as
that of plain matrix products where rows are short; plain products keep all scores, so that long rows need the fused one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lm.grouped import FUSED, GROUPED, attention_of
from lm.learnt_logits import KINDS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONGEST = 256
"""Tokens of a row up to which plain products are taken."""
PLAIN = "eager"


@contextmanager
def attending(model: PreTrainedModel, longest: int) -> Iterator[None]:
    """Meanwhile a model of transformers' own attends in the way that trains quicker.

    Args:
        model: on any device; on others than a CPU, and where something else than the fused way was chosen, nothing changes.
        longest: tokens of the longest row.
    """
    own = type(model).__module__.startswith(KINDS)
    fused = attention_of(model)
    if not own or fused not in (FUSED, GROUPED) or longest > LONGEST or model.device.type != "cpu":
        yield
        return
    model.set_attn_implementation(PLAIN)
    try:
        yield
    finally:
        model.set_attn_implementation(fused)
