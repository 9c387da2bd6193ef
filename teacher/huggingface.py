"""A pretrained Hugging Face or GGUF model as the teacher. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec, Weights
from lm.types import Progress
from tasks.base import Task

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class HFTeacher(Pretrained, ModelSpec):
    """Any causal language model that transformers loads; the fields are those of `lm.huggingface.Pretrained`."""

    name: ClassVar[str] = "hf_teacher"
    version: ClassVar[int] = 1

    def memory(self, task: Task) -> int:
        """See `Pretrained.in_use`."""
        return self.in_use()

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """No weights of its own: they stay where they are."""
        return {}

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """See `Pretrained.open`."""
        return self.open()
