"""What people who only use the API get from it: items of one split, asked in a sample of an honest population's requests
through the same defenses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from experiments.stages.harvest import HarvestStage
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import Offer, open_gateway
from experiments.stages.prepare import PrepareStage
from experiments.stages.prompts import honest_items, prompts_of
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage
from experiments.stages.settings import Measure
from experiments.stages.users import Served, Visit, drawn_users, honest_params, served_from
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed
from lm.types import Channel
from tasks.base import Item, Split, Task
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class HonestStage(Stage):
    """Sends the honest population through the defended gateway, and judges what the sampled requests got.

    Args:
        teacher: the model behind the API.
        base: the provider's proxy.
        prepared: preparation stages by defense name, for those that need one.
        offer: interface, prices and defenses.
        measure: the population, and the held-out items.
        max_tokens: per response.
        seed: of the cell.
        harvest: the attack that the users met in one gateway, where a defense looks across accounts; None where the users
            have a gateway to themselves, which then gives the same (tests/experiments/stages/test_one_gateway.py).
        proxy_student: the provider's own student, where a defense uses it.
        split: whose items they ask: ``heldout`` for what is reported, ``provider`` for what a provider may tune a defense
            on.
    """

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
    harvest: HarvestStage | None = None
    split: Split = "heldout"
    proxy_student: ProxyStudentStage | None = None

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        other = {} if self.split == "heldout" else {"split": self.split}
        return {
            "offer": self.offer.identity(),
            "measure": self.measure.identity(),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            **other,
        }

    def memory(self) -> int:
        """See `Stage.memory`: the population and all that it asks."""
        return self.measure.memory()

    def inputs(self) -> dict[str, Stage]:
        """The teacher; the attack that was met, or the provider's proxy and prepared defenses."""
        if self.harvest is not None:
            return {"teacher": self.teacher, "harvest": self.harvest}
        prepared = {f"prepared.{n}": s for n, s in self.prepared.items()}
        return {"teacher": self.teacher, **self._models.inputs(), **prepared}

    @property
    def _models(self) -> ProviderModels:
        return ProviderModels(self.base, self.proxy_student)

    def run(self, context: Context) -> Artifact:
        """``items``: one row per request of the sample. ``load``: all judged requests by group of users
        (`experiments.measure.honest_load`), and ``accounts``, from which it was made."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        task = self.teacher.task
        items = honest_items(task, self.measure, self.split, self.seed)
        served = self._served(items, teacher, context) if self.harvest is None else _met(context)
        asked = [items[row] for row in served.sample["item"]]
        table = served.sample.with_columns(
            item=pl.Series([item.id for item in asked]),
            family=pl.Series([item.family for item in asked]),
            level=pl.Series([item.level for item in asked]),
        ).with_row_index("request")
        judged = judge(task, asked, served.responses, teacher)
        table = table.join(judged, on="request", how="left", maintain_order="left").drop("request")
        table = table.with_columns(
            pl.col("strict", "lenient", "finished").fill_null(value=False), pl.col("output_tokens").fill_null(0)
        )
        return Artifact(tables={"items": table, "load": served.load, "accounts": served.accounts})

    def _served(self, items: list[Item], teacher: LanguageModel, context: Context) -> Served:
        """What the users get from a gateway of their own."""
        prompts = prompts_of(self.teacher.task, items, teacher)
        gateway = open_gateway(
            self.offer,
            teacher,
            self.teacher.key,
            self._models.loaded(context.inputs),
            {name: (stage.key, context.inputs[f"prepared.{name}"]) for name, stage in self.prepared.items()},
            context.store,
            derived_seed(self.seed, "gateway"),
        )
        users = drawn_users(items, self.measure, self.offer.prices, self.seed)
        params = honest_params(self.measure, self.offer.interface, self.max_tokens)
        return Visit(gateway, users, prompts, 0, params, self.measure.patience).finish()


def _met(context: Context) -> Served:
    """What they got from the gateway that an attack went through at the same time."""
    entry = context.inputs["harvest"]
    return served_from({name: entry.table(name) for name in ("sample", "load", "accounts")}, entry.arrays("honest"))


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
    verdicts = task.verdicts(asked, texts)
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


def answer_probability(responses: Responses) -> list[float | None]:
    """(R,) probability of the answer's tokens given what came before them; None where no logprobs are sold, and for a
    response without an answer, which says nothing about how sure the teacher is."""
    if responses.logprob is None:
        return [None] * len(responses)
    answer = responses.channel == Channel.ANSWER
    rows = responses.tokens.row_of_value[answer]
    total = np.bincount(rows, weights=responses.logprob[answer], minlength=len(responses))
    given = np.bincount(rows, minlength=len(responses)) > 0
    return [float(p) if some else None for p, some in zip(np.exp(np.minimum(total, 0.0)), given, strict=True)]
