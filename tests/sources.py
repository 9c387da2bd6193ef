"""The project's own files as syntax trees: what each imports, each read once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE_FOLDERS = ("configs", "tasks", "lm", "teacher", "student", "defenses", "attacks", "experiments")
FOLDERS = (*SOURCE_FOLDERS, "tests", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = [path for path in FILES if path.relative_to(ROOT).parts[0] in SOURCE_FOLDERS]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All of a file's, walked once."""
    return list(ast.walk(tree(path)))


@cache
def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, those for types only included."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports are absolute"
            found.add(node.module or "")
    return found


@cache
def modules() -> dict[str, Path]:
    """All sources and benchmarks by dotted name; a package stands for its ``__init__``."""
    chosen = [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"]
    return {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in chosen}


@cache
def arrows() -> dict[str, set[str]]:
    """The modules that each module imports anywhere, those for types only included."""
    return {module: {found for name in named_in(path) if (found := known(name))} for module, path in modules().items()}


def named_in(path: Path) -> set[str]:
    """What a file imports, each name with where it is from."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def known(name: str) -> str:
    """The module that an imported name is, or else is of; "" where it is not of this project."""
    owner = name.rpartition(".")[0]
    return name if name in modules() else owner if owner in modules() else ""
