"""Reads a page as a browser would: what the tables say, what the data block holds, which elements there are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class Cell:
    """A cell of a table: its text, and its numbers as they stand in the markup."""

    text: str
    numbers: tuple[str, str, str]


@dataclass
class Page(HTMLParser):
    """A parsed page."""

    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    heads: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[list[Cell]]] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._table, self._cell, self._block, self._head = "", None, "", False

    @classmethod
    def of(cls, markup: str) -> Page:
        page = cls()
        page.feed(markup)
        page.close()
        return page

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.blocks["data"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in own.items()]
        if tag == "table":
            self._table = own["id"]
            self.heads[self._table], self.rows[self._table] = [], []
        elif tag == "thead":
            self._head = True
        elif tag == "tr" and not self._head:
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self._cell = Cell("", tuple(own.get(f"data-{name}", "") for name in ("v", "low", "high")))
        elif tag in ("script", "style"):
            self._block = own.get("id") or tag
            self.blocks[self._block] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self._head = False
        elif tag in ("td", "th") and self._cell is not None:
            if self._head:
                self.heads[self._table].append(self._cell.text.strip())
            else:
                self.rows[self._table][-1].append(self._cell)
            self._cell = None
        elif tag in ("script", "style"):
            self._block = ""

    def handle_data(self, data: str) -> None:
        if self._block:
            self.blocks[self._block] += data
            return
        self.text.append(data)
        if self._cell is not None:
            self._cell.text += data
