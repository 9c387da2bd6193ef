"""Extraction rather than imitation: the hidden size of the teacher, from logits rebuilt out of sold logprobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.biased import Raising, differences, groups_needed
from attacks.harvest.selection import draw, quotas
from configs.errors import ConfigError, require
from teacher.api.interface import Interface

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LastLayerSVD(Harvest):
    """Rebuilds logits of M tokens after P prompts and counts the large singular values of that matrix.

    The logits are z = W h with W (V, d) the output head and h (d,) the last hidden state, so a matrix of logits has rank d
    where P and M are larger. One request gives k − 1 of them, k being the logprobs that the API sells: its ``logit_bias``
    raises k − 1 tokens and one reference token r, the same in all requests, by the same B, so that they are the k most
    probable ones, and z_i − z_r = logprob_i − logprob_r for each i that is listed, whatever the others are.

    How the count follows: differences to r are what the softmax leaves of logits, z_i − z_r = (w_i − w_r)·h. They lose the
    direction in which all logits rise together, of which d loses nothing unless the head can express it: M differences keep
    rank d. Each column is then centred over prompts, which takes out a bias of the head and anything else that is added
    to a token after every prompt, and costs one of the P prompts but no rank. A last norm that subtracts the mean
    (LayerNorm; not RMSNorm) confines h to d − 1 dimensions: the finding is then d − 1.

    With singular values s_1 ≥ s_2 ≥ …, each at least the floor ε(B + max|z_i − z_r|)(√P + √M) that the float32 of
    the logprobs (ε = 1.2e-7) leaves of a value 0, the hidden size is the i < min(P − 1, M) with the largest
    log10 s_i/s_{i+1}. Findings: ``hidden_size``, NaN where that gap is below ``least_gap``, as it is where the budget
    reaches no further than d or noise fills the gap; ``hidden_size_gap``, the gap in powers of ten; ``hidden_size_most``,
    the largest hidden size that could have been found; ``hidden_size_queries`` and ``hidden_size_dollars``, what that took.

    Tokens that the teacher never had to tell apart can have one and the same row in its head, and prompts one and the same
    state: columns, and rows, that agree within the error count once in P and M, or the number of different ones would pass
    for d.

    P and M are chosen as large as each other with the queries there are; M is less than V, P at most twice M. Answers to
    these requests are forced tokens and teach nothing: they are no rows. The rest of the budget is asked at random.

    Args:
        share: of the query budget that may go into this, in (0, 1].
        bias: B, more than the range of the logits.
        least_gap: smallest gap that is believed, in powers of ten.
    """

    name: ClassVar[str] = "last_layer_svd"
    version: ClassVar[int] = 3
    source: ClassVar[str] = "Carlini et al. 2024, arXiv 2403.06634, sections 4 and 5"
    needs: ClassVar[tuple[str, ...]] = ("logit_bias",)

    share: float = 0.75
    bias: float = 50.0
    least_gap: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.share <= 1, "share", self.share, "must be more than 0 and at most 1")
        require(self.bias > 0, "bias", self.bias, "must be positive")
        require(self.least_gap > 0, "least_gap", self.least_gap, "must be positive")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the API sells no ``logit_bias`` or fewer
        than two logprobs, or the budget reaches no hidden size at all."""
        sold = client.interface
        self.require_interface(sold)
        per = min(sold.top_logprobs, client.vocabulary) - 1
        plan = planned(int(self.share * client.remaining), per, client.vocabulary, len(pool))
        if plan.largest < 2:
            reason = f"gives {plan.prompts} prompts and {plan.tokens} tokens, which no hidden size can be read from"
            raise ConfigError("budget.queries", client.remaining, reason)
        left = client.remaining - plan.prompts * plan.groups
        others = draw(pool, quotas(pool, left), context.rng) if left else np.zeros(0, np.int64)
        items = context.rng.choice(len(pool), plan.prompts, replace=False).astype(np.int64)
        tokens = context.rng.choice(client.vocabulary, plan.tokens + 1, replace=False)
        raising, before = Raising.of(tokens, plan.groups, per, self.bias), client.dollars
        asked, biases = np.repeat(items, plan.groups), raising.biases * plan.prompts
        got = client.ask(asked, max_tokens=1, temperature=1.0, logit_bias=biases)
        found = self._found(rebuilt(got, raising, plan.prompts)[:, : plan.tokens])
        found |= {"hidden_size_queries": float(got.asked), "hidden_size_dollars": client.dollars - before}
        got = replace(got.take(np.zeros(0, np.int64)), findings=found)  # what was biased teaches nothing
        return Harvested.concat([got, client.ask(others)]) if left else got

    @staticmethod
    def require_interface(sold: Interface) -> None:
        """Raise `ConfigError` where an API sells no ``logit_bias`` or fewer than two logprobs."""
        require(sold.logit_bias, "api.logit_bias", sold.logit_bias, "last_layer_svd needs an API that sells it")
        reason = "last_layer_svd needs an API that sells at least 2"
        require(sold.top_logprobs >= 2, "api.top_logprobs", sold.top_logprobs, reason)

    def _found(self, logits_PM: Array) -> dict[str, float]:
        whole = logits_PM[:, np.isfinite(logits_PM).mean(0) >= 0.5]
        whole = whole[np.isfinite(whole).all(1)]
        whole = distinct(whole, self.bias)
        whole = whole - (whole.mean(0) if len(whole) else 0.0)
        reference = np.zeros((1, len(whole)))  # a token with its row of the head is no column of its own
        whole = distinct(np.concatenate([reference, whole.T]), self.bias)[1:].T
        size, gap = hidden_size(whole, self.bias)
        most = max(min(whole.shape[0] - 1, whole.shape[1]) - 1, 0)
        found = size if gap >= self.least_gap else np.nan
        return {"hidden_size": found, "hidden_size_gap": gap, "hidden_size_most": float(most)}


