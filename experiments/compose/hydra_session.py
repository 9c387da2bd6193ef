"""Hydra kept open: composes many configurations from ``configs/`` and the places in ``hydra.searchpath``. Each file is read
once, each choice of groups composed once. Raises Hydra's own errors; knows nothing of cells.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from experiments.compose.config_files import CheckedSource, ConfigFiles
from experiments.compose.defaults import Defaults, NotPlainError
from experiments.compose.fields import RefusedError, set_fields
from experiments.compose.kept_defaults import kept
from experiments.compose.search_path import SEARCH_PATH, admit

STACKS = ("defense", "judge", "attack/recover", "attack/refine")
"""Groups of which several choices are made at once, or none."""


class HydraSession:
    """Composes within one open Hydra. Get it from `session`.

    Args:
        loader: Hydra's.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._files = ConfigFiles(loader.get_sources())
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._plain: dict[tuple[str, ...], dict[str, Any]] = {}
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._searched: dict[tuple[str, ...], tuple[ConfigFiles, Defaults]] = {}
        self._accepted: set[tuple[str, ...]] = {()}

    def parse(self, arguments: Sequence[str]) -> list[Override]:
        """Hydra's overrides; raises `OverrideParseException`."""
        for argument in arguments:
            if argument not in self._parsed:
                self._parsed[argument] = _said_fully(self._parser.parse_overrides([argument])[0])
        return [self._parsed[argument] for argument in arguments]

    def compose(self, overrides: Sequence[str], name: str) -> DictConfig:
        """What ``hydra.compose`` gives, unresolved."""
        choices, fields = self.split(overrides)
        config = copy.deepcopy(self.base(name, choices))
        try:
            set_fields(config, fields)
        except (RefusedError, OmegaConfBaseException):
            return self._hydras(name, (*choices, *(str(field.input_line) for field in fields)))
        return config

    def split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """Overrides that choose from groups or are Hydra's own, and those that set fields."""
        files, parsed = self.files(overrides), self.parse(overrides)
        chosen = [o.is_hydra_override() or _chooses(o, files) for o in parsed]
        choices = tuple(_choice(o, files) for o, is_choice in zip(parsed, chosen, strict=True) if is_choice)
        return choices, [o for o, is_choice in zip(parsed, chosen, strict=True) if not is_choice]

    def plain(self, name: str, choices: tuple[str, ...]) -> dict[str, Any]:
        """The configuration of a choice of groups in plain containers, unresolved, not to be changed."""
        known = self._plain.get((name, *choices))
        if known is None:
            known = self._plain[name, *choices] = self._from_defaults(name, choices) or _containers(
                self.base(name, choices)
            )
        return known

    def base(self, name: str, choices: tuple[str, ...]) -> DictConfig:
        """The configuration of a choice of groups, not to be changed."""
        known = self._bases.get((name, *choices))
        if known is None:
            plain = self._from_defaults(name, choices)
            known = self._hydras(name, choices) if plain is None else OmegaConf.create(plain, flags={"struct": True})
            self._bases[name, *choices] = known
        return known

    def files(self, overrides: Sequence[str] = ()) -> ConfigFiles:
        """All files that configurations come from, those of ``hydra.searchpath`` among these overrides included."""
        return self._search(overrides)[0]

    def _search(self, overrides: Sequence[str]) -> tuple[ConfigFiles, Defaults]:
        places = _places(overrides)
        if places not in self._searched:
            own = [path for override in self.parse(places) for path in _paths(override)]
            own_files = self._files.with_own(own) if own else None
            self._searched[places] = (own_files, Defaults(own_files)) if own_files else kept(self._files)
        return self._searched[places]

    def _from_defaults(self, name: str, choices: tuple[str, ...]) -> dict[str, Any] | None:
        """The short way; None where Hydra has to compose. It is shown its own overrides once, to refuse the wrong ones."""
        parsed = self.parse(choices)
        try:
            found = self._search(choices)[1].config(name, [o for o in parsed if not o.is_hydra_override()])
        except (NotPlainError, OmegaConfBaseException):
            return None
        own = tuple(str(o.input_line) for o in parsed if o.is_hydra_override() and not _paths(o))
        if own not in self._accepted:
            self._hydras(name, own)
            self._accepted.add(own)
        return found

    def _hydras(self, name: str, overrides: Sequence[str]) -> DictConfig:
        try:
            return compose(name, [self._checking(line) for line in overrides])
        except RecursionError:
            raise ConfigError("command line", " ".join(overrides), "chooses files that choose each other") from None

    def _checking(self, line: str) -> str:
        """The override, by which files of a user's own search path are looked at before Hydra reads them."""
        paths = _paths(self.parse([line])[0])
        quoted = [QuotedString(CheckedSource.around(path), Quote.single).with_quotes() for path in paths]
        return f"{SEARCH_PATH}=[{','.join(quoted)}]" if paths else line


@contextmanager
def session(arguments: Sequence[str] = ()) -> Iterator[HydraSession]:
    """Hydra, ready to compose from ``configs/``; a search path that does not exist is a `ConfigError`.

    Args:
        arguments: of the command line; packages that they look into are let in.
    """
    admit(arguments)
    Plugins.instance().register(CheckedSource)
    outer = GlobalHydra.instance().hydra  # Hydra's own, in a job that it has started (`experiments.cli.hydra_app`)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("configs", job_name="moatbench", version_base="1.3"):
            yield HydraSession(GlobalHydra.instance().config_loader())
    finally:
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


def _choice(override: Override, files: ConfigFiles) -> str:
    """What is chosen from a group, as it is typed; a `ConfigError` with the choices where that is no name."""
    line, value = str(override.input_line), override.value()
    if override.is_hydra_override() or override.is_delete() or isinstance(value, str):
        return line
    group = str(override.key_or_group)
    if isinstance(value, list) and group in STACKS:
        return line
    if value is None and group in STACKS:
        return f"{line.partition('=')[0]}=[]"
    if isinstance(value, list):
        reason = f"takes one choice; to compare several, write {group}={','.join(map(str, value))}"
        raise ConfigError(group, value, reason, files.options(group))
    raise ConfigError(group, value, "must be one of the choices", files.options(group))


def _places(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(o for o in overrides if o.startswith(f"{SEARCH_PATH}="))


def _paths(override: Override) -> list[str]:
    """The places that an override of the search path names; none where it is no list of them, which Hydra refuses."""
    value = override.value() if _places([str(override.input_line)]) else None
    return value if isinstance(value, list) and all(isinstance(path, str) for path in value) else []


def _said_fully(override: Override) -> Override:
    """An override that names something; Hydra takes ``=1`` for one."""
    if not override.key_or_group:
        raise ConfigError("command line", override.input_line, "has no name before the equals sign")
    return override


def _chooses(override: Override, files: ConfigFiles) -> bool:
    """Whether an override chooses from a group (Hydra's own rule)."""
    return not isinstance(override.value(), dict) and files.group_exists(override.key_or_group)


def _containers(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
