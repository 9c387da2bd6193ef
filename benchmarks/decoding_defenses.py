"""What each decoding defense takes a token, against the forward passes that it needs.

All of them say the same texts (reference solutions, whatever is likely), in one process, in turns, so that only the models
and the defense's own work differ. *Its passes*: the teacher's own seconds a token plus, for each extra forward pass that is
counted (`lm.passes`), the proxy's seconds a token when it says these texts alone. A ratio of 1.20 is a defense that costs
20 % more than that. The weights are fresh: they do not matter to the time. Every defense of ``configs/defense`` that acts
while the teacher samples is measured as its YAML says, the provider's own student being the proxy.

    python -m benchmarks.decoding_defenses
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

import configs
from benchmarks.pieces import TINY_SIZE, Bench, Size
from benchmarks.stopwatch import timed
from configs.build import build
from defenses.base import Defense, Preparation, RequestFacts, Serving, hooks_of
from lm.examples import Examples
from lm.from_words import fresh_model, mini_language_model, word_examples
from lm.language_model import LanguageModel
from lm.passes import counting
from lm.types import Processor, Sampling
from tasks.mini import MiniTask

ROUNDS = 5
TINY = ("--tiny",)
"""Arguments with which the tests see that it runs; the figures mean nothing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.decoding_defenses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="as the tests do: see that it runs")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bench = Bench(MiniTask(), TINY_SIZE if asked.tiny else Size(queries=1000))
    teacher, proxy = (
        mini_language_model(fresh_model(spec.width, spec.layers, spec.heads, seed))
        for seed, spec in enumerate((bench.teacher, bench.student))
    )
    texts = said(bench, teacher)
    ways: dict[str, Callable[[], None]] = {
        "teacher": partial(say, teacher, texts, None),
        "proxy": partial(say, proxy, texts, None),
    }
    names = {
        name: partial(say, teacher, texts, of)
        for name, defense in decoding().items()
        if (of := processor(defense, teacher, proxy, texts)) is not None
    }
    seconds = dict.fromkeys((*ways, *names), float("inf"))
    for _ in range(1 if asked.tiny else ROUNDS):
        for name, work in (ways | names).items():
            seconds[name] = min(seconds[name], timed(work)[1].cpu)
    total = len(texts.completions.values)
    print(f"teacher {per(seconds['teacher'], total)}, proxy {per(seconds['proxy'], total)} microseconds of CPU a token")
    print("| defense | extra passes | µs a token | µs of its passes | ratio |")
    print("|---|--:|--:|--:|--:|")
    for name, work in names.items():
        with counting() as passes:
            work()
        extra = passes.extra_per_token or 0.0
        needed = seconds["teacher"] + extra * seconds["proxy"]
        row = f"{extra:.2f} | {per(seconds[name], total)} | {per(needed, total)} | {seconds[name] / needed:.2f}"
        print(f"| {name} | {row} |", flush=True)


def decoding() -> dict[str, Defense]:
    """The defenses that act while the teacher samples."""
    found = {}
    for path in sorted((Path(configs.__file__).parent / "defense").glob("*.yaml")):
        alone = OmegaConf.load(path)
        for name, node in alone.items() if "defaults" not in alone else ():  # not the stacks
            defense = build(node, Defense, f"defense.{name}")  # type: ignore[type-abstract]
            if "decode" in hooks_of(defense):
                found[str(name)] = defense
    return found


def said(bench: Bench, lm: LanguageModel) -> Examples:
    """Prompts with their reference solutions."""
    items, rng = bench.items("train", bench.size.queries), np.random.default_rng(bench.seed)
    return word_examples(lm, [item.prompt for item in items], [bench.task.seeded_response(item, rng) for item in items])


def processor(defense: Defense, teacher: LanguageModel, proxy: LanguageModel, texts: Examples) -> Processor | None:
    """What a defense changes the scores of these texts with."""
    count = len(texts)

    def rows(n: int) -> Examples:
        return texts.take(np.arange(min(n, count)))

    prepared = {}
    if "prepare" in hooks_of(defense):
        context = Preparation(teacher, lambda: proxy, rows, np.random.default_rng(0), model=lambda name: proxy)
        prepared = defense.prepare(context)
    zeros = np.zeros(count, np.int64)
    facts = RequestFacts(
        zeros.astype(np.int32), zeros == 0, zeros, np.arange(count), texts.prompts.lengths, np.ones(count)
    )
    return defense.decode(Serving(teacher, lambda name: proxy, prepared), facts)


def say(lm: LanguageModel, texts: Examples, of: Processor | None) -> None:
    """Every text once, token by token."""
    seeds = np.zeros(len(texts), np.int64)
    lm.generate(texts.prompts, Sampling(), seeds, [] if of is None else [of], forced=texts.completions)


def per(seconds: float, tokens: int) -> str:
    """Microseconds a token."""
    return f"{1e6 * seconds / tokens:.1f}"


if __name__ == "__main__":
    main()
