"""Whole distributions out of a few sold logprobs: every position of an answer, with logit bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.biased import Array, Raising, differences, groups_needed, normalised
from attacks.harvest.selection import draw, quotas
from configs.errors import ConfigError, require
from lm.ragged import Ragged


@dataclass(frozen=True)
class LogitBiasProbe(Harvest):
    """Asks a prompt, then has the answer scored again and again under logit bias, until each of its positions has its whole
    distribution: rows with V logprobs a token in place of the k that are sold, for objectives that match them (`topk_kl`).

    A scored answer tells k logprobs at every position. With k − 1 tokens and one reference raised by B these are the
    differences of k − 1 logits to that of the reference (`attacks.harvest.biased`), so G = ⌈(V − 1)/(k − 1)⌉ scoring
    requests tell all, whatever the length of the answer: a row costs 1 + G queries, and its G scorings are billed as input.
    Where completions are not scored, the same could be had position by position with a prefill of the answer so far, for
    (answer's tokens) × G queries; that is not done here. V is 144 in the mini world (8 scorings with 20 logprobs), and tens
    of thousands for a language model, where this buys few rows.

    A visibly cut answer is not probed (what would be scored is another text than the one that was generated), and a position
    of which a defense lets something out keeps what was sold. What is left of the budget is asked at random. Findings:
    ``logits_rebuilt``, the share of the probed positions that were rebuilt, NaN where none was probed; ``logits_queries``,
    ``logits_dollars``: what the scorings took.

    Args:
        bias: B, more than the range of the logits.
    """

    name: ClassVar[str] = "logit_bias_probe"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Carlini et al. 2024, arXiv 2403.06634, section 5; Finlayson et al. 2024, arXiv 2403.09539, section 4"
    )
    needs: ClassVar[tuple[str, ...]] = ("logit_bias", "prompt_scoring")

    bias: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.bias > 0, "bias", self.bias, "must be positive")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the API sells no ``logit_bias``, scores
        no completions or sells fewer than two logprobs, or the budget does not reach one row."""
        sold = client.interface
        for what in ("logit_bias", "prompt_scoring"):
            require(getattr(sold, what), f"api.{what}", False, "logit_bias_probe needs an API that sells it")
        reason = "logit_bias_probe needs an API that sells at least 2"
        require(sold.top_logprobs >= 2, "api.top_logprobs", sold.top_logprobs, reason)
        per = min(sold.top_logprobs, client.vocabulary) - 1
        groups, total = groups_needed(client.vocabulary - 1, per), client.remaining
        rows = total // (1 + groups)
        if rows < 1:
            reason = f"does not reach one row: its answer and {groups} scorings of it"
            raise ConfigError("budget.queries", total, reason)
        items = draw(pool, quotas(pool, total - rows * groups), context.rng)
        tokens = context.rng.permutation(client.vocabulary)
        answers = client.ask(items[:rows])
        before = client.dollars
        probed, asked = self._probed(client, answers, Raising.of(tokens, groups, per, self.bias))
        shown = probed.findings["logits_rebuilt"]
        found = {"logits_rebuilt": shown, "logits_queries": float(asked), "logits_dollars": client.dollars - before}
        parts = [replace(probed, asked=answers.asked + asked, findings=found)]
        if client.remaining:  # refusals leave some
            parts.append(client.ask(np.resize(np.roll(items, -rows), client.remaining)))
        return Harvested.concat(parts)

    def _probed(self, client: Client, answers: Harvested, raising: Raising) -> tuple[Harvested, int]:
        """The answers with whole distributions where they could be rebuilt, and how many scorings were asked."""
        said, groups = answers.responses.tokens, len(raising.groups_GK)
        open_R = np.flatnonzero((said.lengths > 0) & ~answers.responses.cut)
        if not len(open_R):
            return replace(answers, findings={"logits_rebuilt": np.nan}), 0
        each = np.repeat(open_R, groups)
        scored = client.score(
            answers.item[each],
            said.take(each),
            temperature=self.temperature or 1.0,  # the most probable text is sold with logprobs at 1
            logit_bias=raising.biases * len(open_R),
        )
        logits_NM = rebuilt_rows(scored, said.take(open_R), raising)[:, : client.vocabulary - 1]
        told = np.isfinite(logits_NM).all(1)
        order = np.append(raising.groups_GK[raising.groups_GK >= 0], raising.reference)
        at = said.value_index(open_R)[told]
        return replace(
            widened(answers, at, order, normalised(logits_NM[told])), findings={"logits_rebuilt": float(told.mean())}
        ), scored.asked


def rebuilt_rows(scored: Harvested, said: Ragged, raising: Raising) -> Array:
    """(N, G·K) logits less that of the reference at each of the N tokens of B texts, NaN where they were not told.

    Args:
        scored: answers to B x G scoring requests, text by text; rows whose text came back otherwise tell nothing.
        said: B texts.
        raising: what was raised in each group.
    """
    got, (g, k) = scored.responses, raising.groups_GK.shape
    ids, logprobs = got.top_ids, got.top_logprobs
    assert ids is not None, "logprobs were asked for"
    assert logprobs is not None, "logprobs were asked for"
    logits = np.full((len(said.values), g * k), np.nan)
    for group, wanted in enumerate(raising.groups_GK):
        here = np.flatnonzero(got.request % g == group)
        here = here[got.tokens.lengths[here] == said.lengths[got.request[here] // g]]
        at, told = said.value_index(got.request[here] // g), got.tokens.value_index(here)
        same = got.tokens.values[told] == said.values[at]
        at, told = at[same], told[same]
        wanted_NK = np.broadcast_to(wanted, (len(told), k))
        logits[at, group * k : (group + 1) * k] = differences(ids[told], logprobs[told], wanted_NK, raising.reference)
    return logits


def widened(answers: Harvested, at: NDArray[np.int64], tokens: NDArray[np.int64], logprobs_NV: Array) -> Harvested:
    """The answers with V logprobs a token at these places, most probable first, and with those that were sold at others.

    Args:
        answers: as they were sold.
        at: (n,) places among their tokens.
        tokens: (V,) what the columns stand for.
        logprobs_NV: (n, V) logprobs there.
    """
    got = answers.responses
    if not len(at) or got.top_ids is None or got.top_logprobs is None:
        return answers
    count, k = got.top_ids.shape
    ids = np.full((count, len(tokens)), -1, np.int32)
    logprobs = np.full((count, len(tokens)), -np.inf, np.float32)
    ids[:, :k], logprobs[:, :k] = got.top_ids, got.top_logprobs
    order = np.argsort(-logprobs_NV, axis=1, kind="stable")
    ids[at], logprobs[at] = tokens[order], np.take_along_axis(logprobs_NV, order, 1)
    return replace(answers, responses=replace(got, top_ids=ids, top_logprobs=logprobs))
