"""Hydra kept open: composes many configurations from ``configs/`` and the places in ``hydra.searchpath``. Each file is read
once, each choice of groups composed once. Raises Hydra's own errors; knows nothing of cells.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hydra import compose, initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from experiments.compose.hydra_errors import unavailable_search_path
from experiments.compose.search_path import SEARCH_PATH, admit
from experiments.compose.yaml_file import check_yaml

STACKS = ("defense", "attack/recover")
"""Groups of which several choices are made at once, or none."""


class HydraSession:
    """Composes within one open Hydra. Get it from `session`.

    Args:
        loader: Hydra's.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self.loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._repositories: dict[tuple[str, ...], CachingConfigRepository] = {}
        self._accepted: set[tuple[str, ...]] = set()

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
        ConfigLoaderImpl._apply_overrides_to_config(fields, config)
        return config

    def split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """Overrides that choose from groups or are Hydra's own, and those that set fields."""
        repository, parsed = self.repository(overrides), self.parse(overrides)
        chosen = [o.is_hydra_override() or _chooses(o, repository) for o in parsed]
        choices = tuple(self._choice(o, overrides) for o, is_choice in zip(parsed, chosen, strict=True) if is_choice)
        return choices, [o for o, is_choice in zip(parsed, chosen, strict=True) if not is_choice]

    def base(self, name: str, choices: tuple[str, ...]) -> DictConfig:
        """The configuration of a choice of groups, not to be changed."""
        known = self._bases.get((name, *choices))
        if known is None:
            known = self._bases[name, *choices] = self._composed(name, choices)
        return known

    def repository(self, overrides: Sequence[str]) -> CachingConfigRepository:
        """All places that configurations come from, ``hydra.searchpath`` among these overrides included."""
        places = _places(overrides)
        if places not in self._repositories:
            _, found = self.loader._parse_overrides_and_create_caching_repo(None, list(places))
            self._repositories[places] = _Checked(found)
        return self._repositories[places]

    def options(self, group: str, overrides: Sequence[str] = ()) -> list[str]:
        """Names of the YAML files of a group."""
        found: list[str] = self.repository(overrides).get_group_options(group, ObjectType.CONFIG)
        return found

    def groups(self, parent: str = "", overrides: Sequence[str] = ()) -> list[str]:
        """Names of the groups within a group, Hydra's own left out."""
        found: list[str] = self.repository(overrides).get_group_options(parent, ObjectType.GROUP)
        return [name for name in found if name != "hydra" and not name.startswith("__")]

    def _choice(self, override: Override, overrides: Sequence[str]) -> str:
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
            raise ConfigError(group, value, reason, self.options(group, overrides))
        raise ConfigError(group, value, "must be one of the choices", self.options(group, overrides))

    def _composed(self, name: str, choices: tuple[str, ...]) -> DictConfig:
        """``hydra.compose`` reads all files again each time, and merges its own settings, which are thrown away. So it is
        asked once for each set of Hydra's own overrides, and where the short way fails: its errors are the ones to show."""
        own = tuple(o for o, parsed in zip(choices, self.parse(choices), strict=True) if parsed.is_hydra_override())
        if _places(choices):  # files of somebody else are looked at before Hydra reads them
            with contextlib.suppress(HydraException, OmegaConfBaseException, ValueError):
                self._merged(name, choices)
        if (name, *own) in self._accepted:
            try:
                config = self._merged(name, choices)
            except (HydraException, OmegaConfBaseException):
                return compose(name, list(choices))
            if "hydra" not in config:
                return config
        config = compose(name, list(choices))
        self._accepted.add((name, *own))
        return config

    def _merged(self, name: str, choices: tuple[str, ...]) -> DictConfig:
        repository = self.repository(choices)
        listed = create_defaults_list(
            repo=repository,
            config_name=name,
            overrides_list=[o for o in self.parse(choices) if not o.is_hydra_override()],
            prepend_hydra=False,
            skip_missing=False,
        )
        config = self.loader._compose_config_from_defaults_list(listed.defaults, _Copies(repository))
        OmegaConf.set_struct(config, True)
        ConfigLoaderImpl._apply_overrides_to_config(listed.config_overrides, config)
        return config


class _Checked(CachingConfigRepository):
    """Looks at files of the user's own search path before they are read."""

    def __init__(self, read: CachingConfigRepository) -> None:
        super().__init__(read.delegate)

    def load_config(self, config_path: str) -> ConfigResult | None:
        if f"config_path={config_path}" not in self.cache:
            own = (place for place in self.get_sources() if place.is_config(config_path))
            place = next(own, None)
            if place is not None and place.provider.startswith(SEARCH_PATH):
                check_yaml(place, config_path)
        return super().load_config(config_path)


class _Copies(CachingConfigRepository):
    """Gives copies of what another repository has read, since Hydra merges into the first node it is given."""

    def __init__(self, read: CachingConfigRepository) -> None:
        self.delegate, self._read = read.delegate, read

    def load_config(self, config_path: str) -> ConfigResult | None:
        found = self._read.load_config(config_path)
        return found and replace(found, config=copy.deepcopy(found.config))


@contextmanager
def session(arguments: Sequence[str] = ()) -> Iterator[HydraSession]:
    """Hydra, ready to compose from ``configs/``; a search path that does not exist is a `ConfigError`.

    Args:
        arguments: of the command line; packages that they look into are let in.
    """
    admit(arguments)
    with unavailable_search_path(), initialize_config_module("configs", job_name="moatbench", version_base="1.3"):
        yield HydraSession(GlobalHydra.instance().config_loader())


def _places(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(o for o in overrides if o.startswith(f"{SEARCH_PATH}="))


def _said_fully(override: Override) -> Override:
    """An override that names something; Hydra takes ``=1`` for one."""
    if not override.key_or_group:
        raise ConfigError("command line", override.input_line, "has no name before the equals sign")
    return override


def _chooses(override: Override, repository: CachingConfigRepository) -> bool:
    """Whether an override chooses from a group (Hydra's own rule)."""
    return not isinstance(override.value(), dict) and repository.group_exists(override.key_or_group)
