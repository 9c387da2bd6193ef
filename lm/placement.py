"""Where a pretrained model's weights are put and in how many bits they are held: one device, all GPUs, or quantised. Knows
no files. Several GPUs and quantised weights on a GPU have not been run here, where there is no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from configs.errors import ConfigError, require
from configs.extras import needs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SPREAD = "gpus"
"""The device of this name is all GPUs there are: whole layers of the model, one GPU after the other."""
DEVICES = ("auto", "cpu", "cuda", "mps", SPREAD)
BITS = {"8bit": 8.0, "4bit": 4.5}
"""Ways to quantise, and bits of a weight with its share of the scales (one float32 for 64 weights of 4 bits)."""


def check_placement(device: str, quantize: str, path: str) -> None:
    """Refuse what cannot be loaded in this way, from the configuration alone.

    Raises:
        ConfigError: an unknown way to quantise, weights that are quantised already, or a package that is missing.
    """
    if device == SPREAD:
        needs("accelerate", "device", device)
    if not quantize:
        return
    if quantize not in BITS:
        raise ConfigError("quantize", quantize, "is not a way to quantise weights", BITS)
    gguf = path.endswith(".gguf")
    require(
        not gguf, "quantize", quantize, "a .gguf file is quantised already, and dequantised on loading: give its folder"
    )
    for package in ("bitsandbytes", "accelerate"):
        needs(package, "quantize", quantize, "quantize")


def single_device(device: str) -> torch.device:
    """The device where a model's inputs go; of several GPUs the first.

    Raises:
        ConfigError: it is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == SPREAD:
        require(torch.cuda.is_available(), "device", device, "needs a GPU, and torch finds none here")
        return torch.device("cuda:0")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("device", device, "is not available here", DEVICES) from error


def loading(device: str, quantize: str, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that put weights in their place while they are read; {} where that is done later
    (`placed`)."""
    if not quantize and device != SPREAD:
        return {}
    where = single_device(device)
    found: dict[str, Any] = {"device_map": "auto" if device == SPREAD else {"": str(where)}}
    return found | ({"quantization_config": _bits(quantize, dtype)} if quantize else {})


def placed(model: PreTrainedModel, device: str) -> PreTrainedModel:
    """The model where it belongs; one that was put there while it was read stays."""
    if getattr(model, "hf_device_map", None) or getattr(model, "is_quantized", False):
        return model
    if device != SPREAD:
        return model.to(single_device(device))
    from accelerate import dispatch_model, infer_auto_device_map

    single_device(device)
    whole = getattr(model, "_no_split_modules", None)
    spread: PreTrainedModel = dispatch_model(
        model, infer_auto_device_map(model, no_split_module_classes=list(whole or ()))
    )
    return spread


def held_bytes(model: PreTrainedModel, quantize: str = "") -> int:
    """Size of the weights; quantised are the matrices of all linear layers but the head."""
    whole = {id(p): float(p.numel() * p.element_size()) for p in model.parameters()}
    head = model.get_output_embeddings()
    for module in model.modules() if quantize else ():
        if module is not head and isinstance(module, (nn.Linear, Conv1D)):
            whole[id(module.weight)] = module.weight.numel() * BITS[quantize] / 8
    return int(sum(whole.values()))


def _bits(quantize: str, dtype: torch.dtype) -> Any:
    """NF4 with compute in ``dtype`` (Dettmers et al., arXiv 2305.14314), or LLM.int8 (arXiv 2208.07339)."""
    from transformers import BitsAndBytesConfig

    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
