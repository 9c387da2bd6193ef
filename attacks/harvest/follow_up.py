"""Conversations of two turns: a follow-up that quotes what was answered before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.own_words import require_known
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class FollowUp(Harvest):
    """Adaptive: asks prompts of the pool, then comes back to what was answered, for a share of the budget.

    A follow-up is one prompt that holds prompt, answer and a request about them, as one who keeps no session open sends it.
    It is a text of the attacker's own making: charged to the data budget, learnt as a prompt of its own, with no tools and
    nobody who checks it. Prompts that were not answered have no follow-up; others of the pool are asked instead.

    For language models. The mini world's teacher answers single prompts of four forms and has no words for a second turn,
    so this is refused there before anything is asked.

    Args:
        share: of the budget for follow-ups, in (0, 0.5].
        request: the follow-up, with ``{prompt}`` and ``{answer}`` where these stand.
    """

    name: ClassVar[str] = "follow_up"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Wang et al. 2023 (Self-Instruct), arXiv 2212.10560, carried to a second turn: MoatBench"
    adaptive: ClassVar[bool] = True
    own_texts: ClassVar[bool] = True

    share: float = 0.5
    request: str = "{prompt} Somebody answered: {answer} Is that right? Solve it again, step by step."

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 < self.share <= 0.5, "share", self.share, "must be more than 0 and at most 0.5: one follow-up an answer"
        )
        for part in ("{prompt}", "{answer}"):
            require(part in self.request, "request", self.request, f"must say where {part} stands")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the teacher cannot read the request or a
        family of the pool has too few prompts."""
        total = client.remaining
        items = draw(pool, quotas(pool, total), context.rng)
        require_known(client, self._filled("", ""), "attack.harvest.request")
        first = total - int(self.share * total)
        turns = [client.ask(items[:first])]
        answers = client.codec.decode(turns[0].responses.tokens)
        said = [(pool.texts[int(i)], text) for i, text in zip(turns[0].item, answers, strict=True) if text.strip()]
        own = client.own([self._filled(*pair) for pair in said[: total - first]])
        rest = np.concatenate([own, items[first : total - len(own)]])
        if len(rest):
            turns.append(client.ask(rest))
        return Harvested.concat(turns)

    def _filled(self, prompt: str, answer: str) -> str:
        return self.request.replace("{answer}", "\0").replace("{prompt}", prompt).replace("\0", answer)
