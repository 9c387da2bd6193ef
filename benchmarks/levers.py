"""What each wording of the mini world teaches: ``python -m benchmarks.levers [--seeds N] [--rows N]``.

A student is fitted to right responses that all take one form (a lever of the world set to always or never, the others off)
and is asked held-out chains. Printed for each form: greedy accuracy, the share of single steps that are right when the
student is led along a reference, how often its own workings take each form, and how often it is right where they merge or
split and where they do neither. A form that teaches as well as the plain one carries no defense; one that carries an effect
alone is seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.stages.prompts import draw
from experiments.stages.scores import step_accuracy
from lm.from_words import word_examples
from lm.language_model import LanguageModel
from lm.types import Sampling
from student.mini import MiniStudent
from student.objectives.sft import SFT
from tasks.base import Item
from tasks.mini import MiniTask, Wording
from tasks.mini.words import CHECK, DIGITS, JOIN

HELDOUT = 300
TINY = ("--seeds", "1", "--rows", "8", "--steps", "2", "--heldout", "4")
FORMS = {
    "plain": Wording(0.0, 0.0, 0.0),
    "as the teacher": Wording(),
    "as teacher=mini_worded": Wording(split=0.04),
    "merge a quarter": Wording(0.25, 0.0, 0.0),
    "merge half": Wording(0.5, 0.0, 0.0),
    "merge all": Wording(1.0, 0.0, 0.0),
    "split a quarter": Wording(0.0, 0.0, 0.0, 0.25),
    "split half": Wording(0.0, 0.0, 0.0, 0.5),
    "split all": Wording(0.0, 0.0, 0.0, 1.0),
    "merge and split a quarter": Wording(0.25, 0.0, 0.0, 0.25),
    "restate all": Wording(0.0, 1.0, 0.0),
    "check all": Wording(0.0, 0.0, 1.0),
    "merge and restate": Wording(1.0, 1.0, 0.0),
}


class Taught(NamedTuple):
    """What one student shows.

    Args:
        accuracy: greedy, on held-out chains.
        steps: share of single steps that are right along references.
        takes: shares of its own workings that merge, split, restate, check.
        right_with, right_without: accuracy where a working merges or splits, and where it does not; NaN for none.
    """

    accuracy: float
    steps: float
    takes: tuple[float, ...]
    right_with: float
    right_without: float


def taught(
    wording: Wording, rows: int, heldout: int, seed: int, base: LanguageModel, spec: MiniStudent, task: MiniTask
) -> Taught:
    """A student of so many responses in this wording."""
    rng = np.random.default_rng([seed, 0x1EE5])
    items = draw(task, "train", {"chain": rows}, seed)
    responses = [task.seeded_response(item, rng, wording) for item in items]
    examples = word_examples(base, [item.prompt for item in items], responses)
    fitted = spec.fit(base, examples, SFT(), seed, lambda *_: None)
    student = spec.load(task, fitted.weights, seed)
    asked = draw(task, "heldout", {"chain": heldout}, seed)
    prompts = student.encode_prompts([item.prompt for item in asked])
    said = student.decode(student.generate(prompts, Sampling(0.0, 64), np.zeros(len(asked), np.int64)).tokens)
    right = np.array([task.verify(item, text).strict for item, text in zip(asked, said, strict=True)])
    forms = np.array([_forms(item, text) for item, text in zip(asked, said, strict=True)])
    hard = forms[:, 0] | forms[:, 1]
    steps = step_accuracy(asked, student).mean()
    return Taught(
        float(right.mean()),
        float(steps) if isinstance(steps, float) else float("nan"),
        tuple(forms.mean(0).tolist()),
        _mean(right[hard]),
        _mean(right[~hard]),
    )


def _forms(item: Item, text: str) -> tuple[bool, bool, bool, bool]:
    """Whether a working leaves a state out, splits one, says again the state it starts from, confirms a step."""
    trace = text.split("#")[0].split()
    functions = sum(word in item.prompt.split()[1:-1] for word in trace)
    states = sum(word in DIGITS for word in trace) - trace.count(JOIN)
    restates = bool(trace) and trace[0] in DIGITS
    return (0 < states < functions, JOIN in trace, restates, CHECK in trace)


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.levers", description=__doc__.split("\n", 1)[0] if __doc__ else ""
    )
    parser.add_argument("--seeds", type=int, default=2, help="base models and students")
    parser.add_argument("--rows", type=int, default=1000, help="responses that each student learns")
    parser.add_argument("--heldout", type=int, default=HELDOUT, help="chains that each is asked")
    parser.add_argument("--steps", type=int, default=0, help="of each training; 0 for the usual")
    asked = parser.parse_args(arguments)
    task, spec = MiniTask(), MiniStudent()
    if asked.steps:
        short = {name: replace(getattr(spec, name), steps=asked.steps) for name in ("base_recipe", "recipe")}
        spec = replace(spec, **short)
    titles = ("form", "accuracy", "steps", "merges", "splits", "restates", "checks", "right if hard / not")
    print("{:26s} {:>16s} {:>6s} {:>7s} {:>7s} {:>9s} {:>7s} {:>20s}".format(*titles))
    bases = [spec.load(task, spec.train(task, seed, lambda *_: None), seed) for seed in range(asked.seeds)]
    for name, wording in FORMS.items():
        found = [taught(wording, asked.rows, asked.heldout, seed, base, spec, task) for seed, base in enumerate(bases)]
        each = " ".join(f"{one.accuracy:.2f}" for one in found)
        steps, (m, s, r, c) = np.mean([one.steps for one in found]), np.mean([one.takes for one in found], 0)
        hard, rest = (np.nanmean([getattr(one, side) for one in found]) for side in ("right_with", "right_without"))
        print(f"{name:26s} {each:>16s} {steps:6.2f} {m:7.2f} {s:7.2f} {r:9.2f} {c:7.2f} {hard:12.2f} / {rest:.2f}")


if __name__ == "__main__":
    main()
