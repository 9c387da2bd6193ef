"""From what Hydra composed to plain containers: the boundary for text that comes from outside a configuration.

What a cell is gets stored, printed and handed on. So nothing of the environment may become part of it: ``${oc.env:...}`` is
for where things lie (`PLACES`) alone, also by way of another field.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, Node, OmegaConf
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
        with _without_environment():
            node = config[name]
            plain[str(name)] = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    require_plain(plain, "")
    return plain


@contextmanager
def _without_environment() -> Iterator[None]:
    refused: list[ConfigError] = []

    def refuse(*_words: Any, _node_: Node) -> str:
        refused.append(ConfigError(str(_node_._get_full_key(None)), _node_._value(), REASON))
        return ""

    OmegaConf.register_new_resolver(ENVIRONMENT, refuse, replace=True)
    try:
        yield
    except OmegaConfBaseException:
        if not refused:
            raise
    finally:
        OmegaConf.register_new_resolver(ENVIRONMENT, oc.env, replace=True)
    if refused:
        raise refused[0]
