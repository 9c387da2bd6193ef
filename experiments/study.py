"""One cell in Python: run it, read what its stages stored as text and tables, ask its models. ``docs/python.md`` shows how.

Reads what is stored and computes nothing again, except the text of answers, of which only the grades are stored.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from rich.console import Console

from configs.errors import ConfigError, MoatBenchError, require
from experiments.calibration.settle import settle
from experiments.cell_from import cell_from
from experiments.compose.compose import Composed, compose_one
from experiments.engine.changed_code import changed
from experiments.engine.display import display_of
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.stages.generated import generated
from experiments.stages.harvest import harvested_of, pool_items
from experiments.stages.loading import model_of
from experiments.stages.prompts import prompts_of, scored_items
from experiments.stages.row import RowStage
from experiments.stages.scores import ScoreStage
from experiments.stages.stage_names import OF, named_stages
from experiments.stages.training_set import examples_of
from experiments.store.entry import Entry
from experiments.store.stage import Stage
from experiments.store.store import Store, StoreFullError
from lm.seeds import derived_seed
from lm.texts import TextModel
from lm.types import Sampling

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lm.model_spec import ModelSpec
    from lm.ragged import Ragged

Attacker = Literal["student", "undefended", "self"]
"""Whose data: the cell's attack; the same without defenses; the same effort with the base model in the teacher's place."""


def open_cell(overrides: Sequence[str] = (), store: Path | str | None = None) -> OpenCell:
    """The cell that these overrides describe. Nothing is run, and nothing written.

    Args:
        overrides: as after ``moatbench run``: ``["defense=trace_hidden", "seed=0"]``.
        store: folder of the results; None for that of the configuration (``results/store``).

    Raises:
        ConfigError: unknown names, values that cannot be, more than one cell.
    """
    require(not isinstance(overrides, str), "overrides", overrides, "must be a list, such as ['defense=trace_hidden']")
    composed = compose_one(list(overrides))
    if store is not None:
        composed = replace(composed, plain={**composed.plain, "store": str(Path(store).expanduser().resolve())})
    [composed] = settle([composed]).cells or [composed]
    return OpenCell(composed, Store(composed.plain["store"]), cell_from(composed.plain).row_stage())


@dataclass(frozen=True)
class OpenCell:
    """One cell, its store, and its results by name; made by `open_cell`.

    Methods that read raise `MoatBenchError` where the result is not stored yet, and `ConfigError` with the choices where the
    cell has nothing of a name.
    """

    composed: Composed
    store: Store
    last: RowStage

    def __repr__(self) -> str:
        return f"OpenCell({list(self.composed.overrides)}, store={str(self.store.root)!r})"

    @property
    def config(self) -> DictConfig:
        """The resolved configuration, read-only: ``cell.config.budget.queries``."""
        return self.composed.config

    @property
    def key(self) -> str:
        """Key of the cell's row in the store."""
        return self.last.key

    def run(self, quiet: bool = False) -> OpenCell:
        """Run the stages that are missing, one after the other in this process; the cell itself.

        Args:
            quiet: show no progress.

        Raises:
            MoatBenchError: a stage failed; what was finished is stored.
        """
        graph = plan([Wanted(self.last, self.composed.label)], self.store)
        console = Console(stderr=True, quiet=quiet)
        for remark in changed(graph, self.store):
            console.print(remark, highlight=False)
        with display_of(graph, 1, console) as display:
            outcome = LocalEngine(workers=0).run(graph, self.store, display)
        if outcome.full:
            raise StoreFullError(self.store.root)
        for failure in outcome.failures:
            raise MoatBenchError(f"stage {failure.stage} failed: {failure.error}\n  traceback: {failure.traceback}")
        return self

    def stages(self) -> pl.DataFrame:
        """``name``, ``stage`` (its kind), ``key``, ``stored``, ``seconds`` it took (null where it is not stored)."""
        rows = [(name, stage, self.store.manifest(stage)) for name, stage in self._named.items()]
        table = [(n, s.name, s.key, m is not None, None if m is None else float(m["seconds"])) for n, s, m in rows]
        return pl.DataFrame(table, ["name", "stage", "key", "stored", "seconds"], orient="row")

    def result(self, name: str) -> Entry:
        """What a stage stored: ``.table(NAME)`` (polars), ``.arrays(NAME)`` (NumPy), ``.meta``; names as in `stages`."""
        stage = _one_of(self._named, name, "stage")
        entry = self.store.get(stage)
        if entry is None:
            words = shlex.join([*self.composed.overrides, f"store={self.store.root}"])
            raise MoatBenchError(f"{name} is not stored yet: call .run(), or run it with\n  moatbench run {words}")
        return entry

    def row(self) -> dict[str, Any]:
        """The cell's row: its facts and measures by name (docs/measures.md)."""
        return self.result("row").table("row").row(0, named=True)

    def training_set(self, of: Attacker = "student") -> pl.DataFrame:
        """What the student was trained on, as text: ``item`` (prompt of the attacker's pool, -1 for none), ``prompt`` (with
        the student's chat template), ``text``, ``tokens`` (how many), ``learnt`` (how many of them count), ``cut`` (whether
        the provider visibly cut the response)."""
        name = f"training_set{_suffix(of)}"
        rows, student = examples_of(self.result(name)), self.model("base").lm
        texts = {"prompt": student.decode(rows.prompts), "text": student.decode(rows.completions)}
        learnt = np.bincount(rows.completions.row_of_value, rows.weight > 0, len(rows)).astype(np.int64)
        lengths = {"tokens": rows.completions.lengths, "learnt": learnt}
        return pl.DataFrame({"item": rows.item, **texts, **lengths, "cut": rows.cut})

    def responses(self, of: Attacker = "student") -> pl.DataFrame:
        """What the attacker received, in order: ``request``, ``item`` (of his pool, then of his own texts), ``prompt``,
        ``text``, ``finished``, ``cut`` (whether the provider visibly cut it), ``output_tokens`` (billed)."""
        got = harvested_of(self.result(f"harvest{_suffix(of)}"))
        facts = {name: getattr(got.responses, name) for name in ("finished", "cut", "output_tokens")}
        texts = {"prompt": self._prompts(of), "text": self._said(of, got.responses.tokens)}
        return pl.DataFrame({"request": got.responses.request, "item": got.item, **texts, **facts})

    def generations(self, of: Attacker = "student") -> pl.DataFrame:
        """What the model behind the API generated for each row of `responses`, before the interface and the defenses after
        decoding changed it: ``request``, ``prompt``, ``text``, ``finished``.

        Raises:
            MoatBenchError: raw generations are not in the store any more.
        """
        entry, prompts = self.result(f"harvest{_suffix(of)}"), self._prompts(of)
        responses = harvested_of(entry).responses
        parts = generated(entry, responses, prompts, self.store)
        texts = [text for part in parts for text in self._said(of, part.tokens)]
        finished = [ended for part in parts for ended in part.finished.tolist()]
        return pl.DataFrame({"request": responses.request, "prompt": prompts, "text": texts, "finished": finished})

    def answers(
        self,
        model: str = "student",
        split: Literal["heldout", "harder"] = "heldout",
        decoding: Literal["greedy", "sampled"] = "greedy",
    ) -> pl.DataFrame:
        """What a model answered to the items it was scored on: ``item``, ``family``, ``level``, ``prompt``, ``reference``,
        ``text``, and the stored grades ``strict``, ``lenient``, ``finished``. Texts are not stored: they are drawn again
        with the same seeds, and null where this machine draws others.

        Args:
            model: one that the cell scores, such as ``student``, ``undefended``, ``self``, ``base``, ``teacher``.
            split: ``heldout`` or ``harder`` items.
            decoding: ``greedy`` or ``sampled``.
        """
        stage: ScoreStage = _one_of(self.last.scores, model, "model")
        stored = self.result(f"scores.{model}").table("items")
        drawn = {"greedy": 0.0, "sampled": stage.measure.temperature}
        temperature, task = _one_of(drawn, decoding, "decoding"), stage.model.task
        items = _one_of(scored_items(task, stage.measure, stage.seed), split, "split")
        table = stored.filter((pl.col("split") == split) & (pl.col("decoding") == decoding))
        assert table["item"].to_list() == [item.id for item in items]
        lm = self.model(model).lm
        prompts = prompts_of(task, items, lm)
        seeds = np.array([derived_seed(stage.seed, stage.name, item.id) for item in items], np.int64)
        made = lm.generate(prompts.tokens, Sampling(temperature, stage.max_tokens), seeds, tools=prompts.tools)
        texts = [
            text if (task.verify(item, text).strict, int(length)) == graded else None
            for item, text, length, graded in zip(
                items, lm.decode(made.tokens), made.tokens.lengths, table.select("strict", "tokens").rows(), strict=True
            )
        ]
        words = {"prompt": prompts.texts, "reference": [item.reference for item in items], "text": texts}
        grades = table.select("strict", "lenient", "finished")
        return pl.concat([table.select("item", "family", "level"), pl.DataFrame(words), grades], how="horizontal")

    def model(self, name: str) -> TextModel:
        """A model of the cell, to be asked in words or, as ``.lm``, in tokens. Do not train it in place.

        Args:
            name: as in tables: ``teacher``, ``base`` (the student before any query), ``student``, ``undefended`` (its twin
                without defenses), ``self`` (its twin without a teacher); where the attack refines its student,
                ``distilled`` is the student before; ``proxy_student``, where a defense trains one.
        """
        return TextModel(model_of(self._model_stage(name), self.result(name)), self.last.harvest.max_tokens)

    def spec(self, name: str) -> ModelSpec:
        """The configuration of a model of the cell, named as in `model`."""
        found: ModelSpec = self._model_stage(name).spec
        return found

    def _model_stage(self, name: str) -> Any:
        models = {n: s for n, s in self._named.items() if hasattr(s, "spec") and hasattr(s, "task")}
        return _one_of(models, name, "model")

    @cached_property
    def _named(self) -> dict[str, Stage]:
        return named_stages(self.last)

    def _prompts(self, of: Attacker) -> list[str]:
        """The prompt of each response that the attacker received."""
        entry, stage = self.result(f"harvest{_suffix(of)}"), self.last.harvest
        pool, _ = pool_items(stage.task, stage.budget, stage.seed)  # the same for all
        texts = [*(item.prompt for item in pool), *entry.meta["own_texts"]]
        return [texts[row] for row in harvested_of(entry).item.tolist()]

    def _said(self, of: Attacker, tokens: Ragged) -> list[str]:
        """Tokens of the model behind the API as text."""
        return self.model("base" if of == "self" else "teacher").lm.decode(tokens)


def _suffix(of: str) -> str:
    return str(_one_of(OF, of, "of"))


def _one_of(found: Mapping[str, Any], name: str, field: str) -> Any:
    if name not in found:
        raise ConfigError(field, name, "is not there", tuple(found))
    return found[name]
