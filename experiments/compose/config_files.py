"""The YAML files that configurations are made of: which there are, where each is found, what it says. Each is read once.

Only Hydra's public interface of a place is used (`ConfigSource`). Knows no overrides but those of the search path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TypeVar, cast

from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource

from configs.errors import ConfigError, require
from experiments.compose.search_path import SEARCH_PATH
from experiments.compose.yaml_file import check_yaml, text_of

PROVIDER = f"{SEARCH_PATH} in command-line"
"""What Hydra calls a place that the user named."""

UNAVAILABLE = "cannot be found: neither in this folder nor installed; write pkg://PACKAGE or file:///FOLDER"

SCHEMA = "structured"
"""The place of configurations that are Python classes; Hydra wants it last."""

T = TypeVar("T")


class CheckedSource(ConfigSource):
    """A place of the user's own search path (``checked://pkg://mine.configs``), whose files are looked at before they are
    read.

    Raises:
        ConfigError: a place of an unknown kind; when a file is read, those of `check_yaml`.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.place: ConfigSource = place_at(provider, path.removeprefix(self.around("")))
        self.path = self.place.path

    def __repr__(self) -> str:
        """As the place itself: Hydra's messages name it."""
        return repr(self.place)

    @staticmethod
    def scheme() -> str:
        """How its path begins."""
        return "checked"

    @classmethod
    def around(cls, path: str) -> str:
        """The path that makes Hydra read a place through this class."""
        return f"{cls.scheme()}://{path}"

    def load_config(self, config_path: str) -> ConfigResult:
        """As the place itself, once the file has been looked at."""
        if self.place.is_config(config_path):
            check_yaml(self.place, config_path)
        return self.place.load_config(config_path)

    def is_group(self, config_path: str) -> bool:
        """As the place itself."""
        return bool(self.place.is_group(config_path))

    def is_config(self, config_path: str) -> bool:
        """As the place itself."""
        return bool(self.place.is_config(config_path))

    def available(self) -> bool:
        """As the place itself."""
        return bool(self.place.available())

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """As the place itself."""
        return list(self.place.list(config_path, results_filter))


class ConfigFiles:
    """All files of a search path.

    Args:
        places: in the order in which they are searched.
    """

    def __init__(self, places: Sequence[ConfigSource]) -> None:
        self.places = tuple(places)
        self._known: dict[tuple[str, ...], object] = {}

    def with_own(self, paths: Sequence[str]) -> ConfigFiles:
        """These and those of a user's own search path, searched after Hydra's and ours.

        Raises:
            ConfigError: there is no such place.
        """
        own = [CheckedSource(PROVIDER, CheckedSource.around(path)) for path in paths]
        for place in own:
            require(place.available(), SEARCH_PATH, place.path, _without_init(place) or UNAVAILABLE)
            _require_groups(place, self.groups())
        schema = [place for place in self.places if place.scheme() == SCHEMA]
        return ConfigFiles([*(place for place in self.places if place not in schema), *own, *schema])

    def read(self, path: str) -> ConfigResult | None:
        """What ``PATH.yaml`` says, not to be changed; None where there is no such file. Raises as `CheckedSource`."""
        return self._once(("read", path), lambda: self._read(path))

    def text(self, path: str) -> str:
        """The text of ``PATH.yaml``; "" where there is no such file. Raises as `CheckedSource`."""
        for place in self.places:
            if place.is_config(path):
                inner = place.place if isinstance(place, CheckedSource) else place
                if place is not inner:
                    check_yaml(inner, path)
                return text_of(inner, path)
        return ""

    def is_class(self, path: str) -> bool:
        """Whether a Python class of this name says what may stand in the file, which is for Hydra to see to."""
        return any(place.scheme() == SCHEMA and place.is_config(path) for place in self.places)

    def group_exists(self, group: str) -> bool:
        """Whether there is a folder of this name."""
        return self._once(("group", group), lambda: any(place.is_group(group) for place in self.places))

    def options(self, group: str) -> list[str]:
        """Names of the YAML files of a group."""
        return self._once(("options", group), lambda: self._listed(group, ObjectType.CONFIG))

    def groups(self, parent: str = "") -> list[str]:
        """Names of the groups within a group, Hydra's own left out."""
        found = self._once(("groups", parent), lambda: self._listed(parent, ObjectType.GROUP))
        return [name for name in found if name != "hydra" and not name.startswith("__")]

    def _once(self, key: tuple[str, ...], find: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = find()
        return cast("T", self._known[key])

    def _read(self, path: str) -> ConfigResult | None:
        place = next((place for place in self.places if place.is_config(path)), None)
        return None if place is None else place.load_config(path)

    def _listed(self, group: str, kind: ObjectType) -> list[str]:
        return sorted({name for place in self.places if place.is_group(group) for name in place.list(group, kind)})


def _without_init(place: CheckedSource) -> str:
    """What is wrong with a package that is there but for its ``__init__.py``, "" for all others."""
    if place.place.scheme() != "pkg" or not (folders := _folders_of(place.path)):
        return ""
    return f"has no __init__.py: write an empty file of that name into {folders[0]}"


def _folders_of(package: str) -> list[str]:
    """Where a package is that has no ``__init__.py``; [] where there is none of this name.

    Only its parent is imported, which is as trusted as it is.
    """
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return []
    return [] if found is None or found.origin is not None else list(found.submodule_search_locations or ())


def _require_groups(place: CheckedSource, groups: Sequence[str]) -> None:
    """Refuse a package whose ``configs`` was meant: it holds no group, and that does.

    Raises:
        ConfigError: where it is.
    """
    meant = f"pkg://{place.path}.configs"
    if place.place.scheme() != "pkg" or any(place.is_group(group) for group in groups):
        return
    inner = place_at(PROVIDER, meant)
    if any(inner.is_group(group) for group in groups):
        why = _without_init(CheckedSource(PROVIDER, CheckedSource.around(meant))) if not inner.available() else ""
        reason = f"holds no configurations; did you mean {meant!r}?" + (f" That {why}" if why else "")
        raise ConfigError(SEARCH_PATH, f"pkg://{place.path}", reason)


def place_at(provider: str, path: str) -> ConfigSource:
    """The place that a path such as ``pkg://mine.configs`` names; without ``://`` it is a folder.

    Raises:
        ConfigError: an unknown kind of place.
    """
    scheme, mark, _ = path.partition("://")
    kinds = {kind.scheme(): kind for kind in Plugins.instance().discover(ConfigSource)}
    kind = kinds.get(scheme if mark else "file")
    if kind is None:
        raise ConfigError(SEARCH_PATH, path, "cannot be looked into: write pkg://PACKAGE or file:///FOLDER")
    return kind(provider, path)
