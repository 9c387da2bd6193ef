"""Write the trace that a response was made with, as a reasoner of the attacker's own would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.knowledge import Level
from attacks.recover.inversion import inverter, told_whole
from attacks.recover.retelling import retold
from configs.ranges import at_least
from lm.examples import Examples


@dataclass(frozen=True)
class InvertTrace(Recover):
    """Trace inversion: a model that is fitted to write a surrogate reasoner's whole responses from its prompts and what an
    API of this kind would have shown of them writes the traces of what was harvested.

    The surrogate is the attacker's shadow (`attacks.knowledge.Knowledge`), and should be a reasoner: of one that cannot
    reason there are no traces to learn from. Pairs of which the shown side is the whole are left out, and where none is left
    the rows stay as they are. Every harvested response is inverted that was cut, and kept where the new one has its answer;
    ``all_rows`` inverts all, for defenses which change traces without cutting any.

    Args:
        tries: most draws a response.
        all_rows: whether responses that were not cut are inverted too.
    """

    name: ClassVar[str] = "invert_trace"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Zhang, Morris and Shmatikov 2026, arXiv 2603.07267 (trace inversion models)"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    rehearses: ClassVar[Level] = "interface"
    checks: ClassVar[bool] = False

    tries: int = 4
    all_rows: bool = False

    def __post_init__(self) -> None:
        at_least(self, 1, "tries")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Responses written anew come first, in order, then those left as they were."""
        assert context.rehearsed is not None
        wanted = (data.item >= 0) & (data.cut | self.all_rows)
        clean, served = context.rehearsed
        _, at, among = np.intersect1d(clean.item, served.item, return_indices=True)
        clean, served = clean.take(at), served.take(among)
        whole, shown = context.decode(clean), context.decode(served)
        told = [i for i in range(len(whole)) if whole[i] != shown[i]]
        if not told or not wanted.any():
            return data
        prompts = [context.texts[int(clean.item[i])] for i in told]
        lm = inverter(context, prompts, [shown[i] for i in told], [whole[i] for i in told])
        found = retold(data.where(wanted), context, told_whole(context, lm), self.tries)
        return Examples.concat([found, data.where(~wanted)])
