"""How much memory a plan needs, and how much there is; a plan that cannot fit is refused before anything runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import ConfigError
from configs.identity import parts_in
from experiments.engine.graph import StageGraph
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.refine import RefineStage
from experiments.stages.student import StudentStage
from experiments.store.stage import Stage
from lm.gpu import has_gpu
from lm.huggingface import Pretrained
from lm.later import torch
from lm.model_spec import ModelSpec

PROCESS = 500_000_000
"""Bytes of a worker process with its libraries, before it holds a model (measured on Linux, torch for CPU)."""

CGROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Limit, use and statistics of a container, below /sys/fs/cgroup: version 2 and 1."""


PLACES = ("main", "gpu", "gpus")
"""Where a model is: on the machine, on its first GPU, spread over all of them."""


class _Model(NamedTuple):
    """A model of a plan, in bytes: while it is trained or used, while it is only held, and where (`PLACES`)."""

    most: int
    held: int
    where: str


class Memory(NamedTuple):
    """Bytes, on the machine and on its GPUs.

    Args:
        main: on the machine.
        gpu: on its first GPU.
        most: what takes most of that on the machine.
        gpus: on all its GPUs together, of models that are spread over them.
        most_on_gpu: what takes most of that on GPUs.
    """

    main: int
    gpu: int = 0
    most: str = ""
    gpus: int = 0
    most_on_gpu: str = ""


def needed(graph: StageGraph, workers: int) -> Memory:
    """What this process and so many workers come to when each holds a teacher, a student and the models that parts name,
    trains one of them, and has what a stage takes besides: the largest of the plan. Models whose size is not known count as
    nothing."""
    if not graph.nodes:
        return Memory(0)
    workers = min(workers, len(graph.nodes))
    models: dict[str, _Model] = {}
    besides = 0, ""
    seen: set[str] = set()
    looked_at: set[int] = set()
    for node in graph.nodes.values():
        _note_named(node.stage, models, looked_at)
        for stage in (node.stage, *node.stage.inputs().values()):
            if stage.key not in seen:
                seen.add(stage.key)
                _note(stage, models)
        besides = max(besides, (node.stage.memory(), f"stage {node.stage.name}"))
    main, gpu, gpus = (_together([model for model in models.values() if model.where == place]) for place in PLACES)
    _, most = max([besides, *((model.most, role) for role, model in models.items() if model.where == PLACES[0])])
    _, on_gpu = max([(0, ""), *((model.most, role) for role, model in models.items() if model.where != PLACES[0])])
    whole = (workers + 1) * PROCESS + workers * (main + besides[0])
    return Memory(whole, workers * gpu, most, workers * gpus, on_gpu)


def available() -> Memory:
    """What is free; -1 where that cannot be told."""
    each = [torch.cuda.mem_get_info(gpu)[0] for gpu in range(torch.cuda.device_count())] if has_gpu() else []
    found = [size for size in (_of_machine(), _of_container()) if size is not None]
    return Memory(min(found, default=-1), each[0] if each else -1, "", sum(each) if each else -1)


def workers_that_fit(graph: StageGraph, most: int) -> int:
    """As many workers as memory is free for, 1 at least and ``most`` at most."""
    most = min(most, max(len(graph.nodes), 1))
    need, free = needed(graph, most), available()
    kinds = ((free.main, need.main, PROCESS), (free.gpu, need.gpu, 0))
    found = [_fit(has, wants, fixed, most) for has, wants, fixed in kinds if 0 <= has < wants]
    return max(min(found, default=most), 1)


def _fit(has: int, wants: int, fixed: int, workers: int) -> int:
    """How many workers there is room for, where so many want so much."""
    return max(has - fixed, 0) * workers // (wants - fixed)


def require_memory(graph: StageGraph, workers: int) -> None:
    """Refuse a plan that needs more than there is.

    Raises:
        ConfigError: what is needed, what there is, and what to change.
    """
    need, free = needed(graph, workers), available()
    together = need.gpu + need.gpus if need.gpus else 0
    for kind, wants, has, what in (
        ("memory", need.main, free.main, "smaller sizes, or a machine with more memory"),
        (
            "GPU memory",
            need.gpu,
            free.gpu,
            "dtype=bfloat16, quantize=4bit for a teacher, or device=gpus to use several",
        ),
        ("memory of all GPUs", together, free.gpus, "dtype=bfloat16, quantize=4bit for a teacher, or more GPUs"),
    ):
        if 0 <= has < wants:
            fixed = PROCESS if kind == "memory" else 0
            fit = _fit(has, wants, fixed, workers)
            change = f"use --workers {fit}" if fit else f"choose {what}"
            most = need.most if kind == "memory" else need.most_on_gpu
            reason = f"needs at least {gigabytes(wants)} of {kind}, most of it for the {most}"
            raise ConfigError("--workers", workers, f"{reason}, and {gigabytes(has)} are free: {change}")


def gigabytes(size: int) -> str:
    """1.2 GB."""
    return f"{size / 1e9:.1f} GB"


def _together(models: Sequence[_Model]) -> int:
    """All are held, and one, which adds the most, is trained."""
    return sum(model.held for model in models) + max((model.most - model.held for model in models), default=0)


def _note(stage: Stage, models: dict[str, _Model]) -> None:
    """The larger of each role's models."""
    if isinstance(stage, RefineStage):
        _larger("student", stage.spec.refining_memory(stage.task), stage.spec, models)
    if not isinstance(stage, (TeacherStage, BaseStage, StudentStage)):
        return
    role = "teacher" if isinstance(stage, TeacherStage) else "student"
    _larger(role, stage.spec.memory(stage.task), stage.spec, models)


def _note_named(stage: Stage, models: dict[str, _Model], looked_at: set[int]) -> None:
    """The models that fields of a stage's parts name, each a role of its own; parts that stages share are looked at once."""
    for held in vars(stage).values():
        if id(held) not in looked_at:
            looked_at.add(id(held))
            for part in parts_in(held, beyond=Stage):
                if isinstance(part, Pretrained) and not isinstance(part, ModelSpec):
                    _larger(f"model {part.path}", part.in_use(), part, models)


def _larger(role: str, size: int, spec: ModelSpec | Pretrained, models: dict[str, _Model]) -> None:
    before = models.get(role, _Model(0, 0, PLACES[0]))
    if size > before.most:
        on_gpu = isinstance(spec, Pretrained) and spec.torch_device().type == "cuda"
        spread = isinstance(spec, Pretrained) and spec.spread
        held = min(size, spec.in_use()) if isinstance(spec, Pretrained) else size
        models[role] = _Model(size, max(held, before.held), PLACES[on_gpu + (on_gpu and spread)])


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _of_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container may still take; file caches, which it can give back, are not counted as taken."""
    for limit, used, statistics in CGROUPS:
        try:
            most, taken = int((root / limit).read_text()), int((root / used).read_text())
            counts = dict(line.split() for line in (root / statistics).read_text().splitlines())
        except (OSError, ValueError):  # no such limit: the file is not there, or says "max"
            continue
        cached = int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
        return max(most - taken + cached, 0)
    return None
