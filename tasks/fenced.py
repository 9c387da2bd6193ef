"""Where the program is in a free-text response. Nothing is run here."""

from __future__ import annotations

import re
from typing import NamedTuple

from tasks.answers import LONGEST

_BEGINS = re.compile(r"(?:async\s+def|def|class|import|from)\b|@")


class Program(NamedTuple):
    """A program in a response.

    Args:
        text: its source, "" where there is none.
        formed: whether the response ends with it, in a block of its own that is closed.
    """

    text: str
    formed: bool


def program_in(response: str) -> Program:
    """The last block between lines of three backquotes; one that is not closed goes to the end. Where there is no block,
    what begins with the first line of a definition or an import. The response is untrusted; only its end is read."""
    lines = response[-LONGEST:].rpartition("</think>")[2].splitlines()
    fences = [at for at, line in enumerate(lines) if line.lstrip().startswith("```")]
    if not fences:
        starts = (at for at, line in enumerate(lines) if _BEGINS.match(line))
        return Program("\n".join(lines[next(starts, len(lines)) :]), formed=False)
    closed = len(fences) % 2 == 0
    start, stop = (fences[-2], fences[-1]) if closed else (fences[-1], len(lines))
    ends = closed and not any(line.strip() for line in lines[stop + 1 :])
    return Program("\n".join(lines[start + 1 : stop]), ends)
