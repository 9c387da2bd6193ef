"""The shape of the project: what may import what, names, sizes of files, what is never called, what every YAML names."""

from __future__ import annotations

import ast
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.sources import FILES, ROOT, SOURCE_FOLDERS, SOURCES, arrows, imports, modules, name_of, nodes, tree

MAY_IMPORT = {
    "configs": set(),
    "tasks": {"configs"},
    "lm": {"configs", "tasks"},
    "teacher": {"configs", "tasks", "lm"},
    "student": {"configs", "tasks", "lm"},
    "defenses": {"configs", "tasks", "lm", "teacher"},
    "attacks": {"configs", "tasks", "lm", "teacher", "student"},
    "experiments": {"configs", "tasks", "lm", "teacher", "student", "defenses", "attacks"},
}
"""The table of CONTRIBUTING.md. An attack's third part, the objective, lives in ``student``."""

EXCEPTIONS = {
    ("teacher/mini.py", "student.objectives.sft"): "the teacher's own training minimises the same cross-entropy",
}
"""(file, module) -> why it may import it all the same."""

API_ONLY = {"defenses": "teacher.api", "attacks": "teacher.api"}
"""What of ``teacher`` the two sides may know."""

SAME_NAME = {
    "base": "the contract of the parts that lie beside it",
    "errors": "what a floor refuses with: configurations, and the API",
    "client": "who sends to the API, and the attacker who does",
    "decoder": "what `lm` decodes with, and how the mini architecture does it",
    "train": "what `lm` trains with, and how the mini architecture does it",
    "examples": "rows that are learnt from, and those that an attacker makes of responses",
    "huggingface": "pretrained models: as such, as teachers, as students",
    "mini": "the mini architecture's teachers, and its students",
    "drop": "a measure, and the stage that stores it",
    "pass_at_k": "a measure, and the stage that samples for it",
    "row": "a measure, and the stage that stores it",
    "csv": "a report's CSV: of cells, and of campaigns",
    "sentences": "a report in words: of cells, and of campaigns",
    "write": "a report in all formats: of cells, and of campaigns",
    "campaign": "a campaign, the command that simulates some, the benchmark of that",
    "store": "the store, the command that looks after one, the benchmark of it",
}
"""Names that several modules may have -> the one thing that they all are about."""

BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_NAMES = {
    "torch.load",
    "torch.manual_seed",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "os.system",
    "yaml.load",
    "numpy.load",
    "np.load",
}
BANNED_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"}
LONGEST, LARGEST = 350, 1_000_000

