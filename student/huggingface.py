"""A pretrained Hugging Face or GGUF model as the student: trained in full or through a low-rank adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import torch
from transformers import AutoModelForCausalLM

from configs.errors import ConfigError, require
from configs.extras import needs
from configs.identity import added
from configs.ranges import at_least
from lm.checkpoint import DTYPES
from lm.examples import Examples
from lm.footprint import ROW, footprint_of
from lm.gguf_file import forget_quantization
from lm.huggingface import Pretrained
from lm.model_spec import Weights
from lm.recipe import Recipe
from lm.reinforce import POLICY_TOKENS
from lm.room import UNKNOWN
from lm.shallower import require_layers, shallower, shallower_config
from lm.sizes import require_room
from lm.types import Progress
from student.base import Fitted, StudentSpec
from student.fit import fit
from student.objectives.base import Objective
from tasks.base import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lm.language_model import LanguageModel

TRAININGS = ("lora", "full")
QUANTISED = (
    "quantised weights cannot be trained in full, as reinforcement learning does after any fit, and an adapter merged "
    "into them is rounded with them: choose dtype=bfloat16, and recipe.training=lora where memory is short"
)
"""Why students are not quantised."""

_ADAPTERS: WeakKeyDictionary[PreTrainedModel, Weights] = WeakKeyDictionary()
"""Of models that `HFStudent.load` made: the adapter that is merged into the pretrained weights, {} for none. A model that is
not here (a copy that was trained, weights stored in full) may be anything."""


@dataclass(frozen=True)
class HFRecipe(Recipe):
    """How a Hugging Face student is fitted: the fields of `lm.train.Recipe`, and what of the model is trained.

    Args:
        training: ``lora`` (Hu et al., arXiv 2106.09685: adapters on every linear layer but the head; only they are stored)
            or ``full`` (every weight is trained and stored). Reinforcement learning after the fit (`attacks.refine.rl`)
            trains every weight in either case.
        rank: of the adapters.
        alpha: the adapters' output is scaled by alpha / rank.
        precision: ``bfloat16`` computes matrix products of float32 weights in it (autocast) while the weights, their updates
            and the losses stay as they are; "" computes in the weights' own format.
    """

    name: ClassVar[str] = "hf_recipe"
    version: ClassVar[int] = 2

    steps: int = 100
    batch_size: int = 16
    optimizer: Literal["muon", "adamw"] = "adamw"
    lr: float = 2e-4
    other_lr: float = 2e-4
    micro_tokens: int = 4096
    training: str = "lora"
    rank: int = 16
    alpha: int = 32
    precision: str = added("")

    @property
    def measures(self) -> bool:
        """See `Recipe.measures`."""
        return True

    @property
    def computes_in(self) -> str:
        """See `Recipe.computes_in`."""
        return self.precision

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in ("", "bfloat16"):
            raise ConfigError("recipe.precision", self.precision, "is no format to compute in", ('""', "bfloat16"))
        if self.training not in TRAININGS:
            raise ConfigError("recipe.training", self.training, "is not a way to train", TRAININGS)
        require(self.rank >= 1, "recipe.rank", self.rank, "must be at least 1")
        require(self.alpha >= 1, "recipe.alpha", self.alpha, "must be at least 1")


@dataclass(frozen=True)
class HFStudent(Pretrained, StudentSpec):
    """A student that starts from a pretrained model, or from random weights of its architecture and tokenizer.

    Args:
        from_scratch: entries of the model's configuration to change, e.g. ``{hidden_size: 64, num_hidden_layers: 2}``. Where
            there is one, the base has random weights; it is then trained in full. {} keeps the pretrained weights.
        recipe: the fit.
        layers: so many of the pretrained layers are kept, evenly spaced (`lm.shallower.kept_layers`); 0 for all.
    """

    name: ClassVar[str] = "hf_student"
    version: ClassVar[int] = 2
    refinable: ClassVar[bool] = True

    from_scratch: dict[str, int] = field(default_factory=dict)
    recipe: HFRecipe = field(default_factory=HFRecipe)
    layers: int = added(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "layers")
        require(
            not (self.layers and self.from_scratch), "layers", self.layers, "has none to keep in a student from scratch"
        )
        require(not self.quantize, "quantize", self.quantize, QUANTISED)
        if self.recipe.training == "lora":
            needs("peft", "recipe.training", "lora")
            require(not self.from_scratch, "recipe.training", "lora", "a student from scratch is trained in full")

    @property
    def changes(self) -> Mapping[str, int]:
        """See `Pretrained.changes`."""
        return self.from_scratch

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `Pretrained.sizes`."""
        return {"num_hidden_layers": self.layers} if self.layers else self.from_scratch

    @property
    def label(self) -> str:
        """See `Pretrained.label`, with the layers where not all are kept."""
        return f"{super().label}, {self.layers} layers" if self.layers else super().label

    def check(self, task: Task, max_tokens: int) -> None:
        """See `Pretrained.check`; so many layers are there."""
        super().check(task, max_tokens)
        if self.layers and self.checkpoint.at_hand:
            require_layers(self.checkpoint.config(), self.layers)

    def memory(self, task: Task) -> int:
        """The largest of what sampling and fitting take (`lm.footprint`) and, where layers are left out, both models, which
        are there while they are; nothing where the model is not a local folder."""
        found = footprint_of(self.checkpoint, dict(self.sizes))
        if found is None:
            return 0
        tokens = min(self.recipe.micro_tokens or UNKNOWN, self.recipe.batch_size * ROW)
        computes = 2 if self.recipe.computes_in else found.number
        trained = found.weights if self.recipe.training == "full" else 0
        loading = found.weights + self.checkpoint.weight_bytes() if self.layers else 0
        return max(self.in_use(), loading, found.fit(tokens, trained, computes))

    def refining_memory(self, task: Task) -> int:
        """See `StudentSpec.refining_memory`."""
        found = footprint_of(self.checkpoint, dict(self.sizes))
        trained = 0 if found is None else found.fit(POLICY_TOKENS, found.weights, found.number)
        return max(self.memory(task), trained)

    @property
    def origin(self) -> str:
        """See `ModelSpec.origin`; random weights have none, and a model without some of its layers is another."""
        if self.from_scratch:
            return ""
        return f"{super().origin}, {self.layers} layers" if self.layers else super().origin

    @property
    def steps(self) -> int:
        """See `StudentSpec.steps`."""
        return self.recipe.steps

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """Nothing for a pretrained base; from scratch, its random weights."""
        if not self.from_scratch:
            return {}
        model = self._blank()
        _draw_weights(model, seed)
        return _own_weights(model)

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """The base, with these weights or with this adapter merged into it."""
        model = self._blank() if self.from_scratch else self._pretrained()
        adapter = weights if any("lora_" in name for name in weights) else {}
        if adapter:
            model = _merged(model, adapter, self.recipe)
        elif weights:
            other = sorted(_untied(model).keys() ^ weights.keys())
            require(not other, "path", self.path, f"stored weights are of another model: {other[:3]}")
            model.load_state_dict(dict(weights), strict=False)
            model.tie_weights()
        if not self.from_scratch and weights.keys() == adapter.keys():
            _ADAPTERS[model] = adapter
        return self.wrap(model, self.tokenizer())

    def fit(self, lm: LanguageModel, examples: Examples, objective: Objective, seed: int, progress: Progress) -> Fitted:
        """The adapter, or all weights; see `StudentSpec.fit`.

        An adapter that was fitted to a model with an adapter is stored with it, as one of the sum of both ranks: `load`
        starts from the pretrained weights. One that was fitted to other weights is stored merged into them, all weights.

        Raises:
            ConfigError: a row is longer than the student's texts can be.
        """
        require_room(lm.positions, examples.prompts.lengths, examples.completions.lengths, "examples")
        if self.recipe.training == "full":
            trained = fit(lm, examples, objective, self.recipe, seed, progress)
            return Fitted(_own_weights(trained.lm.model), trained.losses)
        from peft import get_peft_model, get_peft_model_state_dict

        wrapped = get_peft_model(lm.model, _adapter(self.recipe))
        try:
            _draw_adapter(wrapped, seed)
            trained = fit(lm.with_model(wrapped), examples, objective, self.recipe, seed, progress)
        finally:
            wrapped.unload()
            lm.model.requires_grad_(True)
        before = _ADAPTERS.get(lm.model)
        if before is None:
            return Fitted(_own_weights(trained.lm.model.merge_and_unload()), trained.losses)
        own: Weights = get_peft_model_state_dict(trained.lm.model, save_embedding_layers=False)
        return Fitted(_summed(before, own), trained.losses)

    def stored(self, lm: LanguageModel) -> Weights:
        """The adapter of a model that has no more than one, all weights of any other; see `StudentSpec.stored`."""
        adapter = _ADAPTERS.get(lm.model)
        return _own_weights(lm.model) if adapter is None else dict(adapter)

    def _pretrained(self) -> PreTrainedModel:
        """The base with its weights, without the layers that are left out."""
        whole = self.checkpoint.model()
        return shallower(whole, shallower_config(self.checkpoint.config(), self.layers)) if self.layers else whole

    def _blank(self) -> PreTrainedModel:
        """The architecture with the configured changes and whatever weights it is built with."""
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            self.checkpoint.config(self.from_scratch), dtype=DTYPES[self.dtype]
        )
        return forget_quantization(model)


