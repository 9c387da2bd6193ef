"""Optional dependencies: a missing one is an error that says what to install."""

from __future__ import annotations

from importlib.util import find_spec

from configs.errors import ConfigError


def needs(module: str, field: str, value: object, extra: str = "lm") -> None:
    """Raise `ConfigError` for ``field`` unless ``module`` can be imported; the message names the extra to install."""
    if find_spec(module) is None:
        raise ConfigError(field, value, f"needs the package {module}: pip install -e '.[{extra}]'")
