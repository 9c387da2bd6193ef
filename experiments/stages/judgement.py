"""What one judge says of the stored texts of one model or API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from configs.identity import identity
from experiments.stages.judged_texts import ReleasedTextsStage, TextsStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.model_spec import field_of
from tasks.text_judge import JudgedTexts, TextJudge


@dataclass(frozen=True)
class JudgementStage(Stage):
    """Has a judge rate texts.

    Args:
        called: what the configuration calls the judge, for messages.
        judge: who rates.
        texts: which texts.
        clean: what the undefended teacher says to the same items; None where the judge is not shown that.
    """

    name: ClassVar[str] = "judgement"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 20.0

    called: str
    judge: TextJudge
    texts: TextsStage
    clean: ReleasedTextsStage | None = None

    def config(self) -> dict[str, Any]:
        """See `Stage.config`: who rates."""
        return {"judge": identity(self.judge)}

    def inputs(self) -> dict[str, Stage]:
        """The texts, and the teacher's where they are compared with these."""
        return {"texts": self.texts, **({} if self.clean is None else {"clean": self.clean})}

    def run(self, context: Context) -> Artifact:
        """``ratings``: a row a text: item, family, rating (null: none), mass, good (null without a rating), program (the
        verdict that the judge is compared with; null where there is none), tokens."""
        texts = context.inputs["texts"].table("texts")
        with field_of(self.judge, f"judge.{self.called}"):
            said = self.judge.ratings(self._judged(texts, context))
        rated = ~np.isnan(said.rating)
        found = texts.select(
            "item",
            "family",
            rating=pl.Series(said.rating, nan_to_null=True, dtype=pl.Float64),
            mass=pl.Series(said.mass, nan_to_null=True, dtype=pl.Float64),
            good=pl.when(pl.Series(rated)).then(pl.Series(self.judge.good(said.rating))),
            program=pl.lit(None, pl.Boolean) if self.judge.program == "none" else pl.col(self.judge.program),
            tokens="tokens",
        )
        return Artifact(tables={"ratings": found})

    def _judged(self, texts: pl.DataFrame, context: Context) -> JudgedTexts:
        """What the judge may be shown."""
        questions, references, rated = (texts[name].to_list() for name in ("question", "reference", "text"))
        beside: list[str] = []
        if self.clean is not None:
            clean = context.inputs["clean"].table("texts")
            said = dict(zip(clean["item"], clean["text"], strict=True))
            beside = [said.get(item, "") for item in texts["item"]]
        return JudgedTexts(questions, references, rated, beside, self.texts.key, texts["item"].to_list())
