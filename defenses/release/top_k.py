"""List fewer logprobs than the client asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.strength import Strength
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TopK(Defense):
    """Lists only the k largest logprobs of each token, whatever was asked for.

    Values are not renormalised, so what is listed stays a sub-distribution. The logprob of the token that was drawn is
    still told, as providers do, even where it is not among the k.

    Args:
        k: most logprobs listed per token.
    """

    name: ClassVar[str] = "top_k"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tramèr et al., USENIX Security 2016, section 7; provider practice"
    checked: ClassVar[str] = "sorting"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    strength: ClassVar[Strength | None] = Strength("k", 20, 1)

    k: int

    def __post_init__(self) -> None:
        require(self.k >= 1, "k", self.k, "must be at least 1")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop the columns after the k-th; lists come in falling order."""
        if responses.top_ids is None or responses.top_logprobs is None:
            return responses
        return replace(
            responses, top_ids=responses.top_ids[:, : self.k], top_logprobs=responses.top_logprobs[:, : self.k]
        )
