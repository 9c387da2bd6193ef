"""From what Hydra composed to plain containers: the boundary for text that comes from outside a configuration.

What a cell is gets stored, printed and handed on. So nothing of the environment may become part of it: ``${oc.env:...}`` is
for where things lie (`PLACES`) alone, also by way of another field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from configs.errors import ConfigError
from configs.text import require_plain

PLACES = ("store", "out")
"""Parts that may be taken from the environment: neither is stored."""

ENVIRONMENT = "oc.env"

REASON = (
    f"reads the environment, and would be stored and printed: write the value itself (only {' and '.join(PLACES)} may read "
    "it; wandb and Hugging Face find their keys in the environment by themselves)"
)


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration in plain containers, all interpolations resolved.

    Raises:
        ConfigError: a part other than `PLACES` reads the environment, or a text has control characters.
        OmegaConfBaseException: something does not resolve.
    """
    plain: dict[str, Any] = {}
    for name in config:
        if OmegaConf.is_missing(config, name):
            plain[str(name)] = "???"
            continue
        if name in PLACES:
            plain[str(name)] = config[name]
            continue
        with _without_environment(config):
            node = config[name]
            plain[str(name)] = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    require_plain(plain, "")
    return plain


@contextmanager
def _without_environment(config: DictConfig) -> Iterator[None]:
    refused: list[str] = []

    def refuse(*words: Any) -> str:
        refused.append(str(words))
        raise LookupError  # OmegaConf says where

    OmegaConf.register_new_resolver(ENVIRONMENT, refuse, replace=True)
    try:
        yield
    except OmegaConfBaseException as error:
        if not refused:
            raise
        raise ConfigError(str(error.full_key), _written(config, str(error.full_key)), REASON) from None
    finally:
        OmegaConf.register_new_resolver(ENVIRONMENT, oc.env, replace=True)
    if refused:
        raise ConfigError("command line", refused[0], REASON)


def _written(config: DictConfig, key: str) -> str:
    """A field as it was written, unresolved."""
    node = OmegaConf.to_container(config)
    for name in re.findall(r"[^.\[\]]+", key):
        node = node.get(name) if isinstance(node, dict) else node[int(name)] if isinstance(node, list) else node
    return str(node)
