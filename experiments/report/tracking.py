"""Mirrors finished rows to an experiment tracker. Never the source of a table; a tracker that fails never fails a run."""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SECRET = re.compile(
    r"(^|_)(key|secret|password|passwd|credentials?|authorization)$|api_?key|access_?token", re.IGNORECASE
)
"""Names of settings that are never sent anywhere."""

Scalar = (bool, int, float, str)


class Tracking(ABC):
    """A frozen dataclass that a ``tracking`` YAML describes.

    One that prints a measure of each row, as an example:

    >>> @dataclass(frozen=True)
    ... class Printed(Tracking):
    ...     measure: str = "transfer/all/greedy/strict"
    ...
    ...     def row(self, key, name, config, values):
    ...         print(name, values["defense"], values[self.measure])
    >>> Printed().row("9f2c", "main", {}, {"defense": "none", "transfer/all/greedy/strict": 0.87})
    main none 0.87
    """

    @abstractmethod
    def row(self, key: str, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Show one finished row.

        Args:
            key: the row's hash in the store; showing a row again replaces it.
            name: of the sweep or experiment.
            config: the cell's resolved configuration.
            values: the row.
        """


@dataclass(frozen=True)
class NoTracking(Tracking):
    """Shows rows nowhere."""

    def row(self, key: str, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """See `Tracking.row`."""


@dataclass(frozen=True)
class WandbTracking(Tracking):
    """One Weights & Biases run for each row, grouped by experiment.

    Args:
        project: name of the project.
        mode: ``offline`` writes to the folder ``wandb`` and needs no account; ``online`` sends.
        entity: user or team; "" for the account's default.
    """

    project: str = "moatbench"
    mode: Literal["online", "offline", "disabled"] = "offline"
    entity: str = ""
    _state: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def row(self, key: str, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """See `Tracking.row`."""
        if self._state.get("broken"):
            return
        try:
            import wandb

            with wandb.init(
                project=self.project,
                entity=self.entity or None,
                mode=self.mode,
                group=name,
                id=key,
                resume="allow",
                config=without_secrets(config),
                settings=wandb.Settings(silent=True, disable_git=True, disable_code=True, console="off"),
            ) as run:
                run.summary.update({k: v for k, v in values.items() if isinstance(v, Scalar)})
        except Exception as error:  # whatever a tracker does must not cost a result
            self._state["broken"] = True
            warnings.warn(f"tracking stopped, the run goes on: {type(error).__name__}: {error}", stacklevel=2)


def without_secrets(value: Any) -> Any:
    """A copy of a configuration in which every setting that may be a key reads ``<hidden>``."""
    if isinstance(value, Mapping):
        return {k: "<hidden>" if SECRET.search(str(k)) else without_secrets(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(v) for v in value]
    return value
