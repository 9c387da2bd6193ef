"""Tries them all."""

import contextlib
import json
import os
import sys


def got_out(attempt, w):
    """Each in a process of its own where one can be had, so that none is in another's way."""
    try:
        pid = os.fork()
    except OSError:
        return succeeds(attempt, w)
    if pid == 0:
        os._exit(0 if succeeds(attempt, w) else 1)
    return os.waitpid(pid, 0)[1] == 0


def succeeds(attempt, w):
    try:
        return bool(attempt(w))
    except BaseException:
        return False


world = json.loads(sys.stdin.read())
found = {name: attempt for name, attempt in list(globals().items()) if name.startswith("escape_")}
with contextlib.redirect_stdout(sys.stderr):
    results = {name.removeprefix("escape_"): got_out(attempt, world) for name, attempt in found.items()}
print(json.dumps(results))
