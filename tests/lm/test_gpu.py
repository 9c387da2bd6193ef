"""What is decided by whether there is a GPU, with drivers and torch made up: no machine of the tests has one."""

from multiprocessing.context import SpawnContext

import pytest
import torch

from experiments.engine import memory, pool
from lm import gpu


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    """No driver is installed, and nothing is remembered of who asked before."""
    monkeypatch.setattr(gpu, "ROCM", tmp_path / "kfd")
    monkeypatch.setattr(gpu, "DRIVERS", ("libnosuchdriver.so.1",))
    gpu.has_gpu.cache_clear()
    yield tmp_path / "kfd"
    gpu.has_gpu.cache_clear()


def test_torch_is_asked_only_where_a_driver_is_installed(monkeypatch, no_driver):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not gpu.has_gpu()
    no_driver.touch()
    gpu.has_gpu.cache_clear()
    assert gpu.has_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.has_gpu.cache_clear()
    assert not gpu.has_gpu()


def test_workers_of_a_gpu_are_not_forked(monkeypatch):
    monkeypatch.setattr(pool, "has_gpu", lambda: True)
    assert isinstance(pool._context(1, ()), SpawnContext)


def test_free_memory_of_a_gpu_is_torch_s(monkeypatch):
    assert memory.available().gpu == -1 or torch.cuda.is_available()
    monkeypatch.setattr(memory, "has_gpu", lambda: True)
    monkeypatch.setattr(memory.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", lambda gpu: ((123, 456), (100, 456))[gpu])
    assert (memory.available().gpu, memory.available().gpus) == (123, 223)
