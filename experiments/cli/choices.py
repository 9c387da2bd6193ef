"""``moatbench list``: what there is to choose from, read from the YAML files and, without importing them, from the classes
that they name."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from rich.table import Table

from configs.errors import ConfigError
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.cli.subcommand import KINDS, PARTS_OF_ATTACKS
from experiments.compose.hydra_session import HydraSession, session
from experiments.compose.search_path import SEARCH_PATH

GROUPS = {
    "tasks": ("task",),
    "teachers": ("teacher",),
    "defenses": ("defense",),
    "attacks": ("attack", "attack/harvest", "attack/recover", "attack/objective", "attack/refine"),
    "students": ("student", "proxy"),
    "apis": ("api",),
    "budgets": ("budget",),
    "campaigns": ("campaign", "operation", "population", "market", "link"),
    "policies": ("policy",),
    "experiments": ("experiment", "experiment/published", "experiment/campaign"),
    "claims": ("claim",),
    "judges": ("judge",),
    "tables": ("table",),
    **{part: (f"attack/{part}",) for part in PARTS_OF_ATTACKS},
}

DEFAULT = "default"
SELF = "_self_"

TYPED = {
    "operation": "+operation@campaign.operations.OWN_NAME",
    "claim": "+claim",
    "table": "+table",
    "experiment": "+experiment",
    "experiment/published": "+experiment",
    "experiment/campaign": "+experiment",
}
"""How a choice of these groups is typed; the others as they are called."""


class Choice(NamedTuple):
    """One thing that can be chosen.

    Args:
        name: as typed.
        line: what it is: first comment of its YAML, else its description, else the first paragraph of its class's docstring.
        source: paper or practice that its class states; for what is made of other choices (an attack, a policy) these, which
            state theirs; of a campaign the report that it stands for; of an experiment what its file says.
    """

    name: str
    line: str
    source: str


def main(asked: CommandLine) -> int:
    """Print one table for each group."""
    kinds, overrides = ([w for w in asked.words if ("=" in w) == given] for given in (False, True))
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError("list", kind, "is not something to list", KINDS)
    for override in overrides:
        if not override.startswith(f"{SEARCH_PATH}="):
            raise ConfigError("list", override, f"changes nothing in a list: only {SEARCH_PATH}=[...] does")
    console = consoles.results()
    with session(overrides) as hydra:
        for kind in kinds or [kind for kind in KINDS if kind not in PARTS_OF_ATTACKS]:
            for group in GROUPS[kind]:
                console.print(_table(group, items(group, hydra, overrides), wide=console.width >= 100))
    return 0


def items(group: str, hydra: HydraSession, overrides: Sequence[str] = ()) -> list[Choice]:
    """All choices of a group, from every place in the search path; experiments in folders are called as they are typed."""
    files = hydra.files(overrides)
    found = [_item(files.text(f"{group}/{name}"), name) for name in files.options(group)]
    top, _, below = group.partition("/")
    return [i._replace(name=f"{below}/{i.name}") for i in found] if top == "experiment" and below else found


def _table(group: str, found: Sequence[Choice], wide: bool) -> Table:
    table = Table(
        title=f"{TYPED.get(group, group)}=", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(no_wrap=True, style="bold")
    table.add_column(ratio=3)
    if wide:
        table.add_column(ratio=2, style="dim")
    for item in found:
        if wide:
            table.add_row(item.name, item.line, item.source)
        else:
            table.add_row(item.name, f"{item.line} [dim]{item.source}[/dim]" if item.source else item.line)
    return table


def _item(text: str, name: str) -> Choice:
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    node = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(node, dict)
    # What a class is given (the identity checks of a policy that asks for none) is no source of its own.
    targets = [str(node["_target_"])] if "_target_" in node else list(_targets(node))
    line = first.lstrip("# ").strip() if first.startswith("#") else str(node.get("description", ""))
    sources = list(dict.fromkeys(s for t in targets if (s := _stated(t, "source"))))
    made = " + ".join(_stack(node)) or "; ".join(sources) or " × ".join(_parts(node.get("defaults", [])))
    stated = made or "; ".join(_reports(node)) or str(node.get("source", ""))
    return Choice(name, line or next((d for t in targets if (d := _stated(t, "doc"))), ""), stated)


def _targets(node: Any) -> Iterator[str]:
    """Classes that a YAML names."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "_target_":
            yield str(value)
        else:
            yield from _targets(value)


def _parts(defaults: Sequence[Any]) -> Iterator[str]:
    """Choices that a YAML makes in other groups; each is listed there with its source. A default is nobody's choice."""
    for choice in defaults:
        for names in choice.values() if isinstance(choice, dict) else ():
            if names and names != DEFAULT:
                yield " + ".join(names) if isinstance(names, list) else str(names)


def _stack(node: dict[Any, Any]) -> list[str]:
    """What a stack is made of: choices of its own group, and parts that it writes out; none for what is no stack."""
    chosen = [c for c in node.get("defaults", []) if isinstance(c, str) and c != SELF]
    written = [str(k) for k, part in node.items() if isinstance(part, dict) and "_target_" in part and k not in chosen]
    return [*chosen, *written] if chosen else []


def _reports(node: Any) -> Iterator[str]:
    """Who reported the campaigns that operations stand for, each once."""
    operations = node.get("operations")
    named = (
        [o.get("reported") for o in operations.values() if isinstance(o, dict)] if isinstance(operations, dict) else []
    )
    if any(named):
        from experiments.campaign.config import figures  # reads tables, which the other lists need not wait for

        rows = figures.table("campaigns").rows_by_key("preset", named=True, unique=True)
        found = [rows[name] for name in named if name in rows]
        yield from dict.fromkeys(f"{row['report']} ({row['source']})" for row in found)


@lru_cache(maxsize=1024)
def _stated(target: str, what: str) -> str:
    """The ``source`` of a class, or the first paragraph of its docstring ("doc"); "" where there is none."""
    module, _, name = target.rpartition(".")
    node = _class(module, name)
    if node is None:
        return ""
    if what == "doc":
        return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    for statement in node.body:
        names = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        if any(isinstance(n, ast.Name) and n.id == "source" for n in names):
            value = getattr(statement, "value", None)
            return str(ast.literal_eval(value)) if value is not None else ""
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return next((s for base in bases if (s := _stated(f"{_origin(module, base)}.{base}", "source"))), "")


@lru_cache(maxsize=1024)
def _tree(module: str) -> ast.Module | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return ast.parse(Path(spec.origin).read_text())


def _class(module: str, name: str) -> ast.ClassDef | None:
    tree = _tree(module)
    if tree is None:
        return None
    return next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)


def _origin(module: str, name: str) -> str:
    """The module that a name in a module was imported from; itself where it was not."""
    tree = _tree(module)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ImportFrom) and node.module and any((a.asname or a.name) == name for a in node.names):
            return node.module
    return module
