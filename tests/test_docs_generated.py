"""Pages that code writes are committed as it writes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def generate():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = [
    ("methods.md", "methods"),
    ("mini-world.md", "mini_world"),
    ("leaderboard.md", "board"),
    ("results/index.md", "results_index"),
]


@pytest.mark.parametrize(("page", "function"), GENERATED)
def test_generated_pages_are_current(page, function):
    text = getattr(generate(), function)()
    assert (ROOT / "docs" / page).read_text() == text, "run python docs/generate.py"
