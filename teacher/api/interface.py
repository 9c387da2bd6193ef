"""The interface profile: what the API sells. The third axis of the threat model (arXiv 2606.25059)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from configs.errors import ConfigError, require
from configs.identity import added
from teacher.api.schema import Params

Trace = Literal["full", "summary", "none"]


@dataclass(frozen=True)
class Interface:
    """What is sold. Asking for anything else is a 400, as in real life.

    Args:
        name: short name for tables.
        trace: whether the working is shown in full, as sub-results only, or not at all.
        top_logprobs: most logprobs per token a client may ask for; 0: none are sold.
        logit_bias: whether `Params.logit_bias` is accepted.
        prefill: whether `Params.prefill` is accepted.
        max_n: most responses per request.
        seed: whether a client may set the sampling seed.
        prompt_scoring: whether logprobs of a given completion can be asked for.
        leak: where the trace is hidden or summarised, the probability that a response to a request that asks for the steps
            (`Params.elicits`) shows it all the same. A stated property of the interface, not an exploit; completions that
            are scored leak nothing.
    """

    name: str = "trace"
    trace: str = "full"
    top_logprobs: int = 0
    logit_bias: bool = False
    prefill: bool = False
    max_n: int = 1
    seed: bool = False
    prompt_scoring: bool = False
    leak: float = added(0.0)

    def __post_init__(self) -> None:
        if self.trace not in ("full", "summary", "none"):
            raise ConfigError("api.trace", self.trace, "is not a way to show the trace", ("full", "summary", "none"))
        require(self.top_logprobs >= 0, "api.top_logprobs", self.top_logprobs, "must be at least 0")
        require(self.max_n >= 1, "api.max_n", self.max_n, "must be at least 1")
        require(0 <= self.leak <= 1, "api.leak", self.leak, "must lie in [0, 1]")

    def missing(self, params: Params) -> str | None:
        """The first parameter that is asked for but not sold, in the provider's words; None when all is sold."""
        if params.top_logprobs > self.top_logprobs:
            return f"top_logprobs: {params.top_logprobs} is more than the {self.top_logprobs} this API returns"
        if (most := int(np.max(params.n))) > self.max_n:
            return f"n: {most} is more than the {self.max_n} this API allows"
        if any(params.biases) and not self.logit_bias:
            return "logit_bias: not supported by this API"
        if any(params.prefills) and not self.prefill:
            return "prefill: not supported by this API"
        if params.seeded and not self.seed:
            return "seed: not supported by this API"
        if params.scored and not self.prompt_scoring:
            return "scored: this API does not score completions"
        return None
