"""Other packages are used by what they offer: neither a module or name that begins with an underscore is imported from them,
nor an attribute used that none of our files defines. Hydra's loader above all: `experiments.compose` composes without it."""

from __future__ import annotations

import ast

from tests.sources import FILES, FOLDERS, ROOT

PUBLIC = {"_replace", "_asdict", "_make", "_fields", "_exit"}
"""Of named tuples, and of ``os``: no secrets in spite of their names."""

PRIVATE = {
    (
        "experiments/engine/pool.py",
        "_children",
    ): "multiprocessing waits at exit even for a process that the kernel holds",
    (
        "lm/grouped.py",
        "_attn_implementation",
    ): "transformers lets one choose how a model attends and has no other place where that can be read",
    (
        "tests/tasks/test_isolated_escapes.py",
        "_ctypes",
    ): "its file is one that a program would map to get at the kernel",
}
"""(file, name) -> why it is used all the same."""


def test_nothing_private_of_other_packages_is_used():
    ours, used = set(PUBLIC), set[tuple[str, str]]()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            ours.update(defined(node))
            used.update((path.relative_to(ROOT).as_posix(), word) for word in taken(node))
    assert {(file, word) for file, word in used if word not in ours} == PRIVATE.keys()


def defined(node: ast.AST) -> list[str]:
    """Names that a node gives to something of ours."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    own = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
    return [node.attr] if own and node.value.id in ("self", "cls") else []


def taken(node: ast.AST) -> list[str]:
    """Private names that a node takes from an object, a module or a package of others."""
    if isinstance(node, ast.Attribute):
        words = [node.attr]
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in FOLDERS:
        words = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    elif isinstance(node, ast.Import):
        words = [word for alias in node.names for word in alias.name.split(".")]
    else:
        words = []
    return [word for word in words if word.startswith("_") and not word.endswith("__")]


def test_what_is_private_is_seen():
    tree = ast.parse(
        "import a._b\nfrom hydra._internal.x import y\nfrom z import _w\nnode._get_node(1)\nfrom lm.a import _c\n"
    )
    assert [word for node in ast.walk(tree) for word in taken(node)] == ["_b", "_internal", "_w", "_get_node"]
