"""Whether the pretrained models of a plan can be had; a plan that names one which cannot is refused before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

from configs.identity import parts_in
from experiments.engine.graph import StageGraph
from experiments.store.stage import Stage
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec


def planned_models(graph: StageGraph) -> Iterator[tuple[str, Pretrained]]:
    """Each pretrained model that a stage to be run has or names, once, with the part of the configuration that it is ("" for
    one that is named in a part)."""
    seen: set[int] = set()
    for node in graph.nodes.values():
        for held in vars(node.stage).values():
            for model in parts_in(held, beyond=Stage):
                if isinstance(model, Pretrained) and id(model) not in seen:
                    seen.add(id(model))
                    yield getattr(node.stage, "part", "") if isinstance(model, ModelSpec) else "", model


def require_at_hand(graph: StageGraph) -> None:
    """Ask the hub for what is small of each model that is not here yet; weights are downloaded when they are needed.

    Raises:
        ConfigError: it is neither here nor can it be downloaded: what to do.
    """
    for part, model in planned_models(graph):
        with model.named(part) if part and isinstance(model, ModelSpec) else nullcontext():
            model.checkpoint.require_reachable()
