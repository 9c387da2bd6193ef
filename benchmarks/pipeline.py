"""Times this project against a plain transformers pipeline and writes the ratios.

The baseline is `Trainer` (AdamW, padding collator, the best of several batch sizes) for training and ``model.generate``
with a fixed batch (the best of several) for harvest and scoring, on the same model, weights and data; `benchmarks.sweep`
times whole sweeps. The accuracy that both ways end with stands beside the times: a ratio means something only where they
agree. A ratio below 1 says that this project is faster. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
import transformers

from benchmarks.pieces import (
    TINY_SIZE,
    Bench,
    Size,
    base_model,
    harvest,
    quiet,
    scoring,
    student_training,
    teacher_training,
)
from benchmarks.stopwatch import Timing, table
from experiments.store.provenance import provenance
from tasks.mini import MiniTask

PIECES = ("teacher", "harvest", "student", "scoring")
QUICK = Size(
    teacher_steps=100,
    base_steps=50,
    student_steps=80,
    queries=400,
    heldout=100,
    batches=(16,),
    rounds=(1, 2),
    generate_batches=(256,),
    coding_only=True,
    max_tokens=24,
)
TINY = ("--tiny",)
"""Arguments with which the tests see that it runs; the figures mean nothing."""
EXAMPLES = """\
examples:
  python -m benchmarks.pipeline --quick              every piece, coding only, in about two minutes on one core
  python -m benchmarks.pipeline                      full size; every batch size of the baseline is tried (about an hour)
  python -m benchmarks.pipeline --pieces student     one piece
"""


def compare(size: Size, pieces: Sequence[str]) -> Iterator[Timing]:
    """The chosen pieces, one after the other."""
    bench = Bench(MiniTask(), size)
    teacher = None
    if "teacher" in pieces:
        comparison, teacher = teacher_training(bench)
        yield comparison
    if {"harvest", "student", "scoring"} & set(pieces):
        base = base_model(bench)
        if teacher is None:
            spec = bench.teacher
            teacher = spec.load(bench.task, spec.train(bench.task, bench.seed, quiet), bench.seed)
        comparison, responses = harvest(bench, teacher)
        if "harvest" in pieces:
            yield comparison
        comparison, student = student_training(bench, base, responses)
        if "student" in pieces:
            yield comparison
        if "scoring" in pieces:
            yield scoring(bench, student)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen pieces, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.pipeline",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="coding only, small sizes, one setting of the baseline")
    parser.add_argument("--tiny", action="store_true", help="as the tests do: see that it runs")
    parser.add_argument("--pieces", nargs="+", choices=PIECES, default=PIECES, metavar="PIECE", help=", ".join(PIECES))
    parser.add_argument("--lr", type=float, default=None, help="learning rate of the baseline's AdamW")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark.json"), help="where the JSON goes")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    transformers.utils.logging.set_verbosity_error()
    size = TINY_SIZE if asked.tiny else QUICK if asked.quick else Size()
    if asked.lr is not None:
        size = replace(size, lr=asked.lr)
    load = os.getloadavg()[0]
    start, done = time.perf_counter(), []
    for comparison in compare(size, asked.pieces):
        print(f"{time.perf_counter() - start:6.0f} s  {comparison.piece}", file=sys.stderr)
        done.append(comparison)
    print(table(done))
    print(f"\nload before the run: {load:.1f} on {os.cpu_count()} cores; torch threads: {asked.threads}")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "command": "python -m benchmarks.pipeline " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "load_before": load,
        "threads": asked.threads,
        "size": asdict(size),
        "pieces": [c.plain() for c in done],
        **provenance(),
    }
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {asked.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
