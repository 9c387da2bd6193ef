"""Does a program pass its tests? It is untrusted and runs in an isolated process (`tasks.isolated`), never in this one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from functools import lru_cache

_HARNESS = """\
def run_tests():
    import json, os
    setup, answer, tests, word = json.loads({job!r})
    say, space = os.write, {{"__name__": "answer"}}
    for name, text in (("setup", setup), ("answer", answer), *(("test", test) for test in tests)):
        exec(compile(text, name, "exec"), space)
    say(1, word.encode())


run_tests()
"""


@lru_cache(maxsize=4096)
def passes(answer: str, tests: tuple[str, ...], setup: str, seconds: float, memory_mb: int) -> bool:
    """Whether ``answer`` passes every test, within the limits.

    It has passed when the process says a random word, which it does after the last test. So a program that ends itself, or
    prints what it likes, has not. Like anything that shares an interpreter with its tests, one that searches the frames
    below it for that word, or returns objects that equal everything, can get by.

    Args:
        answer: source of the program; its name is not ``__main__``.
        tests: sources that raise where the program is wrong, run in its name space, in order.
        setup: source that is run before the program.
        seconds: limit for all of it.
        memory_mb: likewise.

    Raises:
        ConfigError: no process can be isolated here.
    """
    from tasks.isolated import run_isolated  # type: ignore[import-not-found, unused-ignore]

    word = secrets.token_hex(16)
    program = _HARNESS.format(job=json.dumps([setup, answer, list(tests), word]))
    done = run_isolated(program, seconds=seconds, memory_mb=memory_mb)
    return bool(done.returncode == 0 and not done.timed_out and done.stdout.endswith(word))


def check_isolation(seconds: float, memory_mb: int) -> None:
    """Raise `ConfigError` where no process can be isolated here, or where the limits leave no room for Python itself."""
    from configs.errors import require

    reason = f"and seconds = {seconds:g} are too little for Python alone, on this machine: raise them"
    works = passes("one = 1", ("assert one == 1",), "", seconds, memory_mb)
    require(works, "task.memory_mb", memory_mb, reason)


def defined_for(code: str, tests: Sequence[str]) -> list[str]:
    """First lines of those functions and classes, defined at the top of ``code``, that ``tests`` name; [] where there are
    none or something is no Python. Nothing is run."""
    import ast
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            known = ast.parse(code).body
            used = {n.id for test in tests for n in ast.walk(ast.parse(test)) if isinstance(n, ast.Name)}
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
    found = []
    for node in known:
        if isinstance(node, ast.FunctionDef) and node.name in used:
            found.append(f"def {node.name}({ast.unparse(node.args)}):")
        elif isinstance(node, ast.ClassDef) and node.name in used:
            found.append(f"class {node.name}:")
    return found
