"""``moatbench lm-eval``: a model of a cell, scored by lm-evaluation-harness, which this project does not install.

Source: Gao et al. 2024, doi 10.5281/zenodo.12608602; its Python interface of version 0.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from configs.errors import ConfigError, require
from experiments.cli.arguments import CommandLine
from experiments.cli.export_student import pretrained_of

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

PACKAGE = "lm_eval"


class Score(NamedTuple):
    """One number of the harness.

    Args:
        task: that it is of.
        metric: as the harness spells it, its filter included: ``exact_match,strict-match``.
        value: of the metric.
        stderr: its standard error; None where the harness gives none.
    """

    task: str
    metric: str
    value: float
    stderr: float | None


def main(asked: CommandLine) -> int:
    """Score, print a line a metric, and write all that the harness says beside the reports."""
    check_installed()
    options = asked.options
    require(bool(options.tasks), "--tasks", options.tasks, "must name tasks of the harness, such as gsm8k,arc_easy")
    from experiments.study import open_cell

    cell, name = open_cell(asked.words), options.model or "student"
    lm = pretrained_of(cell, name)
    found = evaluated(
        lm,
        options.tasks.split(","),
        include=options.include,
        limit=options.limit,
        shots=options.shots,
        chat=options.chat,
    )
    for score in scores_of(found):
        error = "" if score.stderr is None else f" ± {score.stderr:.4f}"
        print(f"{score.task}  {score.metric}  {score.value:.4f}{error}")
    place = Path(str(cell.config.out)) / f"lm-eval-{cell.key[:8]}-{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(found, indent=1, default=str))
    print(place)
    return 0


def check_installed() -> None:
    """Raise `ConfigError` where the harness is not there."""
    if find_spec(PACKAGE) is None:
        raise ConfigError("lm-eval", PACKAGE, "is not installed: pip install 'lm-eval[hf]>=0.4.9'")


def evaluated(
    lm: LanguageModel,
    tasks: list[str],
    *,
    include: str | None = None,
    limit: int | None = None,
    shots: int | None = None,
    chat: bool = False,
) -> dict[str, Any]:
    """What the harness says of a model: ``results``, ``versions``, ``configs``, ``n-samples`` and more.

    Args:
        lm: of transformers; it is used as it is, in its own number format and on its device.
        tasks: names that the harness knows, or finds in ``include``.
        include: folder with task files of one's own.
        limit: only the first so many items of each task.
        shots: worked examples before each question; None for each task's own number.
        chat: put each question into the model's chat template.

    Raises:
        ConfigError: the harness has no such task.
    """
    evaluator, manager = import_module("lm_eval.evaluator"), import_module("lm_eval.tasks").TaskManager
    model = import_module("lm_eval.models.huggingface").HFLM
    known = manager(include_path=include)
    for task in tasks:
        if task not in known.all_tasks:
            raise ConfigError(
                "--tasks", task, "is not a task that the harness knows (--include names a folder of your own)"
            )
    wrapped = model(pretrained=lm.model, tokenizer=lm.tokenizer, device=str(lm.device), batch_size=8)
    found: dict[str, Any] = evaluator.simple_evaluate(
        model=wrapped,
        tasks=tasks,
        num_fewshot=shots,
        limit=limit,
        apply_chat_template=chat,
        system_instruction=lm.system or None,
        task_manager=known,
        log_samples=False,
    )
    return found


def scores_of(found: Mapping[str, Any]) -> list[Score]:
    """The numbers among the results."""
    scores = []
    for task, metrics in found["results"].items():
        for metric, value in metrics.items():
            name, _, by = metric.partition(",")
            if isinstance(value, (int, float)) and by and not name.endswith("_stderr"):
                error = metrics.get(f"{name}_stderr,{by}")
                scores.append(Score(task, metric, float(value), error if isinstance(error, float) else None))
    return scores
