"""Mirrors finished rows to an experiment tracker. Never the source of a table; a tracker that fails never fails a run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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

    def report(self, name: str, files: Mapping[str, Path]) -> None:  # noqa: B027  # who has no place for it need not
        """Show a finished report; a tracker that does not shows rows alone.

        Args:
            name: of the sweep or experiment; showing a report of that name again replaces it.
            files: by kind, ``json`` with its tables and pictures (``png``) among them.
        """

    def remark(self) -> str:
        """Where what was shown is to be found; "" where nothing was."""
        return ""


@dataclass(frozen=True)
class NoTracking(Tracking):
    """Shows rows nowhere."""

    def row(self, key: str, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """See `Tracking.row`."""


@dataclass(frozen=True)
class WandbTracking(Tracking):
    """One Weights & Biases run for each row, called by defense, attack and seed, and one for the report; all grouped by
    experiment.

    Args:
        project: name of the project.
        mode: ``offline`` writes to the folder ``wandb`` and needs no account; ``online`` sends.
        entity: user or team; "" for the account's default.
    """

    project: str = "moatbench"
    mode: Literal["online", "offline", "disabled"] = "offline"
    entity: str = ""
    _state: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def row(self, key: str, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """See `Tracking.row`."""
        title = f"{values.get('defense', name)} × {values.get('attack', '')} seed {values.get('seed', '')}"
        shown = {k: v for k, v in values.items() if isinstance(v, Scalar)}
        self._run(
            lambda run, _: run.summary.update(shown), id=key, group=name, name=title, config=without_secrets(config)
        )

    def report(self, name: str, files: Mapping[str, Path]) -> None:
        """See `Tracking.report`: tables as tables, pictures as pictures, in a run of their own."""

        def show(run: Any, wandb: Any) -> None:
            run.log(
                {f"plots/{p.stem}": wandb.Image(str(p)) for p in files.values() if p.suffix == ".png" and p.exists()}
            )
            if (place := files.get("json")) is not None and place.exists():
                tables = json.loads(place.read_text(encoding="utf-8")).get("tables", [])
                run.log({f"tables/{t['name']}": _as_table(t["rows"], wandb) for t in tables if t.get("rows")})

        own = hashlib.sha256(f"report {name}".encode()).hexdigest()[:16]
        self._run(show, id=own, group=name, name=f"{name}: report", job_type="report")

    def remark(self) -> str:
        """See `Tracking.remark`."""
        place, runs = self._state.get("place"), self._state.get("runs", 0)
        if not place:
            return ""
        later = f": `wandb sync {place}/offline-run-*` sends them" if self.mode == "offline" else ""
        return f"tracking: {runs} runs of wandb in {place}{later}"

    def _run(self, show: Callable[[Any, Any], object], **settings: Any) -> None:
        """One run of wandb; whatever fails stops tracking, not the command."""
        if self._state.get("broken") or self.mode == "disabled":
            return
        try:
            import wandb

            place = os.environ.get("WANDB_DIR") or str(Path.cwd())
            quiet = wandb.Settings(silent=True, disable_git=True, disable_code=True, console="off")
            whose: dict[str, Any] = {"project": self.project, "entity": self.entity or None, "mode": self.mode}
            with wandb.init(**whose, **settings, dir=place, resume="allow", settings=quiet) as run:
                show(run, wandb)
                here = str(Path(run.dir).parents[1])  # wandb/RUN/files
                self._state["place"] = here if self.mode == "offline" else run.project_url or here
                self._state["runs"] = self._state.get("runs", 0) + 1
        except Exception as error:  # whatever a tracker does must not cost a result
            self._state["broken"] = True
            warnings.warn(f"tracking stopped, the run goes on: {type(error).__name__}: {error}", stacklevel=3)


def _as_table(rows: Sequence[Mapping[str, Any]], wandb: Any) -> Any:
    """Rows of a report's JSON; of an estimate value, low and high."""
    flat = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if isinstance(value, Mapping):
                line |= {
                    key + end: value.get(part) for part, end in (("value", ""), ("low", " low"), ("high", " high"))
                }
            else:
                line[key] = value
        flat.append(line)
    columns = list(dict.fromkeys(key for line in flat for key in line))
    return wandb.Table(columns=columns, data=[[line.get(c) for c in columns] for line in flat], allow_mixed_types=True)


def without_secrets(value: Any) -> Any:
    """A copy of a configuration in which every setting that may be a key reads ``<hidden>``."""
    if isinstance(value, Mapping):
        return {k: "<hidden>" if SECRET.search(str(k)) else without_secrets(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(v) for v in value]
    return value
