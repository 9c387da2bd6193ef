"""What the last word of a line of overrides can become: groups and their choices, fields and their present values, paths.

Knows neither commands nor sweeps nor which words are experiments.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence

from hydra.errors import HydraException
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import MoatBenchError
from experiments.compose.config_files import ConfigFiles
from experiments.compose.hydra_session import HydraSession

SIGNS = "+~"
"""Before a word: something is added, or removed."""


def suggested(word: str, others: Sequence[str], hydra: HydraSession, root: str) -> list[str]:
    """All words that begin like this one.

    Args:
        word: as far as it is typed.
        others: overrides of the same cell that came before it, without sweeps.
        hydra: an open session.
        root: the configuration that is composed.
    """
    key, equals, value = word.partition("=")
    sign, name = (key[0], key[1:]) if key[:1] and key[0] in SIGNS else ("", key)
    files = hydra.files(others)
    if value.startswith((".", "/")):
        found = [f"{key}={path}" for path in glob.glob(f"{glob.escape(value)}*")]
    elif equals and (options := files.options(name)):
        found = [f"{key}={option}" for option in options]
    else:
        groups = [] if equals else [f"{sign}{group}" for group in _groups(name, files)]
        found = [*groups, *_fields(key, equals, others, hydra, root)]
    return sorted({one for one in found if one.startswith(word)})


def _groups(name: str, files: ConfigFiles) -> Iterator[str]:
    """Groups beside the one that is being typed: ``attack=`` to choose from it, ``attack/`` to go on to those within."""
    parent, slash, _ = name.rpartition("/")
    for inner in files.groups(parent):
        group = f"{parent}{slash}{inner}"
        yield from (f"{group}=" for _ in files.options(group)[:1])
        yield from (f"{group}/" for _ in files.groups(group)[:1])


def _fields(key: str, equals: str, others: Sequence[str], hydra: HydraSession, root: str) -> Iterator[str]:
    """Fields beside the one that is being typed, those that have others within with a dot; a whole one's present value."""
    try:
        config = hydra.compose(others, root)
        parent, dot, _ = key.rpartition(".")
        node = OmegaConf.select(config, key if equals else parent) if equals or dot else config
    except (HydraException, OmegaConfBaseException, MoatBenchError, ValueError):
        return  # another word is wrong: it will be said when the line is run
    if equals and node is not None and not isinstance(node, Container):
        yield f"{key}={str(node).lower() if isinstance(node, bool) else node}"
    elif not equals and isinstance(node, Container):
        names = node if isinstance(node, DictConfig) else range(len(node))
        inner = OmegaConf.to_container(node)
        for name in names:
            value = inner[name]  # a mapping by name, a list by place
            yield f"{parent}{dot}{name}{'.' if isinstance(value, (dict, list)) else '='}"
