"""Active harvest: ask where several students of the attacker's disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import HarvestContext
from attacks.client import Harvested
from attacks.harvest.active import Active
from configs.errors import require
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class Disagreement(Active):
    """Adaptive: trains a committee of students on what it has, asks next where they disagree, until the budget is spent.

    Query by committee by bagging: each member is trained on as many rows as there are, drawn from them with replacement, in
    an order of its own. Member i answers each candidate greedily, y^i of T_i tokens (its end included, tools not run), and
    the candidate scores the mean over pairs i ≠ j of

        (1/T_i) Σ_t [log q_i(y^i_t) − log q_j(y^i_t)],  nats a token,

    how much less probable another member finds each token that a member says: KL(q_i ‖ q_j) along the text that i takes for
    the most probable, in the place of its expectation (votes on whole texts, as the first committees took them, are all
    different as soon as answers are long). An uncertain committee that agrees scores 0, where `Uncertainty` scores high.
    See `Active` for the rounds and the other fields; training costs ``members`` times as much.

    Args:
        members: students in the committee.
    """

    name: ClassVar[str] = "disagreement"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Seung et al. 1992 (query by committee); Abe & Mamitsuka 1998 (by bagging); McCallum & Nigam 1998 (KL); token mean: "
        "Settles & Craven 2008; beside Pal et al. 2020 (ActiveThief), AAAI 34(01)"
    )

    members: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.members >= 2, "members", self.members, "must be at least 2")

    def unsure(self, texts: list[str], harvested: Harvested, context: HarvestContext) -> NDArray[np.float64]:
        """See `Active.unsure`."""
        if not len(harvested):
            return np.zeros(len(texts))
        bags = [context.rng.integers(len(harvested), size=len(harvested)) for _ in range(self.members)]
        committee = [context.fit(harvested.take(bag), seed=i) for i, bag in enumerate(bags)]
        return disagreement(committee, texts, self.max_tokens)


def disagreement(committee: Sequence[LanguageModel], texts: list[str], max_tokens: int) -> NDArray[np.float64]:
    """(R,) how much the members disagree on each prompt, nats a token; see `Disagreement`."""
    sampling, total = Sampling(temperature=0.0, max_tokens=max_tokens), np.zeros(len(texts))
    for i, speaker in enumerate(committee):
        prompts = speaker.encode_prompts(texts)
        said = speaker.generate(prompts, sampling, np.zeros(len(texts), np.int64)).tokens
        own = speaker.score(prompts, said).logprob.astype(np.float64)
        for j, other in enumerate(committee):
            if i != j:
                gap = own - other.score(prompts, said).logprob
                total += np.bincount(said.row_of_value, gap, len(texts)) / np.maximum(said.lengths, 1)
    return total / (len(committee) * (len(committee) - 1))
