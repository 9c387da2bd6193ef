"""How large a mini model is, without building one."""

from __future__ import annotations

from tasks.mini.words import WORDS

VOCABULARY = -(-(len(WORDS) + 4) // 8) * 8
"""Words of the mini world and special tokens, rounded up to a multiple of 8."""
TAPS = 3
"""Tokens that a block mixes before attention."""
WORLD = 120_000_000
"""Bytes, measured: tables of the world and what sampling a whole harvest takes."""
TRAINED = 16
"""Bytes of a weight with its gradient and an optimizer's two averages, all in float32."""
ROW, TOKENS = 2_000, 20
"""Bytes of a training row with its prompt and response, and its tokens, at least."""
ACTIVATIONS = 48
"""Bytes that a token leaves behind in each layer and each of its d places for the way back: queries, keys, values, the
output of attention and twice the four-fold feed-forward layer, in float32."""


def weight_count(width: int, layers: int) -> int:
    """Weights: embedding and head, and in each layer attention (4·d²), the feed-forward layer (8·d²) and the mix of taps."""
    return 2 * VOCABULARY * width + layers * (12 * width**2 + TAPS * width)


def memory_of(width: int, layers: int, rows: int, micro_tokens: int) -> int:
    """Bytes that training takes at least, with so many rows a step and at most ``micro_tokens`` in the model at a time."""
    activations = ACTIVATIONS * width * layers * min(TOKENS * rows, micro_tokens)
    return WORLD + TRAINED * weight_count(width, layers) + ROW * rows + activations
