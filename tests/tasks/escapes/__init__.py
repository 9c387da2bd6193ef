"""Attempts to get out of an isolated process, as the text of one program.

Each ``escape_...`` function returns something true where it got out, and false or an error where it did not. The program
knows the standard library only, so what its modules import from each other is there already; ``w`` says what there is
outside (`tests.tasks.test_isolated_escapes.World`).
"""

import re
from pathlib import Path

_MODULES = ("tools", "files", "network", "processes", "kernel", "run")
_TEXT = "\n".join((Path(__file__).parent / f"{name}.py").read_text() for name in _MODULES)

PROGRAM = re.sub(r"^from tests\..*$", "", re.sub(r"^from __future__.*$", "", _TEXT, flags=re.M), flags=re.M)
"""Reads ``w`` as JSON from its standard input; prints a JSON object of names to whether it got out."""
