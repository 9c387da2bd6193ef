"""Cells of CSV files that a spreadsheet opens: text stays text, and a row stays one line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from configs.text import one_line

FORMULA = re.compile(r"'*\s*[=+\-@]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf")


class PlainWriter(csv.DictWriter):  # type: ignore[type-arg]  # it takes none when it runs
    """Writes rows in which no text is a formula or has several lines.

    A text that begins with ``=``, ``+``, ``-`` or ``@`` gets a ``'`` before it, and so does one that begins like that after
    such marks; numbers stay. To have it back, take one ``'`` away where it stands before these.
    """

    def writerow(self, rowdict: Mapping[str, Any]) -> Any:
        """See `csv.DictWriter.writerow`."""
        return super().writerow({name: _cell(v) if isinstance(v, str) else v for name, v in rowdict.items()})

    def writerows(self, rowdicts: Iterable[Mapping[str, Any]]) -> None:
        """See `csv.DictWriter.writerows`."""
        for row in rowdicts:
            self.writerow(row)


@lru_cache(maxsize=2**14)  # the lines of a configuration say most of the same
def _cell(text: str) -> str:
    line = one_line(text)
    return f"'{line}" if FORMULA.match(line) and not NUMBER.fullmatch(line) else line
