"""The ``moatbench`` command: reads the command line, calls what was asked for, turns errors into words and exit codes.

Exit codes: 0 done, 1 stages failed or the disk is full, 2 the user's input cannot be, 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module

from configs.errors import ConfigError, MoatBenchError
from configs.text import UNSEEN, printable
from experiments.cli.arguments import read
from experiments.cli.streams import WatchedStream, watched
from experiments.engine.ending import ends_politely
from experiments.store.disk import FULL, READ_ONLY

__all__ = ["guarded", "main"]

RESUME = "interrupted; finished stages are kept: run the same command again to go on from here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; None takes them from the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with watched() as out:
        try:
            return _said(out, guarded(lambda: _do(words)))
        except SystemExit as end:  # help and usage
            raise SystemExit(_said(out, int(end.code or 0))) from None


def _said(out: WatchedStream, code: int) -> int:
    """The exit code, where standard output took what was written; else 1 at least, and why."""
    out.flush()
    if out.unwritten is None:
        return code
    print(f"moatbench: standard output cannot be written to: {out.unwritten.strerror}", file=sys.stderr)
    return code or 1


def guarded(do: Callable[[], int]) -> int:
    """What `do` returns; errors that users can mend become a line on standard error and an exit code."""
    _quiet_warnings()
    try:
        with ends_politely():
            return do()
    except MoatBenchError as error:
        print(f"moatbench: {printable(str(error))}", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    except KeyboardInterrupt:
        _end_workers()
        print(f"\nmoatbench: {RESUME}", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in (*FULL, *READ_ONLY):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"moatbench: {printable(where)}{error.strerror}", file=sys.stderr)
        return 1


def _do(words: Sequence[str]) -> int:
    for word in words:
        if UNSEEN.search(word):
            raise ConfigError("command line", word, "has control characters in it: write text that can be printed")
    asked = read(words)
    command = import_module(f"experiments.cli.{asked.module}")
    return int(command.main(asked))


def _end_workers() -> None:
    pool = sys.modules.get("experiments.engine.pool")
    if pool is not None:
        pool.end()


def _quiet_warnings() -> None:
    """Warnings of ours are shown as one line; those of libraries are not shown."""

    def show(message: Warning | str, *_args: object, **_rest: object) -> None:
        print(f"moatbench: {printable(str(message))}", file=sys.stderr)

    warnings.simplefilter("ignore")
    for module in ("experiments", "lm", "tasks", "teacher", "student", "attacks", "defenses"):
        warnings.filterwarnings("default", category=UserWarning, module=module)
    warnings.showwarning = show
