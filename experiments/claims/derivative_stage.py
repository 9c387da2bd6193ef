"""How far the finite differences of a decoding defense are from the exact derivative, by their step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from configs.errors import ConfigError
from configs.identity import identity
from experiments.stages.loading import model_of
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import own_items
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

DIRECTION = "grad."
"""What the names of the prepared tensors begin with that make up the direction g."""


@dataclass(frozen=True)
class DerivativeStage(Stage):
    """Δ of the next token after prompts of the provider's own, by central differences in the precision that the defense uses
    and by the exact derivative in 64 bits.

    Args:
        prepared: a defense whose preparation holds a direction in the proxy's parameters.
        epsilons: steps ε.
        prompts: after how many prompts.
        seed: of the cell.
    """

    name: ClassVar[str] = "derivative"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 40.0

    prepared: PrepareStage
    epsilons: tuple[float, ...]
    prompts: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"epsilons": identity(self.epsilons), "prompts": self.prompts, "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The prepared defense and the proxy that it was prepared with."""
        return {"prepared": self.prepared, "proxy": self.prepared.models.proxy}

    def run(self, context: Context) -> Artifact:
        """Table ``measured``: seed, epsilon, error: ‖Δ − exact‖ / ‖exact‖ over all prompts and tokens."""
        import torch

        from defenses.decoding.proxy_delta import PerturbedProxy

        proxy = model_of(self.prepared.models.proxy, context.inputs["proxy"])
        tensors = context.inputs["prepared"].tensors("prepared")
        direction = {n.removeprefix(DIRECTION): t for n, t in tensors.items() if n.startswith(DIRECTION)}
        if not direction:
            name = self.prepared.defense.name
            raise ConfigError("claim.defense", name, "prepares no direction in the proxy's parameters")
        tokens = own_items(
            self.prepared.teacher.task, self.prompts, proxy, derived_seed(self.seed, self.name)
        ).prompts.tokens
        lengths = tokens.lengths
        groups = [
            torch.tensor(np.stack([tokens[int(i)] for i in np.flatnonzero(lengths == n)]), dtype=torch.long)
            for n in np.unique(lengths)
        ]
        exact = torch.cat([exact_delta(proxy.model, direction, ids) for ids in groups])
        errors = []
        for step, epsilon in enumerate(self.epsilons):
            perturbed = PerturbedProxy(proxy, direction, epsilon)
            delta = torch.cat([perturbed.next_token(ids).double().cpu() for ids in groups])
            errors.append(float((delta - exact).norm() / exact.norm()))
            context.progress(step + 1, len(self.epsilons), f"epsilon {epsilon:g}")
        columns = {"seed": [self.seed] * len(errors), "epsilon": list(self.epsilons), "error": errors}
        return Artifact(tables={"measured": pl.DataFrame(columns)})


def exact_delta(model: PreTrainedModel, direction: Mapping[str, Tensor], ids_BT: Tensor) -> Tensor:
    """(B, V) derivative of the log-probabilities of the next token along g: the Jacobian-vector product, in 64 bits.

    Taken in reverse mode, of θ + s·g by s, one token after another: kernels of models need no forward mode, and those of the
    mini architecture have none.

    Args:
        model: the proxy; its own weights are left as they are.
        direction: g, by parameter name.
        ids_BT: texts of one length, without padding.
    """
    import copy

    import torch
    from torch.func import functional_call

    twin = copy.deepcopy(model).eval().double().cpu()
    with torch.enable_grad():
        s = torch.zeros((), dtype=torch.float64, requires_grad=True)
        moved = {name: p.detach() + s * direction[name].detach().to(p) for name, p in twin.named_parameters()}
        output = functional_call(twin, moved, kwargs={"input_ids": ids_BT, "use_cache": False})
        logprobs: Tensor = output.logits[:, -1].log_softmax(-1)
        found = [torch.autograd.grad(one, s, retain_graph=True)[0] for one in logprobs.flatten()]
    return torch.stack(found).view_as(logprobs)
