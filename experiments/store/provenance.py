"""Where a result comes from: source revision, package versions, hardware. Knows nothing of what the result is."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lm.gpu import has_gpu

PACKAGES = (
    "moatbench",
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "numba",
    "polars",
    "safetensors",
    "hydra-core",
    "omegaconf",
)
"""Packages that can change a number."""


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Git revision and whether the tree differs from it, package versions, hardware; JSON-able, found once per process."""
    return {
        "git": _git("rev-parse", "HEAD"),
        "dirty": _dirty(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
    }


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _dirty() -> bool | None:
    status = _git("status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str | None:
    if not has_gpu():
        return None
    import torch

    return torch.cuda.get_device_name()
