"""Name the most probable token and no probability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from defenses.base import Defense, ReleaseContext
from teacher.api.schema import Responses


@dataclass(frozen=True)
class HardLabel(Defense):
    """Lists only the most probable token of each position, without its probability.

    What remains sold is the argmax, as a one-hot distribution: one column, logprob 0 where there is a token and -inf
    where it is missing. The drawn token's own logprob is no longer sold.
    """

    name: ClassVar[str] = "hard_label"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tramèr et al., USENIX Security 2016, section 6 (class labels only)"
    checked: ClassVar[str] = "argmax"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Keep the first column's ids; lists come in falling order."""
        if responses.top_ids is None:
            return replace(responses, logprob=None)
        first = responses.top_ids[:, :1]
        return replace(
            responses,
            logprob=None,
            top_ids=first,
            top_logprobs=np.where(first >= 0, np.float32(0), np.float32(-np.inf)),
        )
