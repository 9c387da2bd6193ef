"""Sampling a harvest and fitting a student with a pretrained model, against plain transformers in the same run.

Sampling: one response a prompt by this project and by ``model.generate`` at each of several batch sizes; without a defense,
with the ``temperature`` defense's processor and with the ``kgw`` watermark's. Fit: the same rows in the same order under
AdamW by this project and by `transformers.Trainer` with padded batches; all weights are trained, products in bfloat16,
weights in float32. Rates are of the CPU seconds of this process where there is no GPU, since machines are shared. *Share of
peak*: the products that the useful tokens need (2 operations a weight and token, 6 with a backward pass; prompts count for
sampling too) over what one large product reaches in the same number format. These are measurements: nothing fails.

    python -m benchmarks.lm FOLDER
    python -m benchmarks.lm FOLDER --cell task=gsm8k --most 256    # a harvest of that cell's prompts
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import transformers
from hydra.utils import instantiate
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessorList

from attacks.budget import allocate
from benchmarks import baseline
from benchmarks.stopwatch import Time, timed
from defenses.base import NOBODY, Serving
from defenses.decoding.kgw import KGW
from defenses.decoding.temperature import Temperature
from experiments.compose.compose import compose_one
from lm.examples import Examples
from lm.from_words import fresh_model, mini_language_model
from lm.huggingface import Pretrained
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.rows import left_padded
from lm.train import epochs
from lm.types import Processor, Sampling
from student.fit import fit
from student.huggingface import HFRecipe
from student.objectives.sft import SFT

TINY = ("--tiny", "--prompts", "6", "--most", "5", "--batches", "4", "--steps", "2")
"""Arguments with which the tests see that it runs; the figures mean nothing."""

QUESTIONS = (
    "What is {} + {}? Think step by step. End with a line that says Answer: and the result.",
    "Tom has {} boxes with {} pens each and loses 2 pens. How many are left? End with Answer: and the number.",
    "A train goes {} miles an hour for {} hours, rests for an hour and goes back. How far did it go? Explain shortly.",
    "Which is larger, {} or {}? One word.",
)
PEAK_SIZE = 2048


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.lm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", default="", metavar="FOLDER", help="of a pretrained model")
    parser.add_argument("--cell", nargs="*", default=[], metavar="WORD", help="ask the prompts of this cell's attacker")
    parser.add_argument("--chat-template", default="", help="of the model, as teacher.chat_template")
    parser.add_argument("--dtype", default="bfloat16", help="of the weights that sample")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--most", type=int, default=128, help="tokens of a response")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256], help="of generate")
    parser.add_argument("--batch-tokens", type=int, default=0, help="of ours; 0: as memory allows")
    parser.add_argument("--defenses", nargs="*", default=["none", "temperature", "kgw"])
    parser.add_argument("--steps", type=int, default=4, help="of the fit, of 16 rows each; 0: no fit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="as the tests do: see that it runs")
    asked = parser.parse_args(arguments)
    if not (asked.path or asked.tiny):
        parser.error("name the folder of a pretrained model")
    torch.set_num_threads(asked.threads)
    transformers.utils.logging.set_verbosity_error()
    size = 64 if asked.tiny else PEAK_SIZE
    lm = _opened(asked.path, asked.dtype, asked.batch_tokens, asked.chat_template)
    prompts = harvested(lm, asked.prompts, asked.cell) if asked.cell else questions(lm, asked.prompts)
    peak = matmul_peak(size, lm.model.dtype, lm.device)
    print(f"{peak / 1e9:,.0f} GFLOP/s: product of two {size}² matrices in {asked.dtype}\n")
    print("| defense | way | tokens | tokens/s | times the best generate | share of peak |")
    print("|---|---|--:|--:|--:|--:|")
    untouched = _untouched(lm, asked.path, asked.dtype)
    for defense in asked.defenses:
        _print_sampling(lm, untouched, prompts, defense, asked.most, asked.batches, peak)
    if asked.steps:
        rows = written(lm, prompts, asked.most)
        lm = _opened(asked.path, "float32", asked.batch_tokens, asked.chat_template)
        _print_fit(lm, _untouched(lm, asked.path, "float32"), rows, asked.steps, size)


def _opened(path: str, dtype: str, batch_tokens: int, chat_template: str) -> LanguageModel:
    if path:
        return Pretrained(path=path, dtype=dtype, batch_tokens=batch_tokens, chat_template=chat_template).open()
    lm = mini_language_model(fresh_model(16, 1, 2, 0))
    sizes = {"vocab_size": lm.vocabulary, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"eos_token_id": lm.tokenizer.eos_token_id, "pad_token_id": lm.tokenizer.pad_token_id}
    return lm.with_model(LlamaForCausalLM(LlamaConfig(**sizes, **tokens, intermediate_size=16)).eval())


def _untouched(lm: LanguageModel, path: str, dtype: str) -> LanguageModel:
    """The same weights as transformers loads them."""
    if not path:
        return lm
    return lm.with_model(transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval().to(lm.device))


def questions(lm: LanguageModel, count: int) -> Ragged:
    """So many different prompts."""
    numbers = np.random.default_rng(0).integers(2, 90, (count, 2))
    return lm.encode_prompts([QUESTIONS[i % len(QUESTIONS)].format(*pair) for i, pair in enumerate(numbers)])


def harvested(lm: LanguageModel, count: int, words: Sequence[str]) -> Ragged:
    """The prompts that an attacker of a cell asks."""
    cell = compose_one(words).config
    task = instantiate(cell.task)
    mix = cell.budget.get("mix") or dict.fromkeys(task.families, 1.0)
    items = [task.items("train", family, n, 0) for family, n in allocate(count, mix).items()]
    order = np.random.default_rng(0).permutation(count)
    return lm.encode_prompts([item.prompt for family in items for item in family]).take(order)


def processor(name: str, lm: LanguageModel) -> list[Processor]:
    """What a defense changes the scores with."""
    defenses = {"temperature": Temperature(tau=1.2), "kgw": KGW(delta=2.0)}
    if name not in defenses:
        return []
    made = defenses[name].decode(Serving(lm), NOBODY)
    return [] if made is None else [made]


def _print_sampling(
    lm: LanguageModel,
    untouched: LanguageModel,
    prompts: Ragged,
    defense: str,
    most: int,
    batches: Sequence[int],
    peak: float,
) -> None:
    def ours() -> int:
        seeds = np.arange(len(prompts), dtype=np.int64)
        return len(lm.generate(prompts, Sampling(1.0, most), seeds, processor(defense, lm)).tokens.values)

    ways: dict[str, Callable[[], int]] = {"this project": ours}
    for batch in batches:
        ways[f"generate, batch {batch}"] = lambda b=batch: plain(untouched, prompts, most, b, processor(defense, lm))
    found = {way: timed(work) for way, work in ways.items()}
    rates = {way: tokens / _seconds(time, lm) for way, (tokens, time) in found.items()}
    best = max(rate for way, rate in rates.items() if way != "this project")
    for way, (tokens, time) in found.items():
        work = 2 * _weights(lm) * (tokens + len(prompts.values))
        share = work / _seconds(time, lm) / peak
        print(
            f"| {defense} | {way} | {tokens:,} | {rates[way]:,.0f} | {rates[way] / best:.2f} | {share:.1%} |",
            flush=True,
        )


@torch.no_grad()
def plain(lm: LanguageModel, prompts: Ragged, most: int, batch: int, processors: Sequence[Processor]) -> int:
    """Tokens that ``model.generate`` draws, in batches of prompts of like length."""
    drawn, order = 0, np.argsort(prompts.lengths, kind="stable")
    pad = int(lm.tokenizer.pad_token_id)
    for start in range(0, len(prompts), batch):
        contexts = [prompts[int(r)] for r in order[start : start + batch]]
        ids, mask = left_padded(contexts, pad, lm.device)
        more = {"logits_processor": LogitsProcessorList(processors)} if processors else {}
        out = lm.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=most,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=pad,
            **more,
        )
        said = out[:, ids.shape[1] :].cpu().numpy()
        ended = np.isin(said, lm.ends)
        drawn += int(np.where(ended.any(1), ended.argmax(1) + 1, said.shape[1]).sum())
    return drawn


def written(lm: LanguageModel, prompts: Ragged, most: int) -> Examples:
    """Rows to learn from: what the model says."""
    said = lm.generate(prompts, Sampling(1.0, most), np.arange(len(prompts), dtype=np.int64))
    weight = np.ones(len(said.tokens.values), np.float32)
    item, cut = np.arange(len(prompts)), np.zeros(len(prompts), np.bool_)
    return Examples(prompts, said.tokens, channel=said.channel, weight=weight, item=item, cut=cut)


def _print_fit(lm: LanguageModel, untouched: LanguageModel, rows: Examples, steps: int, size: int) -> None:
    recipe = HFRecipe(training="full", steps=steps, lr=5e-5, precision="bfloat16", decay=1.0, micro_tokens=16_384)
    batches = epochs(rows, recipe, np.random.default_rng(0))
    ordered = [batches(step) for step in range(steps)]
    peak = matmul_peak(size, torch.bfloat16, lm.device)

    def quiet(done: int, total: int, note: str = "") -> None:
        pass

    ours, our_time = timed(lambda: fit(lm, rows, SFT(), recipe, 0, quiet).lm)
    stream = baseline.Stream([row for part in ordered for row in _labelled(part)])
    model, their_time = timed(
        lambda: baseline.fit(untouched.model, lm.tokenizer, stream, steps, recipe.batch_size, recipe.lr, bf16=True)
    )
    tokens = sum(len(part.prompts.values) + len(part.completions.values) for part in ordered)
    learnt = sum(len(part.completions.values) for part in ordered)
    print(f"\nFit: {steps} steps of {recipe.batch_size} rows, {tokens:,} tokens, {learnt:,} of them learnt\n")
    print("| way | tokens/s | times Trainer | share of bfloat16 peak | loss of these rows before | after |")
    print("|---|--:|--:|--:|--:|--:|")
    before = _loss(lm, rows)
    for way, time, after in (
        ("this project", our_time, _loss(ours, rows)),
        ("Trainer", their_time, _loss(lm.with_model(model), rows)),
    ):
        seconds = _seconds(time, lm)
        ratio = _seconds(their_time, lm) / seconds
        share = 6 * _weights(lm) * tokens / seconds / peak
        print(
            f"| {way} | {tokens / seconds:,.0f} | {ratio:.2f} | {share:.1%} | {before:.4f} | {after:.4f} |", flush=True
        )


def _labelled(part: Examples) -> list[baseline.Row]:
    return [
        {"input_ids": [*p.tolist(), *c.tolist()], "labels": [-100] * len(p) + c.tolist()}
        for p, c in zip(part.prompts, part.completions, strict=True)
    ]


def _loss(lm: LanguageModel, rows: Examples) -> float:
    some = rows.take(np.arange(min(32, len(rows))))
    scored = replace(lm, batch_tokens=4096).score(some.prompts, some.completions)
    return -float(scored.logprob.mean(dtype=np.float64))


def _seconds(time: Time, lm: LanguageModel) -> float:
    return time.wall if lm.device.type == "cuda" else time.cpu


def _weights(lm: LanguageModel) -> int:
    return sum(p.numel() for p in lm.model.parameters())


def matmul_peak(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of one large product: the best of several."""
    left, right = torch.ones(2, size, size, dtype=dtype, device=device)

    def product() -> None:
        (left @ right)[0, 0].item()

    product()
    times = [timed(product)[1] for _ in range(8)]
    return 2 * size**3 / max(min(t.wall if device.type == "cuda" else t.cpu for t in times), 1e-9)


if __name__ == "__main__":
    main()
