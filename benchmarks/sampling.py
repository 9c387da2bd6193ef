"""Tokens per second of sampling a harvest from the mini teacher, against ``model.generate`` at each of several batch sizes.

Both draw one response to every prompt, run tools where the teacher calls them, and use one thread; ours also gives every row
its own stream of random numbers and keeps the log-probability of each token. With and without a logits processor (the
``temperature`` defense's). The teacher is trained first (about a minute; not timed).

    python -m benchmarks.sampling
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
import transformers
from transformers import LogitsProcessor

from benchmarks import baseline
from benchmarks.pieces import TINY_SIZE, Bench, Size, quiet
from benchmarks.stopwatch import Time, timed
from defenses.base import NOBODY, Serving
from defenses.decoding.temperature import Temperature
from experiments.stages.prompts import prompts_of
from lm.types import Sampling
from tasks.mini import MiniTask

ROUNDS = 3
TINY = ("--tiny", "--batches", "8")
"""Arguments with which the tests see that it runs; the figures mean nothing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.sampling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024, 2128], help="of generate")
    parser.add_argument("--tiny", action="store_true", help="as the tests do: see that it runs")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    bench = Bench(MiniTask(), TINY_SIZE if asked.tiny else Size())
    lm = bench.teacher.load(bench.task, bench.teacher.train(bench.task, 0, quiet), 0)
    items = bench.items("train", bench.size.queries)
    processor = Temperature(tau=1.2).decode(Serving(lm), NOBODY)
    assert processor is not None

    def ours(processors: list[LogitsProcessor]) -> int:
        prompts = prompts_of(bench.task, items, lm)
        sampling, seeds = Sampling(1.0, bench.size.max_tokens), np.arange(len(items), dtype=np.int64)
        return len(lm.generate(prompts.tokens, sampling, seeds, processors, prompts.tools).tokens.values)

    def theirs(batch: int, processors: list[LogitsProcessor]) -> int:
        most = bench.size.max_tokens
        said = baseline.generate(lm.model, lm.tokenizer, bench.task, items, most, batch, 1.0, processors)
        return sum(len(text.split()) + 1 for text in said)

    print("| processor | way | tokens | tokens/s | ratio to the best generate |")
    print("|---|---|--:|--:|--:|")
    for name, processors in (("none", []), ("temperature", [processor])):
        ways: dict[str, Callable[[], int]] = {"this project": lambda p=processors: ours(p)}
        for batch in asked.batches:
            ways[f"generate, batch {batch}"] = lambda b=batch, p=processors: theirs(b, p)
        found = {way: _best(work) for way, work in ways.items()}
        best = max(tokens / time.wall for way, (tokens, time) in found.items() if way != "this project")
        for way, (tokens, time) in found.items():
            rate = tokens / time.wall
            print(f"| {name} | {way} | {tokens:,} | {rate:,.0f} | {rate / best:.2f} |", flush=True)


def _best(work: Callable[[], int]) -> tuple[int, Time]:
    return min((timed(work) for _ in range(ROUNDS)), key=lambda found: found[1].wall)


if __name__ == "__main__":
    main()
