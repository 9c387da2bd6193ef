"""Every benchmark runs to its end at a tiny size. What it measures there means nothing; a new one is found by itself."""

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
import torch

import benchmarks

MODULES = {name: import_module(f"benchmarks.{name}") for _, name, _ in pkgutil.iter_modules(benchmarks.__path__)}
RUN = {name: module for name, module in MODULES.items() if hasattr(module, "main")}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", RUN)
def test_runs_at_a_tiny_size(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert RUN[name].main(list(RUN[name].TINY)) in (0, None)
    assert any(character.isdigit() for character in capsys.readouterr().out)


def test_a_module_without_a_run_is_part_of_another():
    written = [Path(module.__file__).read_text() for module in MODULES.values()]
    for name in MODULES.keys() - RUN.keys():
        assert any(f"from benchmarks.{name} import" in text or f"benchmarks import {name}" in text for text in written)