YAMLS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def _trees_are_let_go() -> Iterator[None]:
    """A million nodes are much for a garbage collector that other tests need."""
    yield
    nodes.cache_clear()
    tree.cache_clear()


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Some circle of a graph, [] where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def rooms(package: str) -> dict[str, set[str]]:
    """Arrows between what lies directly in a package: its modules and its packages, each as one."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[: package.count(".") + 2]) if module.startswith(f"{package}.") else ""

    graph: dict[str, set[str]] = defaultdict(set)
    for module, imported in arrows().items():
        if here := room(module):
            graph[here] |= {there for other in imported if (there := room(other)) and there != here}
    return graph


def offenders(paths: Iterable[Path], wrong: Callable[[Path], object]) -> dict[str, object]:
    """By name of the files that have some, what is wrong with them."""
    return {name_of(path): found for path in paths if (found := wrong(path))}


def targets(node: object) -> set[str]:
    if not isinstance(node, dict):
        return set()
    own = {str(node["_target_"])} if "_target_" in node else set()
    return own.union(*(targets(value) for value in node.values()))


@cache
def named() -> dict[str, set[str]]:
    """Classes that each YAML names."""
    return {name_of(path): targets(OmegaConf.to_container(OmegaConf.load(path))) for path in YAMLS}


def wrong_imports(path: Path) -> list[str]:
    """What a file imports and may not."""
    own, found = path.relative_to(ROOT).parts[0], []
    for module in imports(path):
        top = module.split(".")[0]
        if top not in MAY_IMPORT or top == own or (name_of(path), module) in EXCEPTIONS:
            continue
        if top not in MAY_IMPORT[own] or (top == "teacher" and not module.startswith(API_ONLY.get(own, ""))):
            found.append(module)
    return found


def test_imports_go_down():
    """`MAY_IMPORT` is the table, and `API_ONLY` what two folders know of ``teacher``."""
    assert not offenders(SOURCES, wrong_imports)


def test_exceptions_are_still_needed():
    for name, module in EXCEPTIONS:
        assert module in imports(ROOT / name), f"{name} does not import {module} any more: take it off the list"


def test_no_modules_import_each_other_in_a_circle():
    found = circle(arrows())
    assert not found, " imports ".join(found)


def test_no_rooms_of_a_floor_import_each_other_in_a_circle():
    for package in (name for name, path in modules().items() if path.name == "__init__.py"):
        found = circle(rooms(package))
        ways = [f"{module} -> {other}" for module, others in arrows().items() for other in others if any(
            f"{module}.".startswith(f"{a}.") and f"{other}.".startswith(f"{b}.") for a, b in pairwise(found)
        )]  # fmt: skip
        assert not found, f"{' imports '.join(found)}: {ways}"


def used_twice(names_of: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in modules().values():
        for name in names_of(path):
            found[name].append(name_of(path))
    return {name: where for name, where in found.items() if len(where) > 1}


def test_one_name_of_a_module_means_one_thing():
    """Where several modules are about one thing, `SAME_NAME` says which."""
    found = used_twice(lambda path: [] if path.stem.startswith("__") else [path.stem])
    assert found.keys() == SAME_NAME.keys(), {n: found.get(n, "once") for n in found.keys() ^ SAME_NAME.keys()}


def test_one_name_of_a_class_means_one_thing():
    def public(path: Path) -> list[str]:
        return [n.name for n in tree(path).body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]

    assert not used_twice(public)


def test_loose_modules_of_experiments_say_what_a_cell_is():
    """And how it is opened from Python."""
    loose = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    assert loose == {"__init__", "__main__", "cell", "cell_from", "study"}


def test_every_folder_of_sources_is_in_the_table():
    table = (ROOT / "CONTRIBUTING.md").read_text()
    assert MAY_IMPORT.keys() == set(SOURCE_FOLDERS)
    for folder in MAY_IMPORT:
        assert f"| `{folder}/` |" in table


def test_files_can_be_read_at_one_sitting():
    assert not offenders(FILES, lambda path: max(0, len(path.read_text().splitlines()) - LONGEST))


def test_modules_say_what_they_are():
    assert not offenders(modules().values(), lambda path: not ast.get_docstring(tree(path)))


def test_no_module_is_called_by_what_it_is_not():
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert not [name_of(path) for path in SOURCES if path.stem in vague or vague & set(path.relative_to(ROOT).parts)]


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def banned(path: Path) -> list[str]:
    """What a file imports, calls or says in a call, and may not."""
    found = [module for module in imports(path) if module.split(".")[0] in BANNED_MODULES]
    for node in nodes(path):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            found += [f"{node.lineno}: {called}"] if called in BANNED_CALLS | BANNED_NAMES else []
            for keyword in node.keywords:
                given = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and given is not False:
                    found.append(f"{node.lineno}: {keyword.arg}")
    return found


def test_nothing_banned_is_called():
    assert not offenders(FILES, banned)


def test_loops_are_compiled_in_one_place():
    """Which knows where they are kept: numba by itself raises at import where it can write nowhere."""
    for path in set(SOURCES) - {ROOT / "lm" / "compiled.py"}:
        taken = {
            alias.name
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom) and node.module == "numba"
            for alias in node.names
        }
        assert taken <= {"types"}, f"{name_of(path)}: loops are compiled by lm.compiled"
        assert ("numba" in imports(path)) == bool(taken), f"{name_of(path)} imports numba as a whole"


def test_every_class_that_a_yaml_names_is_there():
    def missing(name: str) -> list[str]:
        split = {target: target.rpartition(".") for target in named()[name]}
        return [target for target, (module, _, kind) in split.items() if not hasattr(import_module(module), kind)]

    assert not {name: found for name in named() if (found := missing(name))}


def parts(folder: str) -> list[Path]:
    """Modules that hold a class with a source of its own: methods, as opposed to what methods share."""
    return [path for path in (ROOT / folder).rglob("*.py") if any(is_method(n) for n in tree(path).body)]


def is_method(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    return any(
        isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.target.id == "source"
        and line.value is not None
        for line in node.body
    )


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").replace("/", ".")


def test_every_method_can_be_chosen():
    """Some YAML in ``configs`` names a class of its module."""
    chosen = {target.rpartition(".")[0] for found in named().values() for target in found}
    methods = {
        p for folder in ("defenses", "attacks", "student/objectives", "experiments/claims") for p in parts(folder)
    }
    assert len(methods) > 100
    assert not {module_of(path) for path in methods} - chosen


@pytest.mark.parametrize("folder", ["defenses", "attacks"])
def test_a_module_that_is_no_method_is_used_by_one(folder):
    used = {module for path in FILES for module in imports(path)}
    methods = set(parts(folder))
    for path in (ROOT / folder).rglob("*.py"):
        module = module_of(path)
        assert path in methods or path.name == "__init__.py" or module in used, f"{module} is neither chosen nor used"


def test_nothing_tracked_is_large():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.split("\0") if name]
    large = {name_of(path): path.stat().st_size for path in files if path.is_file() and path.stat().st_size > LARGEST}
    assert not large
