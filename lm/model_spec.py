"""What a new kind of model implements: how it is trained from its configuration, and built from its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from configs.errors import ConfigError
from configs.identity import Part
from lm.types import Progress

if TYPE_CHECKING:
    import torch

    from lm.language_model import LanguageModel
    from tasks.base import Task

Weights: TypeAlias = "dict[str, torch.Tensor]"
"""A state dict, as stored in safetensors."""


@contextmanager
def field_of(model: Part, part: str) -> Iterator[None]:
    """Within it an error about a field of this model says whose field it is: the models of a cell have fields of the same
    names.

    Args:
        model: whose fields they are.
        part: of the configuration that this model is, as ``teacher``.
    """
    try:
        yield
    except ConfigError as error:
        if error.field.partition(".")[0] in {own.name for own in fields(model)}:  # type: ignore[arg-type]
            raise error.within(part) from error
        raise


class ModelSpec(Part, ABC):
    """One kind of teacher or student: a frozen dataclass whose fields are its configuration.

    ``train`` is run once and its weights stored; ``load`` builds the model from them. Randomness comes from ``seed``.
    ``can_be_asked``: whether there is a model that answers whatever it is asked, or only answers to some prompts.

    A mini model that is not trained at all, as an example:

    >>> from dataclasses import dataclass
    >>> from lm.from_words import fresh_model, mini_language_model
    >>> @dataclass(frozen=True)
    ... class Untrained(ModelSpec):
    ...     name: ClassVar[str] = "untrained"
    ...     version: ClassVar[int] = 1
    ...     width: int = 16
    ...
    ...     @property
    ...     def label(self):
    ...         return f"untrained-{self.width}"
    ...
    ...     def train(self, task, seed, progress):
    ...         return fresh_model(self.width, 1, 2, seed).state_dict()
    ...
    ...     def load(self, task, weights, seed):
    ...         model = fresh_model(self.width, 1, 2, seed)
    ...         model.load_state_dict(weights)
    ...         return mini_language_model(model)
    >>> lm = Untrained().load(None, Untrained().train(None, 0, None), 0)
    >>> lm.score(lm.encode_prompts(["chain 3"]), lm.encode(["add 4"])).logprob.shape
    (2,)
    """

    kind: ClassVar[str] = "model"
    can_be_asked: ClassVar[bool] = True

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name for tables."""

    @property
    def origin(self) -> str:
        """Pretrained weights that it starts from, "" for none: a teacher and a student of one origin are the same model."""
        return ""

    @property
    def answers_only(self) -> bool:
        """Whether what runs it gives answers alone, and neither logits nor weights: a defense that works on those cannot be
        in front of it (`teacher.api.hooks.Hooks.works_on_answers`)."""
        return False

    def check(self, task: Task, max_tokens: int) -> None:
        """Refuse what this model cannot do, before anything runs.

        Args:
            task: whose prompts it is asked.
            max_tokens: of a response.

        Raises:
            ConfigError: the task is of another kind, or a request is too long, or the model itself is not whole.
        """
        return

    def memory(self, task: Task) -> int:
        """Bytes that it takes at least, trained or used; 0 where that is not known. Loads nothing."""
        return 0

    @contextmanager
    def named(self, part: str) -> Iterator[None]:
        """See `field_of`."""
        with field_of(self, part):
            yield

    @abstractmethod
    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """Weights after whatever training the recipe asks for; {} where ``load`` needs none (a pretrained model)."""

    @abstractmethod
    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """The ready model, on the best device there is, in evaluation mode."""
