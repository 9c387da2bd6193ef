"""What people who only use the API get from it: the held-out items, asked by honest accounts through the same gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.build import describe
from experiments.gateway import Offer, open_gateway
from experiments.measure.settings import Measure
from experiments.models import model_of
from experiments.prompts import prompts_of
from experiments.randomness import derived_seed, generator
from experiments.stage import Artifact, Context, Stage
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.prepare import PrepareStage
from experiments.stages.scores import scored_items
from lm.language_model import LanguageModel
from lm.types import Channel
from tasks.base import Item, Task
from teacher.api.client import Patience, exchange, make_requests
from teacher.api.schema import Params, Prompts, Requests, Responses


@dataclass(frozen=True)
class HonestStage(Stage):
    """Sends the held-out items through the defended gateway as honest users do, and judges what they receive."""

    name: ClassVar[str] = "honest"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 3.0

    teacher: TeacherStage
    base: BaseStage
    prepared: Mapping[str, PrepareStage]
    offer: Offer
    measure: Measure
    max_tokens: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {
            "offer": self.offer.identity(),
            "measure": describe(self.measure),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def inputs(self) -> dict[str, Stage]:
        """The teacher, the provider's proxy, prepared defenses."""
        return {"teacher": self.teacher, "base": self.base, **{f"prepared.{n}": s for n, s in self.prepared.items()}}

    def run(self, context: Context) -> Artifact:
        """One row per request of an honest user."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        task = self.teacher.task
        items = scored_items(task, self.measure, self.seed)["heldout"]
        prompts = prompts_of(task, items, teacher)
        gateway = open_gateway(
            self.offer,
            teacher,
            self.teacher.key,
            lambda: model_of(self.base, context.inputs["base"]),
            {name: (stage.key, context.inputs[f"prepared.{name}"]) for name, stage in self.prepared.items()},
            context.store,
            derived_seed(self.seed, "gateway"),
        )
        gateway.accounts.open(self.measure.users)
        params = Params(
            temperature=self.measure.temperature,
            max_tokens=self.max_tokens,
            top_logprobs=min(1, self.offer.interface.top_logprobs),
        )
        requests = self._arrivals(items, prompts)
        patience = Patience(max_wait=self.measure.patience)
        outcome, responses = exchange(gateway, requests, prompts, params, patience)
        bills = gateway.ledger.bills(outcome.requests)
        asked = [items[int(p)] for p in requests.prompt]
        table = pl.DataFrame(
            {
                "item": [item.id for item in asked],
                "family": [item.family for item in asked],
                "level": [item.level for item in asked],
                "account": requests.account,
                "status": outcome.verdicts.status.astype(np.int32),
                "waited": outcome.waited,
                "input_tokens": bills.input_tokens.astype(np.int64),
                "dollars": bills.dollars,
            }
        ).with_row_index("request")
        judged = judge(task, asked, responses, teacher)
        table = table.join(judged, on="request", how="left", maintain_order="left").drop("request")
        table = table.with_columns(
            pl.col("strict", "lenient", "finished").fill_null(value=False), pl.col("output_tokens").fill_null(0)
        )
        return Artifact(tables={"items": table})

    def _arrivals(self, items: list[Item], prompts: Prompts) -> Requests:
        """Requests of honest accounts: heavy-tailed shares of the load (lognormal, σ = 1), arriving uniformly over the
        window, each held-out item asked once."""
        rng = generator(self.seed, "honest")
        weight = rng.lognormal(0.0, 1.0, self.measure.users)
        account = rng.choice(self.measure.users, len(items), p=weight / weight.sum())
        time = np.sort(rng.uniform(0, self.measure.hours * 3600, len(items)))
        order = rng.permutation(len(items))
        seeds = np.array([derived_seed(self.seed, "honest", items[i].id) for i in order], np.int64)
        return make_requests(prompts, order, time, account, seeds)


def judge(task: Task, requested: list[Item], responses: Responses, teacher: LanguageModel) -> pl.DataFrame:
    """One row per response: verdicts, how much of the trace was seen, whether what was seen is right, confidence.

    Args:
        task: judges.
        requested: the item of every request that `Responses.request` may name.
        responses: of one response a request.
        teacher: decodes.
    """
    texts = teacher.decode(responses.tokens)
    asked = [requested[int(r)] for r in responses.request]
    verdicts = [task.verify(item, text) for item, text in zip(asked, texts, strict=True)]
    row = responses.tokens.row_of_value
    trace = np.bincount(row[responses.channel == Channel.TRACE], minlength=len(responses))
    own = np.bincount(row[responses.channel != Channel.TOOL], minlength=len(responses))
    whole = trace + np.maximum(responses.output_tokens - own, 0)
    kept = [float(t / w) if w else None for t, w in zip(trace, whole, strict=True)]
    return pl.DataFrame(
        {
            "request": responses.request.astype(np.uint32),
            "strict": [v.strict for v in verdicts],
            "lenient": [v.lenient for v in verdicts],
            "finished": responses.finished,
            "trace_kept": pl.Series(kept, dtype=pl.Float64),
            "trace_audited": pl.Series([task.audit(i, t) for i, t in zip(asked, texts, strict=True)], dtype=pl.Boolean),
            "output_tokens": responses.output_tokens.astype(np.int64),
            "confidence": pl.Series(answer_probability(responses), dtype=pl.Float64),
        }
    )


def answer_probability(responses: Responses) -> NDArray[np.float64] | list[None]:
    """(R,) probability of the answer's tokens given what came before them, where logprobs are sold."""
    if responses.logprob is None:
        return [None] * len(responses)
    answer = responses.channel == Channel.ANSWER
    total = np.bincount(
        responses.tokens.row_of_value[answer], weights=responses.logprob[answer], minlength=len(responses)
    )
    return np.exp(np.minimum(total, 0.0))
