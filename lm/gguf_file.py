"""GGUF files as they are loaded: checks before, and what is forgotten after. `lm.gguf` fetches and converts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.extras import needs


def check_file(file: Path) -> None:
    """Raise `ConfigError` unless ``file`` is a GGUF file and can be read here."""
    if not file.is_file():
        raise ConfigError("path", str(file), "no such file; `python -m lm.gguf fetch-smollm2 DIR` fetches a small one")
    needs("gguf", "path", str(file))
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ConfigError("path", str(file), "is not a GGUF file")


def forget_quantization(model: Any) -> Any:
    """Take a dequantised model for what it is, so that it can be trained, wrapped by peft and saved."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        delattr(model.config, "quantization_config")
    model.is_quantized = False
    return model
