"""By which code a part was run: every entry says so of the parts that its stage is configured with.

What is hashed is the code of the modules that define the part and the classes it is derived from, without comments,
docstrings and blank lines. Modules that these import are not looked at.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from configs.identity import Part, parts_in
from experiments.store.stage import Stage


def sources(stage: Stage) -> dict[str, str]:
    """Hash of the code of each part that a stage itself is configured with, its inputs not included."""
    return {label_of(part): source for part in _own(stage) if (source := source_of(type(part)))}


def label_of(part: Part) -> str:
    """Kind, name and version."""
    return f"{part.kind}/{part.name}/{part.version}"


def source_of(kind: type[Part]) -> str:
    """Hash of the code that defines a class and its parents below the base of its kind; "" where there is no file of it."""
    classes = [base for base in kind.__mro__ if issubclass(base, Part) or dataclasses.is_dataclass(base)]
    modules = {base.__module__ for base in classes if base is not Part and "kind" not in vars(base)}
    codes = [_code(name) for name in sorted(modules)]
    return hashlib.sha256("".join(codes).encode()).hexdigest()[:32] if all(codes) else ""


@lru_cache(maxsize=4096)
def _code(module: str) -> str:
    """Hash of the lines of a module without comments, docstrings and blanks; the same in every version of Python."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        text = Path(file or "").read_text(encoding="utf-8")
        tree = ast.parse(text)
        comments = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    except (OSError, ValueError, SyntaxError, tokenize.TokenError):
        return ""
    lines = text.splitlines()
    for comment in comments:
        row, column = comment.start
        lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            said = node.body[0]
            lines[said.lineno - 1 : said.end_lineno] = [""] * ((said.end_lineno or said.lineno) - said.lineno + 1)
    return hashlib.sha256("\n".join(line.rstrip() for line in lines if line.strip()).encode()).hexdigest()


def _own(stage: Stage) -> Iterator[Part]:
    for f in dataclasses.fields(stage):  # type: ignore[arg-type]
        yield from parts_in(getattr(stage, f.name), beyond=Stage)
