"""What crosses the API, in columns: prompts, requests, verdicts, responses. One array per field, not an object per request,
so the same code serves a lab run of 2,000 queries and a campaign of 16 million."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.columnar import Columnar, per_row, per_token
from lm.ragged import Ragged
from lm.types import ToolRunner

OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, RATE_LIMITED = 200, 400, 401, 403, 429


@dataclass(frozen=True)
class Prompts:
    """The distinct prompts a client may send.

    Args:
        texts: P prompt texts.
        tokens: P rows of the teacher's token ids, chat template included (what is billed as input).
        tools: the client's tool runner over rows of these prompts, or None.
        embedding: (P, d) float32 unit rows, what the provider's text encoder makes of each; None where nobody has encoded
            them yet (`defenses.admission.sight` then does).
        sketch: (P,) int32 MinHash bucket of each text, equal for near copies; None where nobody has sketched them yet.
    """

    texts: Sequence[str]
    tokens: Ragged
    tools: ToolRunner | None = None
    embedding: NDArray[np.float32] | None = None
    sketch: NDArray[np.int32] | None = None

    def and_also(self, texts: Sequence[str], tokens: Ragged) -> Prompts:
        """These prompts and more, which nobody has tools for; nobody has encoded or sketched them yet."""
        known, tools = len(self.texts), self.tools

        def run(rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
            results: list[list[int]] = [[] for _ in rows]
            old = np.flatnonzero(rows < known).tolist()
            if tools is not None and old:
                for at, result in zip(old, tools(rows[old], [generated[i] for i in old]), strict=True):
                    results[at] = result
            return results

        return Prompts([*self.texts, *texts], Ragged.concat([self.tokens, tokens]), None if tools is None else run)


@dataclass(frozen=True)
class Params:
    """Parameters of B requests: the same for all of them, or one a request where that is said.

    Args:
        temperature: sampling temperature the client asks for; 0 is greedy. A number, or (B,).
        max_tokens: most tokens a response may have. A number, or (B,).
        n: responses per request. A number, or (B,).
        top_logprobs: logprobs per token the client asks for; 0 for none.
        logit_bias: by token id; or B of these.
        prefill: text put at the start of the assistant's turn, "" for none; or B of these.
        seeded: whether the client sets the sampling seed (`Requests.seed` is then honoured, else the provider's own).
        scored: whether logprobs of a completion of the client's own are asked for, and no answer.
        elicits: whether the prompt asks for the steps in the visible answer; or B of these. It is no parameter of a real
            API but a fact about the text, which decides where an interface leaks (`Interface.leak`). A teacher that
            follows instructions reads it in the text; for one that follows none, this alone counts.
    """

    temperature: float | NDArray[np.float64] = 1.0
    max_tokens: int | NDArray[np.int64] = 64
    n: int | NDArray[np.int64] = 1
    top_logprobs: int = 0
    logit_bias: Mapping[int, float] | Sequence[Mapping[int, float]] = field(default_factory=dict)
    prefill: str | Sequence[str] = ""
    seeded: bool = False
    scored: bool = False
    elicits: bool | Sequence[bool] = False

    def __post_init__(self) -> None:
        require(bool(np.all(np.asarray(self.n) >= 1)), "n", self.n, "must be at least 1")

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the parameters that each request has its own of."""
        return tuple(f.name for f in fields(self) if not isinstance(getattr(self, f.name), (int, float, str, Mapping)))

    @property
    def biases(self) -> Sequence[Mapping[int, float]]:
        """All logit biases there are: one for all requests, or one each."""
        return [self.logit_bias] if isinstance(self.logit_bias, Mapping) else self.logit_bias

    @property
    def prefills(self) -> Sequence[str]:
        """All prefills there are: one for all requests, or one each."""
        return [self.prefill] if isinstance(self.prefill, str) else self.prefill

    def take(self, rows: NDArray[np.integer]) -> Params:
        """Those of the given requests."""
        own = {name: getattr(self, name) for name in self.varied}
        taken: dict[str, Any] = {
            n: v[rows] if isinstance(v, np.ndarray) else [v[int(r)] for r in rows] for n, v in own.items()
        }
        return replace(self, **taken) if taken else self

    def each(self, name: str, count: int) -> NDArray[Any]:
        """(count,) a numeric parameter of every request."""
        return np.broadcast_to(np.asarray(getattr(self, name)), (count,))

    def reserved(self, count: int) -> NDArray[np.int32]:
        """(count,) output tokens that each request may take, all its responses together."""
        most = self.each("max_tokens", count) * self.each("n", count)
        return most.astype(np.int32) if not self.scored else np.zeros(count, np.int32)


@dataclass(frozen=True)
class Requests(Columnar):
    """B requests, in order of time within each organisation (all together, unless a campaign sends them).

    Args:
        time: (B,) float64 seconds on the virtual clock.
        account: (B,) int32 index of the account.
        prompt: (B,) int64 row of `Prompts`.
        input_tokens: (B,) int32.
        seed: (B,) int64 sampling seed.
        network: (B,) int32 network (/24) each came from; None where all come from their account's own.
    """

    time: NDArray[np.float64] = per_row()
    account: NDArray[np.int32] = per_row()
    prompt: NDArray[np.int64] = per_row()
    input_tokens: NDArray[np.int32] = per_row()
    seed: NDArray[np.int64] = per_row()
    network: NDArray[np.int32] | None = per_row(default=None)


@dataclass(frozen=True)
class Verdicts(Columnar):
    """What admission says of B requests.

    Args:
        status: (B,) int16, 200 to admit, otherwise an HTTP status.
        retry_after: (B,) float32 seconds until it is worth trying again; NaN where no such header is sent.
        reason: (B,) short machine-readable reason, "" where admitted.
        marked: (B,) bool whether a defense suspects who asks: an admitted request that is marked may be answered otherwise.
    """

    status: NDArray[np.int16] = per_row()
    retry_after: NDArray[np.float32] = per_row()
    reason: NDArray[np.object_] = per_row()
    marked: NDArray[np.bool_] = per_row()

    @classmethod
    def admitted(cls, n: int) -> Verdicts:
        """``n`` requests, all let through."""
        return cls(
            np.full(n, OK, np.int16), np.full(n, np.nan, np.float32), np.full(n, "", object), np.zeros(n, np.bool_)
        )

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(B,) whether the request goes to the teacher."""
        return np.asarray(self.status == OK)


@dataclass(frozen=True)
class Responses(Columnar):
    """R responses, token by token.

    Args:
        request: (R,) int64 row of the `Requests` each answers (``n`` rows for a request of n responses).
        tokens: R rows of token ids that the client sees.
        channel: (N,) uint8 `lm.types.Channel` of each token.
        finished: (R,) bool whether the model reached the end of sequence (False: ``finish_reason`` is "length").
        cut: (R,) bool whether the provider visibly cut or hid part of the response's trace.
        output_tokens: (R,) int32 tokens billed, hidden ones included.
        logprob: (N,) float32 of each visible token, or None where none are sold.
        top_ids: (N, k) int32, -1 where missing, or None.
        top_logprobs: (N, k) float32, -inf where missing, or None.
    """

    tokens_in: ClassVar[str] = "tokens"

    request: NDArray[np.int64] = per_row()
    tokens: Ragged = per_row()
    channel: NDArray[np.uint8] = per_token()
    finished: NDArray[np.bool_] = per_row()
    cut: NDArray[np.bool_] = per_row()
    output_tokens: NDArray[np.int32] = per_row()
    logprob: NDArray[np.float32] | None = per_token(np.nan, default=None)
    top_ids: NDArray[np.int32] | None = per_token(-1, default=None)
    top_logprobs: NDArray[np.float32] | None = per_token(-np.inf, default=None)

    def most_probable(self, k: int) -> Responses:
        """With the first k logprobs a token, none at all for k = 0."""
        if self.top_ids is None or self.top_logprobs is None or self.top_ids.shape[1] <= k:
            return self
        if k == 0:
            return replace(self, logprob=None, top_ids=None, top_logprobs=None)
        return replace(self, top_ids=self.top_ids[:, :k], top_logprobs=self.top_logprobs[:, :k])

    def keep_tokens(self, mask: NDArray[np.bool_]) -> Responses:
        """Drop tokens where ``mask`` (N,) is False, from every aligned array; ``cut`` is set on rows that lost any."""
        self._require_one_a_token(mask)
        lost = np.bincount(self.tokens.row_of_value[~mask], minlength=len(self)) > 0
        return replace(super().keep_tokens(mask), cut=self.cut | lost)
