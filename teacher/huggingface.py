"""A pretrained Hugging Face or GGUF model as the teacher. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError, require
from configs.extras import needs
from configs.identity import added
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec, Weights
from lm.types import Progress
from tasks.base import Task

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

ENGINES = ("transformers", "vllm")


@dataclass(frozen=True)
class HFTeacher(Pretrained, ModelSpec):
    """Any causal language model that transformers loads.

    Args:
        engine: what runs it: ``transformers``, or ``vllm``, which is faster for large teachers, spreads over all GPUs, and
            takes no part of a defense that acts on logits or weights (`lm.vllm_engine`). Not run here.

    The other fields are those of `lm.huggingface.Pretrained`.
    """

    name: ClassVar[str] = "hf_teacher"
    version: ClassVar[int] = 2

    engine: str = added("transformers")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine not in ENGINES:
            raise ConfigError("engine", self.engine, "runs no teacher here", ENGINES)
        if self.answers_only:
            gguf = self.path.endswith(".gguf")
            require(not gguf, "engine", self.engine, "runs folders and models of the hub: convert the .gguf file first")
            needs("vllm", "engine", self.engine, alone=True)

    @property
    def answers_only(self) -> bool:
        """See `ModelSpec.answers_only`."""
        return self.engine != "transformers"

    @property
    def spread(self) -> bool:
        """See `Pretrained.spread`: vLLM takes all GPUs."""
        return self.answers_only or super().spread

    def memory(self, task: Task) -> int:
        """See `Pretrained.in_use`."""
        return self.in_use()

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """No weights of its own: they stay where they are."""
        return {}

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """See `Pretrained.open`."""
        return self._by_vllm() if self.answers_only else self.open()

    def _by_vllm(self) -> LanguageModel:
        from lm.sizes import positions_of
        from lm.vllm_engine import VLLMModel, open_engine

        self.checkpoint.require_reachable()
        tokenizer, ends = self.tokenizer(), self.checkpoint.ends()
        longest = positions_of(self.checkpoint.config())
        engine, params = open_engine(self.path, self.revision, self.dtype, self.quantize, longest)
        form = self.format(tokenizer, tuple({*ends, int(tokenizer.eos_token_id)}))
        fields = (engine, tokenizer, form, self.batch_tokens, self.system)
        return VLLMModel(*fields, params=params, ended_by=ends, longest=longest)
