"""A YAML file of a configuration as text, and whether it can be one: read by Hydra, a broken file is a traceback, and one
whose aliases multiply is never read to its end. Knows nothing of what the fields mean.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError, require

MOST_NODES = 100_000
"""Values that a file may come to once its aliases are written out."""


def text_of(place: ConfigSource, path: str) -> str:
    """The text of ``PATH.yaml`` in a place of the search path; raises `ConfigError` where it is not UTF-8."""
    if place.scheme() == "pkg":
        module, *folders = place.path.split("/")
        content = resources.files(module).joinpath(*folders, f"{path}.yaml").read_bytes()
    else:
        content = (Path(place.path) / f"{path}.yaml").read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}.yaml", place.full_path(), f"is not UTF-8 at byte {error.start}") from error


def check_yaml(place: ConfigSource, path: str) -> None:
    """Refuse a file that is no mapping.

    Args:
        place: of the search path.
        path: of the file in it, without ``.yaml``.

    Raises:
        ConfigError: no UTF-8, a mistake of syntax with its line, a key that is there twice, a list or a text instead of a
            mapping, aliases that come to more than `MOST_NODES` values.
    """
    text, name, where = text_of(place, path), f"{path}.yaml", place.full_path()
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is None:
            return
        require(isinstance(tree, yaml.MappingNode), name, where, "must be a mapping: lines of FIELD: VALUE")
        size = _size(tree, {})
        require(
            size <= MOST_NODES, name, where, f"comes to {size:,} values, more than {MOST_NODES:,}, with its aliases"
        )
        OmegaConf.create(text)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, ValueError) as error:
        raise ConfigError(name, where, f"is not valid YAML ({_reason(error)})") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for; an alias is the very node that it repeats."""
    if id(node) not in known:
        known[id(node)] = MOST_NODES  # a node that holds itself never ends
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = isinstance(node, yaml.MappingNode)
        known[id(node)] = 1 + sum(_size(part, known) for one in inner for part in (one if pairs else (one,)))
    return known[id(node)]


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
