"""The lock holds what pyproject.toml asks for, in a form that holds on every platform; the Makefile installs from it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lock.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    Requirement(line)
    for group in ({"": PROJECT["dependencies"]} | PROJECT["optional-dependencies"]).values()
    for line in group
]
LINES = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
LOCKED = [Requirement(line) for line in LINES]


def test_lines_are_names_and_versions_alone():
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+( ; [^@:]+)?", line), line


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_each_range_has_a_version_in_the_lock(asked, python):
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.1"}
    found = [
        next(iter(one.specifier)).version
        for one in LOCKED
        if one.name == canonicalize_name(asked.name) and (one.marker is None or one.marker.evaluate(environment))
    ]
    assert len(found) == 1
    assert found[0] in asked.specifier


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_each_range_has_a_lower_end(asked):
    """Else `make test-oldest` would take the oldest version ever published."""
    assert any(one.operator in (">=", "==", "~=") and Version(one.version) for one in asked.specifier)


def test_set_up_follows_the_lock():
    makefile = (ROOT / "Makefile").read_text()
    assert "$(STAMP): pyproject.toml $(LOCK)\n\t$(call install,$(VENV),-c $(LOCK))" in makefile
    assert "LOCK := requirements/lock.txt" in makefile
    assert re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE) == ["test", "test-web", "lint"]
