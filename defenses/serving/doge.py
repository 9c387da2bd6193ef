"""Defensive output generation: the teacher's last layer is tuned to say what it says unlike a student would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError, require
from defenses.base import Defense, Preparation, Prepared, Serving
from defenses.strength import Strength

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

HEAD = "head."


@dataclass(frozen=True)
class Doge(Defense):
    """Fine-tunes the teacher's output head alone, by L = L_LM − α·KL(p_T ‖ p_P) at temperature 2, and serves the teacher so.

    L_LM is the mean cross-entropy of clean traces of the teacher's own (completion tokens, with their weights), p_P the
    provider's own student of it, and KL the mean over the tokens of the working, over the tokens that both models know. The
    trunk stays as it is, so its hidden states are computed once (`defenses.serving.head`). KL has no upper bound: too large
    an α takes the teacher apart, so calibrate it. A head that is tied to the input embedding is untied in the copy.

    Adam without weight decay, batches of ``batch`` traces, at a constant rate. Prepared: ``head.<parameter>`` of the new
    output head; nothing at α = 0, where the teacher itself is served.

    Args:
        alpha: α, at least 0.
        steps: of the fine-tuning.
        lr: learning rate, positive.
        batch: traces a step.
        traces: clean traces to train on.

    Raises:
        ConfigError: on preparing, when teacher and student have different vocabularies, when the teacher's logits are
            more than an output layer of its hidden states, or when training diverges.
    """

    name: ClassVar[str] = "doge"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DOGe, arXiv 2505.19504"
    checked: ClassVar[str] = "the gradient of the whole model by autograd"
    strength: ClassVar[Strength | None] = Strength("alpha", 0, 1)
    uses: ClassVar[tuple[str, ...]] = ("student",)

    alpha: float
    steps: int = 200
    lr: float = 0.001
    batch: int = 32
    traces: int = 512

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, "must be at least 0")
        require(self.steps >= 1, "steps", self.steps, "must be at least 1")
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(self.batch >= 1, "batch", self.batch, "must be at least 1")
        require(self.traces >= 1, "traces", self.traces, "must be at least 1")

    def prepare(self, context: Preparation) -> Prepared:
        """The new head's parameters, in 32 bits."""
        from defenses.serving.head import HeadStates, HeadTuning

        if self.alpha == 0:
            return {}
        student, teacher = context.model("student"), context.teacher
        require(
            student.vocab == teacher.vocab,
            "defense.doge",
            f"{len(student.vocab)} tokens in the student",
            f"needs a student with the teacher's tokenizer ({len(teacher.vocab)} tokens)",
        )
        rows = context.clean_traces(self.traces)
        try:
            states = HeadStates.of(teacher, rows), HeadStates.of(student, rows)
        except ValueError as error:
            raise ConfigError("defense.doge", type(teacher.model).__name__, str(error)) from error
        tuning = HeadTuning(*states, self.alpha, min(len(teacher.vocab), teacher.vocabulary, student.vocabulary))
        for step in range(self.steps):
            chosen = context.rng.choice(len(rows), min(self.batch, len(rows)), replace=False)
            loss = tuning.step(chosen, self.lr)
            require(
                loss == loss and abs(loss) < float("inf"), "defense.doge.alpha", self.alpha, "makes training diverge"
            )
            context.progress(step + 1, self.steps, f"loss {loss:.3f}" if step % 10 == 0 else "")
        return {HEAD + name: p.detach().cpu().clone() for name, p in tuning.head.named_parameters()}

    def serve(self, serving: Serving) -> LanguageModel:
        """The teacher with the new head; the trunk's weights are shared with it and left as they are."""
        if self.alpha == 0:
            return serving.teacher
        from defenses.serving.head import with_head

        new = {name.removeprefix(HEAD): p for name, p in serving.prepared.items() if name.startswith(HEAD)}
        return with_head(serving.teacher, new)
