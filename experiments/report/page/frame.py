"""What every page has: one file that needs no server and no network, with style, script and data in it. Knows no report.

Text of models, names and prompts is escaped by Jinja's ``autoescape`` in the markup and by its ``tojson`` in the data,
scripts set text and never markup, and the page's own policy (Content-Security-Policy) runs its one script and nothing else.

A page is a template that extends ``frame.html`` and may use ``pieces.html``, and a script that stands on ``frame.js``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from configs.text import one_line, printable

ROOM = "experiments.report.page"
BREAKS = re.compile(r"(?<=[_,+])|(?=\()")
"""Where the name of a defense, an attack or a policy may go on in another line."""


def page_of(room: str, page: str, *, data: Mapping[str, Any], **values: Any) -> str:
    """The markup of a page.

    Args:
        room: package that holds PAGE.html and PAGE.js.
        page: their stem.
        data: JSON-able; what the script reads. ``cells`` are what marks of plots and rows of tables point to by number.
        values: of the template. The frame needs ``title``, ``name``, ``facts`` and ``made``.
    """
    loader = ChoiceLoader([PackageLoader(room, "."), PackageLoader(ROOM, ".")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": printable, "line": one_line, "breaks": _breaks}
    script = f"{_asset(ROOM, 'frame.js')}\n{_asset(room, f'{page}.js')}"
    return environment.get_template(f"{page}.html").render(
        data=data,
        style=Markup(_asset(ROOM, "page.css")),  # noqa: S704  # files of these folders
        script=Markup(script),  # noqa: S704
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )


def _asset(room: str, file: str) -> str:
    return files(room).joinpath(file).read_text(encoding="utf-8").strip()


def _breaks(name: str) -> Markup:
    """A name, escaped, that a narrow column may break where its parts end."""
    return Markup("<wbr>").join(BREAKS.split(name))  # `join` escapes what it joins
