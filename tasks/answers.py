r"""Where the answer of a free-text response is: after a marker (strict), or where a reader would look (lenient)."""

from __future__ import annotations

import re

from tasks.numbers import last_number

LONGEST = 100_000
"""Characters of a response that are read, from its end: responses are untrusted. References must be shorter."""

_BRACES = re.compile(r"\\boxed\s?\{|\\[{}]|[{}]")
_EMPHASIS = " \t*_`$"


def strict_answer(text: str, marker: str) -> str | None:
    """What follows ``marker`` on the last non-empty line, which it must begin; None where the format is not kept."""
    line = _last_line(_visible(text))
    return line[len(marker) :].strip() if line.startswith(marker) else None


def marked_answer(text: str, marker: str) -> str | None:
    """All that follows ``marker`` where it last begins a line, of several lines too; all of the text where the marker is "".
    None where no line begins with it."""
    text = _visible(text)
    if not marker:
        return text.strip()
    lines = [line.strip() for line in text.splitlines()]
    at = next((at for at in reversed(range(len(lines))) if lines[at].startswith(marker)), None)
    return None if at is None else "\n".join([lines[at][len(marker) :], *lines[at + 1 :]]).strip()


def visible_answer(text: str, marker: str) -> str:
    """What a reader who takes any form would read as the answer: `marked_answer`, else all that is visible."""
    found = marked_answer(text, marker)
    return _visible(text).strip() if found is None else found


def lenient_answer(text: str, marker: str, numeric: bool) -> str:
    r"""One candidate: after the last ``marker`` or "the answer is" (any case) to the line's end, else in the last
    ``\boxed{}``, else on the last line; a box around it is opened. For ``numeric`` answers it is the last number of that,
    or of the whole text where that has no digits. Emphasis and a final full stop are dropped; "" where there is nothing."""
    text = _visible(text)
    marks = "|".join(re.escape(m) for m in (marker, "the answer is") if m)
    after = [found.end() for found in re.finditer(rf"(?:{marks})[ :*_`]*", text, re.IGNORECASE)]
    found = text[after[-1] :].partition("\n")[0] if after else boxed(text) or _last_line(text)
    found = boxed(found) or found
    if numeric and (digits := last_number(found if any(c.isdigit() for c in found) else text)):
        found = digits
    return found.strip(_EMPHASIS).removesuffix(".").strip(_EMPHASIS)


def boxed(text: str) -> str:
    r"""The contents of the last ``\boxed{}`` whose braces are balanced, "" where there is none; one pass at any depth."""
    contents, open_braces = "", []
    for brace in _BRACES.finditer(text):
        if brace.group() in (r"\{", r"\}"):
            continue
        if brace.group() != "}":
            open_braces.append((brace.end(), brace.group() != "{"))
        elif open_braces:
            start, is_box = open_braces.pop()
            if is_box:
                contents = text[start : brace.start()]
    return contents


def _visible(text: str) -> str:
    """Without a closed think block."""
    return text[-LONGEST:].rpartition("</think>")[2]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
