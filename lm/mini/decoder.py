"""Decoding with a mini model on a CPU by compiled kernels: no padding, and a cache that is never copied.

Each text has a slot of fixed size in the cache for its rotated keys, its values and the last inputs of the causal mix; a
text that ends is simply not asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.mini import fused, fused_attention
from lm.mini.kernels import TAPS
from lm.mini.modeling import MiniForCausalLM
from lm.mini.rotation import rotation


class FusedDecoder:
    """See `lm.decoder.Decoder`.

    Args:
        model: on the CPU, in float32, heads a multiple of `fused_attention.LANES`.
        contexts: B texts, none empty.
        room: tokens that a text may grow by; one that grows beyond it doubles the cache, which is copied once then.
    """

    def __init__(self, model: MiniForCausalLM, contexts: Sequence[NDArray[np.int32]], room: int) -> None:
        config = model.config
        self._heads, self._width, self._eps = (
            config.num_attention_heads,
            config.hidden_size,
            np.float32(config.rms_norm_eps),
        )
        self._weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self._layers = config.num_hidden_layers
        self._length = np.array([len(context) for context in contexts], np.int64)
        self._tokens = torch.from_numpy(np.concatenate(contexts).astype(np.int64))
        capacity = -(-(int(self._length.max()) + room) // fused_attention.LANES) * fused_attention.LANES
        self._theta = config.rope_theta
        self._turn(capacity)
        self._keys = np.zeros((self._layers, len(contexts), self._width, capacity), np.float32)
        self._values = np.empty((self._layers, len(contexts), capacity, self._width), np.float32)
        self._taps = np.zeros((self._layers, len(contexts), TAPS, self._width), np.float32)

    def start(self) -> Tensor:
        """See `Decoder.start`."""
        start = np.cumsum(self._length) - self._length
        x = self._weights["embed.weight"][self._tokens]
        for i in range(self._layers):
            normed = self._normed(x)
            fused.last_inputs(normed, start, self._length, self._taps[i])
            mixed = torch.empty_like(x)
            fused.mix(normed, self._weights[f"blocks.{i}.attention.mix"].numpy(), start, self._length, mixed.numpy())
            qkv = mixed @ self._weights[f"blocks.{i}.attention.qkv.weight"].T
            out, lse = torch.empty(len(x), self._width), np.empty(len(x) * self._heads, np.float32)
            rows = (self._heads, self._cos, self._sin, start, self._length)
            fused_attention.attend(qkv.numpy().reshape(-1), *rows, out.numpy().reshape(-1), lse)
            fused_attention.fill(qkv.numpy(), *rows, self._keys[i], self._values[i])
            if i == self._layers - 1:
                last = torch.from_numpy(start + self._length - 1)
                x, out = x[last], out[last]
            x = self._fed(i, torch.addmm(x, out, self._weights[f"blocks.{i}.attention.out.weight"].T))
        return self._logits(x)

    def next(self, lines: NDArray[np.int64], token_b: Tensor) -> Tensor:
        """See `Decoder.next`."""
        if len(lines) and self._length[lines].max() >= len(self._cos):
            self._widen()
        x = self._weights["embed.weight"][token_b]
        for i in range(self._layers):
            normed = self._normed(x)
            mixed = torch.empty_like(x)
            weight = self._weights[f"blocks.{i}.attention.mix"].numpy()
            fused.next_mix(normed, weight, lines, self._taps[i], mixed.numpy())
            qkv = mixed @ self._weights[f"blocks.{i}.attention.qkv.weight"].T
            out = torch.empty(len(x), self._width)
            fused_attention.attend_next(
                qkv.numpy().reshape(-1),
                self._heads,
                self._cos,
                self._sin,
                lines,
                self._length,
                self._keys[i].reshape(-1),
                self._values[i].reshape(-1),
                out.numpy().reshape(-1),
            )
            x = self._fed(i, torch.addmm(x, out, self._weights[f"blocks.{i}.attention.out.weight"].T))
        self._length[lines] += 1
        return self._logits(x)

    def _turn(self, capacity: int) -> None:
        """Rotations of so many positions."""
        cos_TP, sin_TP = rotation(capacity, self._width // self._heads // 2, self._theta)
        self._cos, self._sin = cos_TP.numpy(), sin_TP.numpy()

    def _widen(self) -> None:
        """Twice the capacity."""
        self._turn(2 * len(self._cos))
        self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)], axis=3)
        self._values = np.concatenate([self._values, np.empty_like(self._values)], axis=2)

    def _normed(self, x_Nd: Tensor) -> NDArray[np.float32]:
        """Of torch's own memory, which is aligned: products of matrices may depend on where in memory they lie."""
        y: NDArray[np.float32] = torch.empty_like(x_Nd).numpy()
        fused.norm(x_Nd.numpy(), self._eps, y, np.empty(len(x_Nd), np.float32))
        return y

    def _fed(self, layer: int, x_Nd: Tensor) -> Tensor:
        """The stream after the feed-forward layer."""
        wide = torch.from_numpy(self._normed(x_Nd)) @ self._weights[f"blocks.{layer}.up.weight"].T
        flat = wide.numpy().reshape(-1)
        fused.squared_relu_in_place(flat)
        return torch.addmm(x_Nd, wide, self._weights[f"blocks.{layer}.down.weight"].T)

    def _logits(self, x_Nd: Tensor) -> Tensor:
        return torch.mm(torch.from_numpy(self._normed(x_Nd)), self._weights["lm_head.weight"].T)


def fits(model: object) -> bool:
    """Whether a `FusedDecoder` takes a model."""
    if not isinstance(model, MiniForCausalLM) or model.device.type != "cpu" or model.dtype != torch.float32:
        return False
    plain = model.blocks[0].attention.mixer is None  # type: ignore[union-attr]
    return plain and model.config.hidden_size // model.config.num_attention_heads % fused_attention.LANES == 0
