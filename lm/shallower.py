"""A pretrained decoder with fewer of its layers: the rest of its weights as they are. Knows nothing of students."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from transformers import AutoModelForCausalLM

from configs.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_IN_A_LAYER = re.compile(r"(\D*\.)(\d+)(\..*)")
"""Of a tensor within a layer: what is before the layer's number, the number, what is after it."""


def kept_layers(whole: int, count: int) -> list[int]:
    """The numbers of ``count`` of ``whole`` layers, evenly spaced, the first and the last among them (of one, the first).

    The first turns embeddings into what layers read and the last writes what the head reads, while neighbours in between
    do much the same (Men et al., arXiv 2403.03853: removing middle layers costs least; Sanh et al., arXiv 1910.01108, start
    DistilBERT from every other layer of BERT). The first ``count`` would leave the head with what it was never given.

    >>> kept_layers(30, 4)
    [0, 10, 19, 29]
    """
    return [int(place) for place in np.linspace(0, whole - 1, count).round()]


def require_layers(config: PreTrainedConfig, count: int) -> None:
    """Refuse more layers than the model has.

    Raises:
        ConfigError: naming how many it has.
    """
    whole = config.num_hidden_layers
    require(count <= whole, "layers", count, f"is more than the model has, which is {whole}; 0 keeps all")


def shallower_config(config: PreTrainedConfig, count: int) -> PreTrainedConfig:
    """The configuration (changed in place) of a model with so many of the layers, at least one.

    Raises:
        ConfigError: there are not so many.
    """
    require_layers(config, count)
    kinds = getattr(config, "layer_types", None)
    if kinds:  # where layers attend in different ways, each keeps its own
        config.layer_types = [kinds[layer] for layer in kept_layers(config.num_hidden_layers, count)]
    config.num_hidden_layers = count
    return config


def shallower(model: PreTrainedModel, config: PreTrainedConfig) -> PreTrainedModel:
    """A new model of this `shallower_config` with the layers of ``model`` that `kept_layers` names."""
    kept = kept_layers(model.config.num_hidden_layers, config.num_hidden_layers)
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    weights, own = model.state_dict(), made.state_dict()
    made.load_state_dict({name: weights[_source(name, kept)] for name in own})
    made.tie_weights()
    made.generation_config = model.generation_config
    return made


def _source(name: str, kept: list[int]) -> str:
    """The name that a tensor of the shallower model has in the whole one."""
    found = _IN_A_LAYER.fullmatch(name)
    return name if found is None else f"{found[1]}{kept[int(found[2])]}{found[3]}"
