"""The log of a run: one JSON object a line for each thing that happens to a stage or a worker, written as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from experiments.engine.base import Display

LOGS = "logs"
"""Folder of the logs, below that of the reports."""


class Logged(Display):
    """Passes everything on to another display, and writes what is noted. A log that cannot be written never ends a run.

    Args:
        shown: the other display.
        path: of the file; made when there is something to write.
    """

    def __init__(self, shown: Display, path: Path) -> None:
        self._shown, self.path = shown, path
        self._file: TextIO | None = None
        self._broken = False

    def started(self, keys: Sequence[str]) -> None:
        """See `Display`."""
        self._shown.started(keys)

    def progressed(self, key: str, done: int, total: int, note: str) -> None:
        """See `Display`."""
        self._shown.progressed(key, done, total, note)

    def finished(self, key: str, seconds: float) -> None:
        """See `Display`."""
        self._shown.finished(key, seconds)

    def failed(self, key: str, error: str, blocked: Sequence[str]) -> None:
        """See `Display`."""
        self._shown.failed(key, error, blocked)

    def returned(self, key: str) -> None:
        """See `Display`."""
        self._shown.returned(key)

    def said(self, text: str) -> None:
        """See `Display`."""
        self._shown.said(text)
        self.noted("said", {"text": text})

    def noted(self, event: str, facts: Mapping[str, Any]) -> None:
        """Write one line; ends with the line, so that a log can be followed and is whole when the run is killed."""
        self._shown.noted(event, facts)
        if self._broken:
            return
        now = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a", buffering=1)
            self._file.write(json.dumps({"time": now, "event": event, **facts}) + "\n")
        except OSError as error:
            self._broken = True
            self._shown.said(f"the log {self.path} stopped, the run goes on: {error.strerror}")

    def close(self) -> None:
        """No more is written."""
        self._broken = True
        if self._file is not None:
            try:
                self._file.close()
            except OSError:  # a full disk, said already
                self._file = None

    @property
    def written(self) -> bool:
        """Whether there is a log."""
        return self._file is not None


def log_path(out: Path, name: str) -> Path:
    """The file of a run that starts now."""
    return out / LOGS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
