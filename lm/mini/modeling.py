"""The mini architecture: a small decoder that is an ordinary transformers model (``generate``, ``Trainer``, ``peft``).

RoPE (arXiv 2104.09864), RMSNorm, squared ReLU (Primer, arXiv 2109.08668), zero-initialised output projections, and a
causal depthwise 4-tap mix before the attention projections (a form of Primer's convolutions that costs 3·d parameters).
Knows nothing of any task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from lm.cached import RETURNED
from lm.mini.cache import MiniCache
from lm.mini.configuration import MiniConfig
from lm.mini.kernels import TAPS, CausalMix, RMSNorm, SquaredReLU

NOTHING_ASKED = {"return_dict": True, "output_attentions": False, "output_hidden_states": False}
"""Arguments that transformers passes to every model, with the value that changes nothing here."""
FOLLOWS = ("cache_position",)
"""What older versions of transformers say besides, and the cache knows by itself."""


class Attention(nn.Module):
    """Multi-head causal attention over mixed inputs."""

    mixer: nn.Module | None

    def __init__(self, config: MiniConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, config.num_attention_heads
        self.mix = nn.Parameter(torch.zeros(TAPS, config.hidden_size))
        self.register_module("mixer", None)  # in place of `mix`, where several models are one (`lm.ensemble`)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, angle: Tensor, mask: Tensor | None, cache: MiniCache | None) -> Tensor:
        """x (B, T, d), angle (B or 1, T, 1, D/2) complex, mask (B, 1, T, S) additive or None for plain causal."""
        b, t, d = x.shape
        seen = x if cache is None else cache.mixed(self.layer, x, TAPS)
        mixed = CausalMix.apply(seen, self.mix) if self.mixer is None else self.mixer(seen)
        qkv = self.qkv(mixed[:, -t:]).view(b, t, 3, self.heads, d // self.heads)
        qk = torch.view_as_real(torch.view_as_complex(qkv[:, :, :2].unflatten(-1, (-1, 2))) * angle[:, :, None])
        q, k = qk.flatten(-2).permute(2, 0, 3, 1, 4)
        v = qkv[:, :, 2].transpose(1, 2)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and t > 1)
        out: Tensor = self.out(attended.transpose(1, 2).reshape(b, t, d))
        return out


class MiniBlock(nn.Module):
    """Attention and a squared-ReLU feed-forward layer, each after a norm and added to the stream."""

    def __init__(self, config: MiniConfig, layer: int) -> None:
        super().__init__()
        self.eps = config.rms_norm_eps
        self.attention = Attention(config, layer)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(
        self, x: Tensor, angle: Tensor, mask: Tensor | None, real: Tensor | None, cache: MiniCache | None
    ) -> Tensor:
        """``real`` (B, T, 1) is 0 on left padding, so that it does not leak through the mix; None without any."""
        normed = RMSNorm.apply(x, self.eps)
        x = x + self.attention(normed if real is None else normed * real, angle, mask, cache)
        out: Tensor = x + self.down(SquaredReLU.apply(self.up(RMSNorm.apply(x, self.eps))))
        return out


class MiniForCausalLM(PreTrainedModel, GenerationMixin):
    """Embedding, blocks, norm, untied output head."""

    config_class = MiniConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = False
    _no_split_modules: ClassVar[list[str]] = ["MiniBlock"]
    _supports_sdpa = True

    def __init__(self, config: MiniConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList([MiniBlock(config, i) for i in range(config.num_hidden_layers)])
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embed

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.embed = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        """The output head."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the output head."""
        self.lm_head = cast(nn.Linear, new_embeddings)

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: `initialize` draws the weights from an explicit generator, and loaded weights need no draw."""

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> MiniForCausalLM:
        """Draw fresh weights in place: N(0, 1/d) embeddings and inputs, zero outputs and head."""
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight", "lm_head.weight", "mix")):
                parameter.zero_()
            else:
                parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=generator)
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        cache: Any = None,
        num_items_in_batch: Tensor | int | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """See transformers' causal language models; ``labels`` are shifted inside and -100 is ignored.

        Args:
            input_ids: (B, t) tokens, or ``inputs_embeds`` in their place.
            attention_mask: (B, T) 0 on padding.
            position_ids: (B or 1, t), counted without left padding if None.
            past_key_values: the cache, by the name that it has before transformers 5.24.
            inputs_embeds: (B, t, d).
            labels: (B, t).
            use_cache: whether to go on from a cache and to return one.
            logits_to_keep: how many of the last positions get logits, 0 for all.
            cache: the cache, by its name from transformers 5.24 on.
            num_items_in_batch: labels that `Trainer` divides the loss by, in place of those that are here.
            others: what transformers passes to every model, as long as it asks for nothing.

        Raises:
            TypeError: an argument asks for what this model does not do, or the two names give different caches.
        """
        _asks_for_nothing(others)
        if cache is not None and past_key_values is not None and cache is not past_key_values:
            raise TypeError("`cache` and `past_key_values` are two names of one argument, and two caches were given")
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        cache = self._cache(past_key_values if cache is None else cache) if use_cache else None
        past = 0 if cache is None else cache.get_seq_length()
        t = x.shape[1]
        if position_ids is None:
            position_ids = self._positions(attention_mask, past, t, x.device)
        mask, real = self._masks(attention_mask, past, x)
        angle = self._angle(position_ids)
        for block in self.blocks:
            x = block(x, angle, mask, real, cache)
        logits = self.lm_head(RMSNorm.apply(x[:, -logits_to_keep:] if logits_to_keep else x, self.config.rms_norm_eps))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, num_items_in_batch=num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{RETURNED: cache})

    def _cache(self, given: Any) -> MiniCache:
        """The given cache, or a new one in place of None or of the empty cache that ``generate`` makes."""
        if isinstance(given, MiniCache):
            return given
        if given is not None and given.get_seq_length() > 0:
            raise TypeError(f"a mini model goes on only from a MiniCache, not from {type(given).__name__}")
        return MiniCache(self.config.num_hidden_layers)

    @staticmethod
    def _positions(attention_mask: Tensor | None, past: int, t: int, device: torch.device) -> Tensor:
        """(B or 1, T) position of each new token, left padding not counted."""
        if attention_mask is None:
            return torch.arange(past, past + t, device=device)[None]
        return (attention_mask.cumsum(1) - 1).clamp_min(0)[:, -t:]

    @staticmethod
    def _masks(attention_mask: Tensor | None, past: int, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Additive attention mask (B, 1, T, S) and token mask (B, T, 1); None where plain causal attention does: with
        right padding no real token looks at a padded one."""
        if attention_mask is None or bool(attention_mask[:, 0].all()):
            if past == 0 or x.shape[1] == 1:
                return None, None
            attention_mask = torch.ones(x.shape[0], past + x.shape[1], device=x.device)
        seen = attention_mask.bool()
        t, s = x.shape[1], seen.shape[1]
        causal = torch.ones(t, s, dtype=torch.bool, device=x.device).tril(s - t)
        visible = seen[:, None, None, :] & causal
        visible = visible | ~visible.any(-1, keepdim=True)  # a padded query sees all, so that its softmax is finite
        mask = torch.zeros(visible.shape, dtype=x.dtype, device=x.device).masked_fill(~visible, -torch.inf)
        return mask, seen[:, -t:, None].to(x.dtype)

    def _angle(self, position_ids: Tensor) -> Tensor:
        """(B or 1, T, 1, D/2) complex rotations."""
        half = self.config.hidden_size // self.config.num_attention_heads // 2
        at = torch.arange(half, dtype=torch.float32, device=position_ids.device)
        phase = position_ids[:, :, None, None].float() * self.config.rope_theta ** (-at / half)
        return torch.polar(torch.ones_like(phase), phase)


def _asks_for_nothing(others: Mapping[str, Any]) -> None:
    """Refuse what would be lost in silence: an argument that a later version renames, or that this model lacks."""
    asked = [name for name, value in others.items() if value is not None and name not in FOLLOWS]
    unknown = [name for name in asked if others[name] is not NOTHING_ASKED.get(name)]
    if unknown:
        raise TypeError(f"a mini model knows no argument {', '.join(f'{name}={others[name]!r}' for name in unknown)}")


AutoConfig.register(MiniConfig.model_type, MiniConfig)
AutoModelForCausalLM.register(MiniConfig, MiniForCausalLM)
