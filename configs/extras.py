"""Optional dependencies: a missing one is an error that says what to install."""

from __future__ import annotations

from importlib.util import find_spec

from configs.errors import ConfigError


def needs(module: str, field: str, value: object, extra: str = "lm", alone: bool = False) -> None:
    """Raise `ConfigError` for ``field`` unless ``module`` can be imported; the message says what to install.

    Args:
        module: as it is imported.
        field, value: of the configuration that want it.
        extra: of this project that it belongs to.
        alone: whether it is in no extra, since its own dependencies are narrower than this project's.
    """
    if find_spec(module) is None:
        install = module if alone else f"-e '.[{extra}]'"
        raise ConfigError(field, value, f"needs the package {module}: pip install {install}")
