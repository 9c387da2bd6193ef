"""Hydra's errors in our words: which field, which value, what is allowed, and the nearest match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from experiments.compose.search_path import forgotten

_OVERRIDE = re.compile(r"Could not override '([^']+)'")
_APPEND = re.compile(r"Could not append to config\. An item is already at '([^']+)'")


def in_words(
    error: Exception,
    overrides: Sequence[str],
    load: Callable[[Sequence[str]], DictConfig] | None = None,
) -> ConfigError:
    """The `ConfigError` that says what Hydra means.

    Args:
        error: what Hydra or OmegaConf raised.
        overrides: of the configuration that failed.
        load: composes it from fewer overrides, to see what would have been allowed.
    """
    if isinstance(error, MissingConfigException):
        return _missing(error, forgotten(overrides))
    if isinstance(error, OverrideParseException):
        return ConfigError("command line", error.override, f"cannot be read{_quoting(error)}")
    text = _text(error)
    if found := _OVERRIDE.search(text):
        inner = getattr(error.__cause__, "full_key", None) or found.group(
            1
        )  # a mapping's own key may be the unknown one
        return _unknown(found.group(1), str(inner), overrides, load)
    if found := _APPEND.search(text):
        key = found.group(1)
        return ConfigError(key, _value(key, overrides), f"exists already: write {key}=VALUE, without the plus sign")
    return ConfigError("command line", " ".join(overrides), f"does not compose: {text}")


def _quoting(error: OverrideParseException) -> str:
    """How to write a value that Hydra's grammar does not take as it stands."""
    key, equals, value = str(error.override).partition("=")
    bare = value.strip("'\"")
    if not equals or not bare:
        return ": write FIELD=VALUE"
    if bare[0] in "[{":
        return f" ({_first_line(error)}); quote names with spaces, accents or signs in them: 'a b'"
    inner = bare.replace("\\", "\\\\").replace("'", "\\'")
    return f": quote it, for the shell and for Hydra: \"{key}='{inner}'\""


def _missing(error: MissingConfigException, note: str) -> ConfigError:
    group, _, name = str(error.missing_cfg_file or "").rpartition("/")
    if not group:
        return ConfigError("command line", name, _first_line(error))
    reason = f"there is no such {group.rsplit('/', 1)[-1]}"
    return ConfigError(group, name, reason, error.options or (), note=note)


def _unknown(
    override: str, key: str, overrides: Sequence[str], load: Callable[[Sequence[str]], DictConfig] | None
) -> ConfigError:
    given = _value(override, overrides)
    fewer = [o for o in overrides if _key(o) != override]
    try:
        config = load(fewer) if load is not None else OmegaConf.create()
    except Exception:  # another override is wrong too: it will be said when this one is put right
        return ConfigError(key, given, "is not a field here")
    parent, _, last = key.rpartition(".")
    while parent and not OmegaConf.is_dict(OmegaConf.select(config, parent)):
        parent, _, last = parent.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    field = f"{parent}.{last}" if parent else last
    choices = [str(k) for k in node if k != "_target_"]
    return _UnknownFieldError(field, last, given, choices)


class _UnknownFieldError(ConfigError):
    """Suggests the nearest name instead of the nearest value."""

    def __init__(self, field: str, last: str, given: str, choices: Sequence[str]) -> None:
        near = difflib.get_close_matches(last, choices, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        listed = (
            f" (choices: {', '.join(sorted(choices))})"
            if choices
            else " (there is nothing there yet: choose what has this field, or add it with a plus sign before its name)"
        )
        super().__init__(field, given, f"is not a field here{hint}{listed}")
        self.choices = tuple(choices)


def _value(key: str, overrides: Sequence[str]) -> str:
    return next((o.partition("=")[2] for o in overrides if _key(o) == key), "")


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _text(error: Exception) -> str:
    """Hydra wraps OmegaConf's messages; the outer may be empty."""
    parts = [str(error), str(error.__cause__ or "")] if not isinstance(error, OmegaConfBaseException) else [str(error)]
    return "; ".join(" ".join(part.split()) for part in parts if part.strip())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
