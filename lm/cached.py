"""A causal language model that goes on from what it has read. The one place that knows what transformers calls a cache.

Until 5.23 a model takes and returns it as ``past_key_values``, from 5.24 on as ``cache``; the old name is understood until
5.40. A model that is given the wrong one often takes it among its ``**kwargs`` and starts anew at each token, without an
error. So the name is read off the model, and a model that has neither is refused.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

if TYPE_CHECKING:
    from lm.roomy import RoomyCache

NAMES = ("cache", "past_key_values")
"""New and old; a model that takes both is given the new one."""

RETURNED = next(name for name in NAMES if name in {field.name for field in fields(CausalLMOutputWithPast)})
"""What the installed version calls the cache in a model's output."""


class CachedModel:
    """A model and its cache of the B texts that it has read so far.

    Args:
        model: any causal language model of transformers.
        cache: empty, to be filled; the model makes its own where there is none.

    Raises:
        TypeError: the model takes no cache.
    """

    def __init__(self, model: PreTrainedModel, cache: RoomyCache | None = None) -> None:
        self._model = model
        self._takes = inspect.signature(model.forward).parameters
        names = [name for name in NAMES if name in self._takes]
        if not names:
            raise TypeError(f"{type(model).__name__} takes its cache neither as {' nor as '.join(NAMES)}")
        self._name: str = names[0]
        self._cache: Any = cache

    def read(self, ids_Bt: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, V) logits of each text's next token, in the model's own precision.

        Args:
            ids_Bt: the next t tokens.
            mask_BT: 0 on the left padding and 1 on all tokens, those already read included.

        Raises:
            TypeError: the model returned no cache.
        """
        inputs: dict[str, Any] = {
            "input_ids": ids_Bt,
            "attention_mask": mask_BT,
            "use_cache": True,
            self._name: self._cache,
        }
        if "position_ids" in self._takes:
            inputs["position_ids"] = (mask_BT.cumsum(1) - 1).clamp_min(0)[:, -ids_Bt.shape[1] :]
        if "logits_to_keep" in self._takes:
            inputs["logits_to_keep"] = 1
        output = self._model(**inputs)
        self._cache = next((output[name] for name in NAMES if name in output), None)
        if self._cache is None:
            raise TypeError(f"{type(self._model).__name__} returned no cache, so it cannot go on from what it has read")
        logits: Tensor = output.logits[:, -1]
        return logits

    def keep(self, lines: Tensor) -> None:
        """Go on with these texts alone, in that order."""
        assert self._cache is not None
        self._cache.reorder_cache(lines)

    def spread(self, rows: Tensor) -> None:
        """Go on with these texts, which may repeat some; of a roomy cache."""
        self._cache.spread(rows)

    def move(self, source: Tensor, target: Tensor, rows: int) -> None:
        """Put texts in the places of others, and go on with the first ``rows``; of a roomy cache."""
        self._cache.move(source, target, rows)

    def forget(self) -> None:
        """Start anew."""
        self._cache = None
