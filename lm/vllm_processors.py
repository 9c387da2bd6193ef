"""Logits processors of defenses inside vLLM's own processes, where nothing of this one is. Imported by vLLM alone. Not run
here: written after the interface of ``vllm.v1.sample.logits_processor``.

A processor that can be made anew there says so by a method ``for_engine()``: the function that makes it, as ``module:name``,
and that function's arguments, both plain values, which travel with each request (``SamplingParams.extra_args``).
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor

from lm.rows import left_padded

OWN = "moatbench"
"""Under which a request carries its processors: a list of what ``for_engine`` gave, in JSON."""
PAD = -1
"""Fills rows on the left: no token, so that a processor which is told so takes none for it."""


class OwnProcessors(LogitsProcessor):
    """Gives each request's scores to the processors that it carries, in order.

    vLLM calls it before it divides by the temperature τ; processors of defenses are given log p/τ, normalised. So what they
    return is multiplied by τ, which gives the same distribution.
    """

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._rows: dict[int, tuple[Any, list[int], list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """Greedy answers change too."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Which request is in which line: those that left, that came, that moved, in this order."""
        if batch_update is None:
            return
        for line in batch_update.removed:
            self._rows.pop(line, None)
        for line, params, prompt, said in batch_update.added:
            self._rows.pop(line, None)
            if OWN in (params.extra_args or {}):
                self._rows[line] = params, list(prompt or ()), said
        for one, other, direction in batch_update.moved:
            first, second = self._rows.pop(one, None), self._rows.pop(other, None)
            if first is not None:
                self._rows[other] = first
            if second is not None and direction.name == "SWAP":
                self._rows[one] = second

    def apply(self, logits: Tensor) -> Tensor:
        """Logits (B, V), changed in place."""
        groups: dict[str, list[int]] = {}
        for line, (params, _, _) in self._rows.items():
            groups.setdefault(params.extra_args[OWN], []).append(line)
        for told, lines in groups.items():
            texts = [np.array([*self._rows[line][1], *self._rows[line][2]], np.int32) for line in lines]
            ids = left_padded(texts, PAD, logits.device)[0]
            tau = torch.tensor([[self._rows[line][0].temperature or 1.0] for line in lines], device=logits.device)
            scores = torch.log_softmax(logits[lines].float() / tau, -1)
            for processor in _processors(told):
                scores = processor(ids, scores)
            logits[lines] = (scores * tau).to(logits.dtype)
        return logits


@lru_cache(maxsize=64)
def _processors(told: str) -> tuple[Any, ...]:
    made = []
    for entry in json.loads(told):
        module, _, name = entry["make"].partition(":")
        made.append(getattr(import_module(module), name)(**entry["with"], pad=PAD))
    return tuple(made)
