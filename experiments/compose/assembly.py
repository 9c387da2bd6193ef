"""Cells put together from parts that are composed once: ``defense=a attack=b seed=3`` is the defense of ``defense=a``, the
attack of ``attack=b`` and the seed of ``seed=3``.

Equal to composing the whole, and a hundred times faster in a large sweep. That needs parts that do not depend on each other:
an `Assembly` gives up, and the whole is composed, where a configuration interpolates (``${...}``), a choice changes another
part too, a whole part is added or removed, or anything fails (the errors of the whole are the ones to show).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.text import require_plain
from experiments.compose.fields import RefusedError, set_fields
from experiments.compose.hydra_session import HydraSession

Plain = Mapping[str, Any]
"""A resolved configuration in plain containers, shared between cells and not to be changed."""


class Assembly:
    """Puts configurations together from parts, each composed once.

    Args:
        hydra: an open session.
        name: of the configuration.
    """

    def __init__(self, hydra: HydraSession, name: str) -> None:
        self._hydra, self._name = hydra, name
        self._wholes: dict[tuple[str, ...], Plain] = {}
        self._parts: dict[tuple[str, ...], Any] = {}
        self._places: dict[str, str] = {}

    def config(self, overrides: Sequence[str]) -> Plain | None:
        """The resolved configuration; None where it has to be composed as a whole."""
        try:
            surroundings, by_part = self._by_part(overrides)
            config = dict(self._whole(surroundings))
            for part, own in by_part.items():
                config[part] = self._part(part, surroundings, tuple(own))
        except (_NotSeparableError, RefusedError, HydraException, OmegaConfBaseException, ValueError):
            return None
        return config

    def _by_part(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], dict[str, list[str]]]:
        surroundings: list[str] = []
        by_part: dict[str, list[str]] = {}
        for override in overrides:
            part = self._places.get(override)
            if part is None:
                part = self._places[override] = _part_of(self._hydra.parse([override])[0])
            (by_part.setdefault(part, []) if part else surroundings).append(override)
        return tuple(surroundings), by_part

    def _whole(self, choices: tuple[str, ...]) -> Plain:
        if choices not in self._wholes:
            self._wholes[choices] = _settled(self._hydra.plain(self._name, choices))
        return self._wholes[choices]

    def _part(self, part: str, surroundings: tuple[str, ...], own: tuple[str, ...]) -> Any:
        key = (part, *surroundings, *own)
        if key not in self._parts:
            self._parts[key] = self._composed(part, surroundings, own)
        return self._parts[key]

    def _composed(self, part: str, surroundings: tuple[str, ...], own: tuple[str, ...]) -> Any:
        choices, fields = self._hydra.split((*surroundings, *own))
        chosen, default = self._whole(choices), self._whole(surroundings)
        if part not in default or part not in chosen or {**chosen, part: None} != {**default, part: None}:
            raise _NotSeparableError
        if not fields:
            return chosen[part]
        alone = OmegaConf.masked_copy(self._hydra.base(self._name, choices), part)
        OmegaConf.set_struct(alone, True)
        set_fields(alone, fields)
        changed = OmegaConf.to_container(alone)
        assert isinstance(changed, dict)
        if list(changed) != [part]:
            raise _NotSeparableError
        return _settled(changed)[part]


class _NotSeparableError(Exception):
    """The parts of a configuration depend on each other."""


def _part_of(override: Override) -> str:
    """The part of a configuration that an override is about; "" for Hydra's own."""
    if override.is_hydra_override():
        return ""
    if override.package is not None:
        raise _NotSeparableError
    key = str(override.key_or_group)
    return key.partition("/")[0].partition(".")[0]


def _settled(plain: Plain) -> Plain:
    if not _is_settled(plain):
        raise _NotSeparableError
    require_plain(plain, "")
    return plain


def _is_settled(value: Any) -> bool:
    """Whether nothing is interpolated and nothing missing."""
    if isinstance(value, Mapping):
        return all(_is_settled(v) for v in (*value, *value.values()))
    if isinstance(value, list):
        return all(_is_settled(v) for v in value)
    return not (isinstance(value, str) and ("${" in value or value == "???"))
