"""How far averaged log-odds of a request that is asked again and again are from those of an undefended API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attacks.recover.average_logprobs import average
from experiments.stages.loading import model_of
from experiments.stages.provider_models import own_items
from experiments.stages.serving import ServingStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context
from lm.seeds import derived_seed
from teacher.api.schema import Params, Prompts, Responses

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AveragingStage(ServingStage):
    """Prompts of the provider's own are asked ``max(counts)`` times for one token through the defended API. For each n of
    ``counts`` the repeats are cut into ``max(counts) // n`` groups of n, and each group is averaged as the attacker does
    (`attacks.recover.average_logprobs.average`).

    What is compared are log-odds to the truly most probable token, in which the normaliser of the perturbed distribution
    cancels: the mean of these is unbiased where noise is added to log-probabilities and nothing is clipped.

    The same requests are also answered without the defense. A teacher in bfloat16 has logits that depend on what else is in
    the batch; by so much the answers differ before any noise is added, and averaging does not take it out.

    Args:
        counts: n, rising; each divides the last.
        prompts: how many are asked.
    """

    name: ClassVar[str] = "averaging"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 15.0

    counts: tuple[int, ...] = (1, 64)
    prompts: int = 64

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        asked = {"counts": list(self.counts), "prompts": self.prompts, "max_tokens": self.max_tokens}
        return {"offer": self.offer.identity(), "seed": self.seed, **asked}

    def run(self, context: Context) -> Artifact:
        """Table ``measured``: a row for each n: seed, defense, n, error: root mean square over groups, prompts and listed
        tokens, in nats; undefended: that of single answers without the defense, the same in each row."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        drawn = derived_seed(self.seed, self.name)
        own = own_items(self.teacher.task, self.prompts, teacher, drawn).prompts
        count, repeats = len(own.texts), self.counts[-1]
        again = Prompts(list(own.texts) * repeats, own.tokens.take(np.tile(np.arange(count), repeats)))
        params = Params(max_tokens=1, top_logprobs=min(self.offer.interface.top_logprobs, teacher.vocabulary))
        clean = replace(self.offer, defenses={})
        truth = _listed(self._answers(clean, teacher, own, params, context), 1, count)
        raw = context.store  # both are answered by one generation
        told, still = (
            _listed(self._answers(offer, teacher, again, params, context, raw), repeats, count)
            for offer in (self.offer, clean)
        )
        undefended = averaged_error(still, truth, 1, teacher.vocabulary)
        errors = []
        for done, n in enumerate(self.counts):
            errors.append(averaged_error(told, truth, n, teacher.vocabulary))
            context.progress(done + 1, len(self.counts), f"{n} answers")
        columns = {
            "seed": [self.seed] * len(errors),
            "defense": ["+".join(self.offer.defenses)] * len(errors),
            "n": list(self.counts),
            "error": errors,
            "undefended": [undefended] * len(errors),
        }
        return Artifact(tables={"measured": pl.DataFrame(columns)})


Listed = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Ids and logprobs, (R, P, k) each: R answers to P prompts."""


def averaged_error(told: Listed, truth: Listed, n: int, vocabulary: int) -> float:
    """Root mean square deviation of log-odds averaged over n answers, over all groups of n, prompts and listed tokens; NaN
    where no token is listed on both sides.

    Args:
        told: R answers to each of P prompts; n divides R.
        truth: one undefended answer to each.
        n: answers that are averaged.
        vocabulary: V.
    """
    (ids, logprobs), top = told, truth[0][0, :, 0].astype(np.int64)
    true = _odds(truth[0][0], truth[1][0], top, vocabulary)
    own = [average(ids[at : at + n], logprobs[at : at + n]) for at in range(0, len(ids), n)]
    away = np.stack([_odds(*found, top, vocabulary) for found in own]) - true
    away[:, np.arange(len(top)), top] = np.nan  # is 0 by definition
    known = np.isfinite(away)
    return float(np.sqrt(np.square(away[known]).mean())) if known.any() else float("nan")


def _odds(ids: NDArray[np.int32], logprobs: NDArray[np.float32], top: NDArray[np.int64], vocabulary: int) -> Array:
    """(P, V) log-probabilities less that of ``top``, NaN where either is not listed."""
    dense = np.full((len(ids), vocabulary), np.nan)
    rows, columns = np.nonzero((ids >= 0) & np.isfinite(logprobs))
    dense[rows, ids[rows, columns]] = logprobs[rows, columns]
    found: Array = dense - dense[np.arange(len(top)), top][:, None]
    return found


def _listed(answers: Responses, repeats: int, count: int) -> Listed:
    """What is listed of the first token of ``repeats`` answers to ``count`` prompts."""
    assert answers.top_ids is not None, "logprobs were asked for"
    assert answers.top_logprobs is not None, "logprobs were asked for"
    k = answers.top_ids.shape[1]
    ids = np.full((repeats * count, k), -1, np.int32)
    logprobs = np.full((repeats * count, k), -np.inf, np.float32)
    shown = np.flatnonzero(answers.tokens.lengths)
    first, row = answers.tokens.offsets[:-1][shown], answers.request[shown]
    ids[row], logprobs[row] = answers.top_ids[first], answers.top_logprobs[first]
    return ids.reshape(repeats, count, k), logprobs.reshape(repeats, count, k)
