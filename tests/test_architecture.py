"""The shape of the project: what may import what, names, sizes of files, what is never called, what every YAML names."""

from __future__ import annotations

import ast
import subprocess
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[1]

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

FOLDERS = (*MAY_IMPORT, "tests", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = [path for path in FILES if path.relative_to(ROOT).parts[0] in MAY_IMPORT]
YAMLS = sorted((ROOT / "configs").rglob("*.yaml"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, those for types only included."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
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
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def known(name: str) -> str:
    """The module that an imported name is, or else is of; "" where it is not of this project."""
    owner = name.rpartition(".")[0]
    return name if name in modules() else owner if owner in modules() else ""


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


def targets(node: object) -> set[str]:
    if not isinstance(node, dict):
        return set()
    own = {str(node["_target_"])} if "_target_" in node else set()
    return own.union(*(targets(value) for value in node.values()))


@cache
def named() -> dict[str, set[str]]:
    """Classes that each YAML names."""
    return {name_of(path): targets(OmegaConf.to_container(OmegaConf.load(path))) for path in YAMLS}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_down(path):
    own = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        top = module.split(".")[0]
        if top not in MAY_IMPORT or top == own or (name_of(path), module) in EXCEPTIONS:
            continue
        assert top in MAY_IMPORT[own], f"{name_of(path)} imports {module}: {own} may import {sorted(MAY_IMPORT[own])}"
        if top == "teacher" and own in API_ONLY:
            assert module.startswith(API_ONLY[own]), f"{name_of(path)} imports {module}: only {API_ONLY[own]} is known"


def test_exceptions_are_still_needed():
    for name, module in EXCEPTIONS:
        assert module in imports(ROOT / name), f"{name} does not import {module} any more: take it off the list"


def test_no_modules_import_each_other_in_a_circle():
    found = circle(arrows())
    assert not found, " imports ".join(found)


@pytest.mark.parametrize("package", [name for name, path in modules().items() if path.name == "__init__.py"])
def test_no_rooms_of_a_floor_import_each_other_in_a_circle(package):
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
    for folder in MAY_IMPORT:
        assert f"| `{folder}/` |" in table


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_can_be_read_at_one_sitting(path):
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"], ids=name_of)
def test_modules_say_what_they_are(path):
    assert ast.get_docstring(tree(path))


def test_no_module_is_called_by_what_it_is_not():
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert not [name_of(path) for path in SOURCES if path.stem in vague or vague & set(path.relative_to(ROOT).parts)]


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_banned_is_called(path):
    where = name_of(path)
    assert not BANNED_MODULES & {module.split(".")[0] for module in imports(path)}, where
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            assert called not in BANNED_CALLS | BANNED_NAMES, f"{where}:{node.lineno} calls {called}"
            for keyword in node.keywords:
                given = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                unsafe = keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and given is not False
                assert not unsafe, f"{where}:{node.lineno} {keyword.arg}"


def test_loops_are_compiled_in_one_place():
    """Which knows where they are kept: numba by itself raises at import where it can write nowhere."""
    for path in set(SOURCES) - {ROOT / "lm" / "compiled.py"}:
        taken = {
            alias.name
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom) and node.module == "numba"
            for alias in node.names
        }
        assert taken <= {"types"}, f"{name_of(path)}: loops are compiled by lm.compiled"
        assert ("numba" in imports(path)) == bool(taken), f"{name_of(path)} imports numba as a whole"


@pytest.mark.parametrize("name", sorted(named()))
def test_every_class_that_a_yaml_names_is_there(name):
    for target in named()[name]:
        module, _, kind = target.rpartition(".")
        assert hasattr(import_module(module), kind), f"{name} names {target}"


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


@pytest.mark.parametrize(
    "path",
    [*parts("defenses"), *parts("attacks"), *parts("student/objectives"), *parts("experiments/claims")],
    ids=name_of,
)
def test_every_method_can_be_chosen(path):
    module = name_of(path).removesuffix(".py").replace("/", ".")
    assert any(target.rpartition(".")[0] == module for found in named().values() for target in found), (
        f"no YAML in configs/ names a class of {module}"
    )


@pytest.mark.parametrize("folder", ["defenses", "attacks"])
def test_a_module_that_is_no_method_is_used_by_one(folder):
    used = {module for path in FILES for module in imports(path)}
    methods = set(parts(folder))
    for path in (ROOT / folder).rglob("*.py"):
        module = name_of(path).removesuffix(".py").replace("/", ".")
        assert path in methods or path.name == "__init__.py" or module in used, f"{module} is neither chosen nor used"


def test_nothing_tracked_is_large():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.split("\0") if name]
    large = {name_of(path): path.stat().st_size for path in files if path.is_file() and path.stat().st_size > LARGEST}
    assert not large
