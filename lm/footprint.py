"""Memory of a pretrained model in use, from its configuration alone: what a plan is told before anything is loaded.

Bytes that a token takes were counted operation by operation on Llama as transformers computes it; see the constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lm.batches import LOGITS_PER_BATCH

if TYPE_CHECKING:
    from lm.checkpoint import Checkpoint

ROW = 128
"""Tokens of a prompt and its response, where nothing is known of them."""
LOGIT = 16
"""Bytes of one logit on its way to a token: as computed, in float32, normalised, and as a probability."""
LEARNT_LOGIT = 20
"""The same on the way to a loss and back."""
HALF_LEARNT_LOGIT = 6
"""The same in half precision, where losses of what was said are computed in slices (`lm.half_entropy`)."""
LEARNT = 0.5
"""Share of the tokens of a row that is learnt, where nothing is known of them."""
GROWTH = 1.5
"""Of the cache, which has room to grow (`lm.roomy`)."""


@dataclass(frozen=True)
class Footprint:
    """One model; all sizes in bytes.

    Args:
        weights: all of them.
        layers, hidden, inner, cached, vocabulary: numbers of layers, of places of a token in them and inside their
            feed-forward part, of keys and values of a token in a layer, and of logits.
        number: of one number.
    """

    weights: int
    layers: int
    hidden: int
    inner: int
    cached: int
    vocabulary: int
    number: int

    def sampling(self, batch_tokens: int) -> int:
        """Weights, cache, one layer's activations and logits of the largest batch."""
        rows = max(1, min(batch_tokens // ROW, LOGITS_PER_BATCH // self.vocabulary))
        cache = int(GROWTH * self.layers * self.cached * self.number)
        layer = self.number * (8 * self.hidden + 3 * self.inner) + 12 * self.hidden
        return self.weights + batch_tokens * (cache + layer) + rows * self.vocabulary * LOGIT

    def fit(self, tokens: int, trained: int, computes: int) -> int:
        """The model as it was and its copy, gradients and two moments of what is trained, and of the largest micro-batch the
        activations of all layers and the logits.

        Args:
            tokens: of the largest micro-batch.
            trained: bytes of the weights that are trained.
            computes: bytes of a number in matrix products.
        """
        layer = computes * (16 * self.hidden + 4 * self.inner) + 24 * self.hidden
        copies = self.weights // 2 if computes < self.number else 0
        logits = int(LEARNT * self.vocabulary * (LEARNT_LOGIT if self.number == 4 else HALF_LEARNT_LOGIT))
        kept = (
            3 if self.number == 4 else 9
        )  # gradient and two moments; of half precision also a master and its gradient
        return 2 * self.weights + kept * trained + copies + tokens * (self.layers * layer + logits)


def footprint_of(checkpoint: Checkpoint, changes: dict[str, int]) -> Footprint | None:
    """Of a local folder; None for other paths, or where the configuration does not say what is needed.

    Args:
        checkpoint: where it is.
        changes: entries of its configuration that are different.
    """
    weights = checkpoint.weight_bytes(changes)
    if not weights or not Path(checkpoint.path).expanduser().is_dir():
        return None
    config = checkpoint.config(changes).get_text_config(decoder=True)
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    size = int(getattr(config, "head_dim", None) or hidden // heads)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    number = 4 if checkpoint.dtype == "float32" else 2
    return Footprint(
        weights, int(config.num_hidden_layers), hidden, inner, 2 * kept * size, int(config.vocab_size), number
    )
