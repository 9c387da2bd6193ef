"""Say harvested responses again in words of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.recover.retelling import Retelling, own_words, retold
from configs.ranges import at_least
from lm.examples import Examples
from lm.huggingface import Pretrained
from lm.types import Channel, Sampling

REQUEST = "Say the following answer in other words. Keep every step, every number and the final answer.\n\n"


@dataclass(frozen=True)
class ParaphraseBack(Recover):
    """Replaces each harvested response by another one with the same answer, and learns from those alone (untargeted
    paraphrasing): no text that was served is learnt, and of a watermark what the model that says them again took over.

    With a ``rewriter``, that model is given each response and asked for other words. Responses with tool results stay as
    they are: it cannot run tools. Without one, the attacker's own model, which cannot follow such a request, is fitted to
    what was harvested and answers the prompts anew at temperature 1: its words are its own, but it learnt them from the
    teacher, watermark included. It is `neutralise_watermark` at strength 0, and the control of that.

    Args:
        tries: most responses drawn for a row, until one has its answer.
        rewriter: which model says them again; None for one fitted to them.
    """

    name: ClassVar[str] = "paraphrase_back"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Pan et al. 2025, arXiv 2502.11598 (untargeted paraphrasing); resampling: MoatBench"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    checks: ClassVar[bool] = False

    tries: int = 3
    rewriter: Pretrained | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "tries")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`."""
        assert context.fit is not None
        assert context.own is not None
        if not (data.item >= 0).any():
            return data
        if self.rewriter is None:
            return retold(data, context, own_words(context, context.fit(context.own(data))), self.tries)
        row = data.completions.row_of_value
        fixed = np.bincount(row[data.channel == Channel.TOOL], minlength=len(data)) > 0
        reworded = retold(data.where(~fixed), context, lambda rows: self._rewritten(rows, context), self.tries)
        return Examples.concat([reworded, data.where(fixed)])

    def _rewritten(self, rows: Examples, context: RecoverContext) -> Retelling:
        from lm.by_spec import opened

        assert self.rewriter is not None
        assert context.compute is not None
        lm = opened(self.rewriter)
        reserved = context.compute.reserve(len(rows), len(rows) * context.max_tokens)
        prompts = lm.encode_prompts([REQUEST + text for text in context.decode(rows)])
        seeds = context.rng.integers(0, 2**63 - 1, len(rows))
        drawn = lm.generate(prompts, Sampling(1.0, context.max_tokens), seeds)
        reserved.settle(len(drawn.tokens.values))
        return Retelling(lm.decode(drawn.tokens), drawn.finished)
