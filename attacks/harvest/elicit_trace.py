"""Prompts that ask for the steps in the visible answer, where an interface hides them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.own_words import require_known
from attacks.harvest.selection import draw, quotas


@dataclass(frozen=True)
class ElicitTrace(Harvest):
    """Adaptive: meant against interfaces that hide the working. Asks natural prompts at random and asks for the steps with
    each; learns whatever the answers show, as answers to the prompts themselves.

    How often that works is a stated property of the interface (`Interface.leak`), not an exploit of some model: with that
    probability an answer to such a request shows its trace. The mini teacher follows no instructions, so there nothing is
    added to a prompt and only the fact that the steps are asked for counts (``words`` = ""). For a language model ``words``
    says it in the prompt, and what the teacher then writes behind its answer mark is shown whatever the leak: set
    ``api.leak`` to 0 to measure that alone. Prompts with words added are texts of the attacker's own making (each is
    charged to the data budget, and none of them has tools); the rows are filed under the prompt they were made of, so that
    the student learns the prompt as it will be asked and a checker knows it.

    Findings: ``answers_whole``, the share of the answers of which nothing is visibly missing, NaN without answers.

    Args:
        words: put behind each prompt, after a space; "" for none.
    """

    name: ClassVar[str] = "elicit_trace"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "MoatBench (a stated leak rate); the interface axis: arXiv 2606.25059"
    adaptive: ClassVar[bool] = True
    own_texts: ClassVar[bool] = True

    words: str = ""

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the teacher cannot read the words or a
        family of the pool has too few prompts."""
        items = draw(pool, quotas(pool, client.remaining), context.rng)
        if not self.words:
            return _told(client.ask(items, elicits=True))
        require_known(client, self.words, "attack.harvest.words")
        own = client.own([f"{pool.texts[int(i)]} {self.words}" for i in items])
        got = client.ask(own, elicits=True)
        return _told(replace(got, item=items[got.item - own[0]]))


def _told(got: Harvested) -> Harvested:
    whole = float(1 - got.responses.cut.mean()) if len(got) else float("nan")
    return replace(got, findings={"answers_whole": whole})
