"""A key-value cache with room to grow, whose finished texts make place for others. Knows no texts.

transformers' own cache grows by concatenation: every token copies all keys and values, which took 12 % of a step of
SmolLM2-135M with 64 texts of 150 tokens; and leaving out a few texts copies those of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

GROWTH = 1.5
"""Of a buffer that is full: every key is then copied twice at most on average, however long a text gets."""
LEAST = 64
"""Positions by which a buffer grows at least."""


class RoomyLayer(DynamicLayer):
    """Keys and values (B, H, T, D) of one layer, views into larger buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self._buffers: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (B, H, t, D) keys and values; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, total = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[2] < total:
            room = max(total + LEAST, int(GROWTH * before))
            held = (self.keys, self.values) if before else ()
            self._buffers = [s.new_empty(*s.shape[:2], room, s.shape[3]) for s in (key_states, value_states)]
            for buffer, old in zip(self._buffers, held, strict=False):
                buffer[:, :, :before] = old
        rows = key_states.shape[0]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:rows, :, before:total] = new
        self._view(rows, total)
        return self.keys, self.values

    def copied(self) -> RoomyLayer:
        """Another one of the same texts, which goes on by itself."""
        other = RoomyLayer()
        if self.get_seq_length():
            other.lazy_initialization(self.keys, self.values)
            other.keys, other.values = self.keys, self.values
        return other

    def gather(self, parts: Sequence[RoomyLayer], texts: Sequence[Tensor]) -> None:
        """Hold the texts of all parts, those of part i in the places ``texts[i]``; what they read last is in one column, and
        zeros stand before shorter ones."""
        total, rows = max(part.get_seq_length() for part in parts), sum(map(len, texts))
        first = parts[0]
        self.lazy_initialization(first.keys, first.values)
        for name in ("keys", "values"):
            held = [getattr(part, name) for part in parts]
            buffer = held[0].new_zeros(rows, held[0].shape[1], total + LEAST, held[0].shape[3])
            for at, part in zip(texts, held, strict=True):
                buffer[at, :, total - part.shape[2] : total] = part
            self._buffers.append(buffer)
        self._view(rows, total)

    def spread(self, rows: Tensor) -> None:
        """Go on with the texts ``rows`` (B,), which may repeat some."""
        if self.get_seq_length():
            self.keys, self.values = self.keys[rows], self.values[rows]
            self._buffers = []

    def move(self, source: Tensor, target: Tensor, rows: int) -> None:
        """Put some texts in the places of others, and go on with the first ``rows``."""
        if self.get_seq_length():
            total = self.get_seq_length()
            if not self._buffers:
                self._buffers = [self.keys, self.values]
            for buffer in self._buffers:
                buffer[target, :, :total] = buffer[source, :, :total]
            self._view(rows, total)

    def _view(self, rows: int, total: int) -> None:
        self.keys, self.values = (buffer[:rows, :, :total] for buffer in self._buffers)


class RoomyCache(DynamicCache):
    """Such layers for every layer of a model.

    Args:
        config: of the model, one of `is_plain`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self._config = config
        self.layers: Any = [RoomyLayer() for _ in DynamicCache(config=config).layers]

    def copied(self) -> RoomyCache:
        """See `RoomyLayer.copied`."""
        other = RoomyCache(self._config)
        other.layers = [layer.copied() for layer in self.layers]
        return other

    def gather(self, parts: Sequence[RoomyCache], texts: Sequence[Tensor]) -> None:
        """See `RoomyLayer.gather`; this one is empty before, and the parts are empty after."""
        for i, layer in enumerate(self.layers):
            layer.gather([part.layers[i] for part in parts], texts)
            for part in parts:
                part.layers[i] = RoomyLayer()

    def spread(self, rows: Tensor) -> None:
        """See `RoomyLayer.spread`."""
        for layer in self.layers:
            layer.spread(rows)

    def move(self, source: Tensor, target: Tensor, rows: int) -> None:
        """See `RoomyLayer.move`."""
        for layer in self.layers:
            layer.move(source, target, rows)


def is_plain(config: Any) -> bool:
    """Whether all layers of a model keep keys and values of all that they have read, and nothing else."""
    layers = DynamicCache(config=config).layers
    return len(layers) > 0 and all(type(layer) is DynamicLayer for layer in layers)
