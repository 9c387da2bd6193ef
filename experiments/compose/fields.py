"""Overrides of single fields, set as Hydra sets them: ``a.b=1``, ``+a.b=1``, ``++a.b=1``, ``~a.b``. Knows no groups."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict


class RefusedError(Exception):
    """An override that Hydra refuses too; its errors are the ones to show."""


def set_fields(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Change a configuration in place.

    Raises:
        RefusedError, OmegaConfBaseException: one of them cannot be set; those before it are.
    """
    for override in overrides:
        if override.package is not None or override.is_sweep_override():
            raise RefusedError
        if override.is_delete():
            _delete(config, override)
        else:
            _set(config, override)


def _delete(config: DictConfig, override: Override) -> None:
    value, found = override.value(), OmegaConf.select(config, override.key_or_group)
    if found is None or (value is not None and value != found):
        raise RefusedError
    parent, _, last = override.key_or_group.rpartition(".")
    with open_dict(config):
        del (OmegaConf.select(config, parent) if parent else config)[last]


def _set(config: DictConfig, override: Override) -> None:
    key, value = override.key_or_group, override.value()
    known = not override.is_add() or isinstance(value, (dict, list)) or OmegaConf.select(config, key) is None
    if not known:
        raise RefusedError
    OmegaConf.update(config, key, value, merge=True, force_add=override.is_add() or override.is_force_add())