class ProbePlan(NamedTuple):
    """Which requests are sent: G groups of tokens after each of P prompts.

    Args:
        prompts: P.
        groups: G.
        tokens: M, in all groups together, without the reference.
    """

    prompts: int
    groups: int
    tokens: int

    @property
    def largest(self) -> int:
        """The largest hidden size that shows: one singular value more has to be there, to be small."""
        return min(self.prompts - 1, self.tokens) - 1


def planned(queries: int, per: int, vocabulary: int, owned: int) -> ProbePlan:
    """About as many tokens as prompts, at most ``queries`` requests.

    Args:
        queries: most requests.
        per: tokens a request, without the reference.
        vocabulary: V.
        owned: prompts there are.
    """
    most = groups_needed(vocabulary - 1, per)
    groups = min(max(int(np.sqrt(queries / per)), -(-queries // (owned + 1)), 1), most)
    tokens = min(groups * per, vocabulary - 1)
    return ProbePlan(min(queries // groups, owned, 2 * tokens + 1), groups, tokens)


def rebuilt(got: Harvested, raising: Raising, prompts: int) -> Array:
    """(P, G·K) logits less that of the reference, NaN where either was not listed.

    Args:
        got: answers to P x G requests of one token, prompt by prompt.
        raising: what was raised in them.
        prompts: P.
    """
    g, k = raising.groups_GK.shape
    logits = np.full((prompts * g, k), np.nan)
    shown = np.flatnonzero(got.responses.tokens.lengths)
    first = got.responses.tokens.offsets[:-1][shown]
    request = got.responses.request[shown]
    ids, logprobs = got.responses.top_ids, got.responses.top_logprobs
    assert ids is not None, "logprobs were asked for"
    assert logprobs is not None, "logprobs were asked for"
    logits[request] = differences(ids[first], logprobs[first], raising.groups_GK[request % g], raising.reference)
    return logits.reshape(prompts, g * k)


def distinct(rows: Array, bias: float) -> Array:
    """The rows that differ from all before them by more than the error of the logprobs, in order.

    Args:
        rows: (n, m) logits less that of the reference, all finite.
        bias: that they were told with.
    """
    tolerance = 8 * np.finfo(np.float32).eps * (bias + np.abs(rows).max(initial=0.0))
    new = [bool((np.abs(rows[:i] - row).max(1, initial=0.0) > tolerance).all()) for i, row in enumerate(rows)]
    return rows[np.array(new, np.bool_)]


def hidden_size(logits_PM: Array, bias: float) -> tuple[float, float]:
    """The number of large singular values and the gap behind them in powers of ten; see `LastLayerSVD`. (NaN, 0) for a
    matrix that has fewer than two.

    Args:
        logits_PM: logits less that of the reference, all finite.
        bias: that they were told with.
    """
    p, m = logits_PM.shape
    if min(p - 1, m) < 2:
        return float("nan"), 0.0
    values = np.linalg.svd(logits_PM - logits_PM.mean(0), compute_uv=False)[: min(p - 1, m)]
    error = np.finfo(np.float32).eps * (bias + np.abs(logits_PM).max())
    values = np.maximum(values, error * (np.sqrt(p) + np.sqrt(m)))
    gaps = np.log10(values[:-1] / values[1:])
    return float(gaps.argmax() + 1), float(gaps.max())
