"""A configuration composed as a whole, its errors in words."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from experiments.compose.assembly import Plain
from experiments.compose.hydra_errors import in_words
from experiments.compose.hydra_session import HydraSession
from experiments.compose.resolved import resolved


def whole(overrides: Sequence[str], hydra: HydraSession, root: str) -> Plain:
    """The resolved configuration of these overrides; raises `ConfigError`, in words, where they do not compose."""
    try:
        config = hydra.compose(overrides, root)
        plain = resolved(config)
        missing = sorted(OmegaConf.missing_keys(config))
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # of a choice that is null, a bare ValueError
        raise in_words(error, overrides, lambda fewer: hydra.compose(fewer, root)) from error
    if missing:
        raise ConfigError(missing[0], "???", "must be given")
    return plain
