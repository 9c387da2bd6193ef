"""An undistillable teacher: fine-tuned by reinforcement to solve its tasks in words that a student makes little of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from configs.ranges import at_least
from defenses.base import Defense, OwnItems, Preparation, Prepared, Serving
from defenses.strength import Strength
from lm.examples import Examples
from lm.later import torch
from lm.types import Channel, Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

WEIGHT = "weight."
MEASURES = ("ratio", "gain")
EPSILON = 0.003
"""Step of the finite differences of ``gain``."""

Worth = Callable[[Examples, "NDArray[np.float32]"], "NDArray[np.float64]"]
"""How hard each of B responses is to distil, from the rows and the (N,) log-probabilities that they were drawn with."""


@dataclass(frozen=True)
class Undistillable(Defense):
    """Tunes the teacher by policy gradient for right answers, a KL anchor to itself, and responses that are hard to distil.

    A step draws G responses to each of P tasks of the provider's own at temperature 1. The advantage of a response is
    A = A_task + η·A_hard, each standardised in its group of G (`lm.reinforce.advantages`): of its being right, and of how
    hard it is to distil. The step goes down −mean over tokens of [A·log π − β·KL(π ‖ π_before)], π_before being the teacher
    as it was (`lm.reinforce.anchored`). η is the paper's knob; its other sign makes a teacher easier to distil.

    How hard: ``ratio``, the paper's, log π(y|x) − log p_P(y|x) summed over the response, whose mean is KL(π ‖ p_P): far
    from what the public base p_P says. ``gain``, Σ Δ(y_t) with Δ of antidistillation (`defenses.decoding.proxy_delta`): how
    much the base's loss on clean traces would rise if it learnt the response. The paper scores across tokenizers; here
    teacher and base share one. A response is cut at twice the longest clean trace, so that it cannot grow without end.

    Written from the paper's abstract and published summaries of its sections 5 and 6, without its equations: frozen teacher
    and proxy, rewards standardised by group, a sequence log-ratio. The constants are this project's.

    In the mini world preparing takes 32 to 42 seconds of a core. One seed, 200 items a family, imitation; undefended honest
    accuracy is .984 and the student's in reasoning .985. ``gain``: .968 and .565 at η = .3, .956 and .45 at .5, .929 and .41
    at 1. ``ratio`` does not hold here: .970 and .985 at η = .3; at 1 .740 and .53, where the served teacher's own reasoning
    is .57, all of which the student learns.

    AdamW at a constant rate, all weights. Prepared: ``weight.<parameter>``; nothing at η = 0, where the teacher itself is
    served. No extra passes while it serves.

    Args:
        eta: η, at least 0.
        measure: ``ratio`` or ``gain``.
        beta: β, at least 0.
        steps: of the fine-tuning.
        prompts: P.
        samples: G, at least 2.
        lr: learning rate, positive.
        items: tasks that are drawn from.
        traces: clean traces that bound the length and that ``gain`` is taken on.

    Raises:
        ConfigError: on preparing, when teacher and base have different vocabularies, when the base's gradient vanishes, or
            when training diverges.
    """

    name: ClassVar[str] = "undistillable"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Zhan et al., arXiv 2604.18963, section 5"
    checked: ClassVar[str] = (
        "antidistillation's Δ for the gain; the knob takes the teacher from the base, the anchor holds it"
    )
    strength: ClassVar[Strength | None] = Strength("eta", 0, 2)

    eta: float
    measure: Literal["ratio", "gain"] = "ratio"
    beta: float = 0.05
    steps: int = 40
    prompts: int = 32
    samples: int = 8
    lr: float = 0.0003
    items: int = 1000
    traces: int = 256

    def __post_init__(self) -> None:
        require(self.eta >= 0, "eta", self.eta, "must be at least 0")
        if self.measure not in MEASURES:
            raise ConfigError("measure", self.measure, "is no measure of how hard a response is to distil", MEASURES)
        require(self.beta >= 0, "beta", self.beta, "must be at least 0")
        at_least(self, 1, "steps", "prompts", "items", "traces")
        at_least(self, 2, "samples")
        require(self.lr > 0, "lr", self.lr, "must be positive")

    def prepare(self, context: Preparation) -> Prepared:
        """The tuned weights."""
        from lm.reinforce import advantages, anchored, policy_of, policy_recipe

        if self.eta == 0:
            return {}
        teacher, base = context.teacher, context.proxy()
        require(
            base.vocab == teacher.vocab,
            "defense.undistillable",
            f"{len(base.vocab)} tokens in the proxy",
            f"needs a proxy with the teacher's tokenizer ({len(teacher.vocab)} tokens)",
        )
        clean, items = context.clean_traces(self.traces), context.items(self.items)
        worth, most = self._worth(base, clean), 2 * int(clean.completions.lengths.max())
        policy = policy_of(teacher, policy_recipe(self.steps, self.lr))
        for step in range(self.steps):
            chosen = context.rng.choice(len(items.family), min(self.prompts, len(items.family)), replace=False)
            asked = np.repeat(chosen, self.samples)
            rows, now, right = _drawn(policy.lm, items, asked, most, context.rng)
            hard = worth(rows, now)
            task, apart = (advantages(reward.reshape(-1, self.samples)).reshape(-1) for reward in (right, hard))
            before = teacher.score(rows.prompts, rows.completions).logprob
            policy.learn(anchored(rows, task + self.eta * apart, now, before, self.beta))
            finite = all(bool(p.isfinite().all()) for p in policy.lm.model.parameters())
            require(finite, "defense.undistillable.lr", self.lr, "makes training diverge")
            context.progress(step + 1, self.steps, f"right {right.mean():.3f}, hard {hard.mean():.2f}")
        return {WEIGHT + name: p.detach().cpu().clone() for name, p in policy.lm.model.named_parameters()}

    def serve(self, serving: Serving) -> LanguageModel:
        """A copy of the teacher with the tuned weights."""
        if self.eta == 0:
            return serving.teacher
        model = copy.deepcopy(serving.teacher.model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(serving.prepared[WEIGHT + name])
        return serving.teacher.with_model(model.eval())

    def _worth(self, base: LanguageModel, clean: Examples) -> Worth:
        from lm.directional import both_sides, holdout_gradient

        if self.measure == "ratio":
            return lambda rows, now: _summed(rows, now - base.score(rows.prompts, rows.completions).logprob)
        try:
            direction = holdout_gradient(base, clean)
        except ValueError as error:
            raise ConfigError("defense.undistillable.traces", len(clean), str(error)) from error
        plus, minus = both_sides(base, direction, EPSILON)

        def gain(rows: Examples, now: NDArray[np.float32]) -> NDArray[np.float64]:
            up, down = (lm.score(rows.prompts, rows.completions).logprob.astype(np.float64) for lm in (plus, minus))
            return _summed(rows, (up - down) / (2 * EPSILON))

        return gain


def _summed(rows: Examples, each: NDArray[np.floating]) -> NDArray[np.float64]:
    """(B,) sum over the tokens of each response that the model said itself."""
    said = np.where(rows.weight != 0, each, 0.0)
    return np.bincount(rows.completions.row_of_value, said, len(rows)).astype(np.float64)


def _drawn(
    lm: LanguageModel, items: OwnItems, asked: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[Examples, NDArray[np.float32], NDArray[np.float64]]:
    """Responses to these items, the (N,) log-probabilities of their tokens, and (B,) 1 where the checker accepts one."""
    prompts, tools = items.prompts.tokens.take(asked), items.prompts.tools

    def run(rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
        assert tools is not None
        return tools(asked[rows], generated)

    seeds = rng.integers(0, 2**62, len(asked))
    drawn = lm.generate(prompts, Sampling(1.0, most), seeds, tools=None if tools is None else run)
    said = (drawn.channel != Channel.TOOL).astype(np.float32)
    nowhere, whole = np.full(len(asked), -1, np.int64), np.zeros(len(asked), np.bool_)
    right = [items.check(int(item), text) for item, text in zip(asked, lm.decode(drawn.tokens), strict=True)]
    rows = Examples(prompts, drawn.tokens, drawn.channel, said, nowhere, whole)
    return rows, drawn.logprob, np.array(right, np.float64)