def _adapter(recipe: HFRecipe, times: int = 1) -> Any:
    """An adapter of so many times the recipe's rank; its scale, alpha / rank, is the recipe's all the same."""
    from peft import LoraConfig

    rank, alpha = times * recipe.rank, times * recipe.alpha
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def _summed(first: Weights, second: Weights) -> Weights:
    """Two adapters of one scale as one: B₁A₁ + B₂A₂ = [B₁ B₂][A₁; A₂]. ``first`` may be {}."""
    found = {name: value.detach().cpu().contiguous() for name, value in second.items()}
    return found if not first else {name: _joined(name, first[name], value) for name, value in found.items()}


def _joined(name: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.cat([first, second], dim=0 if "lora_A" in name else 1)


def _merged(model: PreTrainedModel, weights: Weights, recipe: HFRecipe) -> PreTrainedModel:
    from peft import get_peft_model, set_peft_model_state_dict

    ranks = {value.shape[0] for name, value in weights.items() if "lora_A" in name}
    wrapped = get_peft_model(model, _adapter(recipe, max(ranks) // recipe.rank))
    set_peft_model_state_dict(wrapped, dict(weights))
    merged: PreTrainedModel = wrapped.merge_and_unload()
    return merged.requires_grad_(True)


@torch.no_grad()
def _draw_adapter(wrapped: Any, seed: int) -> None:
    """A ~ U(-1/sqrt(in), 1/sqrt(in)) as peft does, from this seed; B stays 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_A" in name:
            bound = parameter.shape[1] ** -0.5
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))


@torch.no_grad()
def _draw_weights(model: PreTrainedModel, seed: int) -> None:
    """Matrices normal with the configuration's standard deviation, from this seed; vectors stay as built."""
    generator = torch.Generator().manual_seed(seed)
    deviation = float(getattr(model.config, "initializer_range", 0.02))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.empty(parameter.shape).normal_(0, deviation, generator=generator))


def _own_weights(model: PreTrainedModel) -> Weights:
    """A copy of the state dict with each tied tensor once (`load` ties them again)."""
    return {name: value.detach().cpu().contiguous() for name, value in _untied(model).items()}


def _untied(model: PreTrainedModel) -> Weights:
    """The state dict, of tensors that are tied the first one."""
    found: Weights = {}
    seen: set[int] = set()
    for name, value in model.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            found[name] = value
    return found
