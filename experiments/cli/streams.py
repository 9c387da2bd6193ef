"""Standard output and error that may not take what is written: a reader that went away, a full disk, a narrow encoding.

What a command does never depends on who reads it. Where a reader has gone (``moatbench list | head -1``), the rest is not
written and the command goes on to its end. Where output cannot be written for another reason, that is said at the end.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

NARROW = "moatbench.narrow"
"""Error handler of codecs: characters that an encoding does not have become others that look like them."""

ALIKE = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "…": "...", "×": "x", "±": "+-", "≥": ">=", "≤": "<=", "→": "->", "’": "'", "│": "|"}
)


class WatchedStream:
    """A text stream that remembers the first error of writing instead of raising it, and writes nothing from then on.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or do nothing once that has failed; how many characters were taken."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._broken(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """See `write`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """See `write`."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._broken(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _broken(self, error: OSError) -> None:
        """What is in the buffer would be tried again when Python exits, so it goes nowhere."""
        self.error = error
        with contextlib.suppress(OSError, ValueError):  # a stream without a file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    @property
    def unwritten(self) -> OSError | None:
        """Why something was not written, unless it is that nobody reads it."""
        return None if isinstance(self.error, BrokenPipeError) else self.error


@contextlib.contextmanager
def watched() -> Iterator[WatchedStream]:
    """While it lasts, nothing that happens to standard output or error raises; gives standard output."""
    before = sys.stdout, sys.stderr
    codecs.register_error(NARROW, _alike)
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=NARROW)
    out, err = WatchedStream(sys.stdout), WatchedStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _alike(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(ALIKE)
    return "".join(c if c.isascii() else "?" for c in text), error.end
