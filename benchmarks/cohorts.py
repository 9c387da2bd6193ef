"""Time per student of training many at once: one after another, stacked by grouped matrix products, and by ``vmap``.

Every way takes the same steps of the same recipe on the same rows. "one by one" is what runs on a CPU: the compiled kernels,
a member at a time. "stacked" is what runs on a GPU: `lm.mini.program` in torch with batched matrix products. "vmap" is
`torch.func.stack_module_state` with ``vmap`` of the gradient of a plain functional model, its rows padded. The last column
is the share of this device's measured matrix-product peak that the arithmetic of the step amounts to.

    python -m benchmarks.cohorts                       1, 4, 16 and 64 students
    python -m benchmarks.cohorts --sizes 1 4 16 64 256 --steps 2
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from benchmarks.pieces import Bench, Size, quiet
from lm.batch import Batch, collate
from lm.examples import Examples
from lm.from_words import word_examples
from lm.language_model import LanguageModel
from lm.mini.modeling import MiniForCausalLM
from lm.mini.stack import Stack, StackOptimizer
from lm.mini.train import Member, train_mini
from lm.train import Recipe, epochs
from student.mini import MiniStudent
from student.objectives.sft import SFT
from tasks.mini import MiniTask

TINY = ("--sizes", "1", "2", "--steps", "1", "--rows", "40", "--product", "64")
"""Arguments with which the tests see that it runs; the figures mean nothing."""


class PlainMini(torch.nn.Module):
    """The mini architecture in plain functional operations, which ``vmap`` can batch; its rows padded, causal."""

    def __init__(self, model: MiniForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """(B, T, V) logits."""
        model, config = self.model, self.model.config
        x = functional.embedding(tokens_BT, model.embed.weight)
        b, t, d = x.shape
        heads = config.num_attention_heads
        half = d // heads // 2
        at = torch.arange(half, dtype=torch.float32, device=x.device)
        angle = torch.arange(t, device=x.device)[:, None] * config.rope_theta ** (-at / half)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        causal = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        for block in model.blocks:
            n = functional.rms_norm(x, (d,), eps=config.rms_norm_eps)
            for j in range(1, 4):
                n = (
                    n
                    + functional.pad(functional.rms_norm(x, (d,), eps=config.rms_norm_eps), (0, 0, j, 0))[:, :t]
                    * block.attention.mix[j - 1]
                )
            q, k, v = functional.linear(n, block.attention.qkv.weight).view(b, t, 3, heads, d // heads).unbind(2)
            q, k = (_turned(z, cos, sin).transpose(1, 2) for z in (q, k))
            scores = (q @ k.mT) * (d // heads) ** -0.5
            mixed = scores.masked_fill(~causal, -torch.inf).softmax(-1) @ v.transpose(1, 2)
            x = x + functional.linear(mixed.transpose(1, 2).reshape(b, t, d), block.attention.out.weight)
            n = functional.rms_norm(x, (d,), eps=config.rms_norm_eps)
            wide = functional.linear(n, block.up.weight).relu().square()
            x = x + functional.linear(wide, block.down.weight)
        return functional.linear(functional.rms_norm(x, (d,), eps=config.rms_norm_eps), model.lm_head.weight)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def members_of(lm: LanguageModel, rows: Sequence[Examples], recipe: Recipe) -> list[Member]:
    """Fresh copies of the base, each with its own rows and order."""
    return [
        Member(
            copy.deepcopy(lm.model),
            epochs(own, recipe, np.random.default_rng(g)),
            SFT().losses,
            recipe,
            recipe.batch_size * 48,
        )
        for g, own in enumerate(rows)
    ]


def by_vmap(lm: LanguageModel, rows: Sequence[Examples], recipe: Recipe) -> None:
    """``stack_module_state`` and ``vmap`` of the gradient; the optimizer is the stack's own."""
    members = members_of(lm, rows, recipe)
    stack = Stack([m.model for m in members])
    optimizer = StackOptimizer(stack, [m.recipe for m in members])
    shell = PlainMini(copy.deepcopy(lm.model)).to("meta")

    def loss(weights: dict[str, Tensor], tokens: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        logits = functional_call(shell, weights, (tokens,))
        each = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        return (each * weight.flatten()).sum() / weight.sum()

    slopes = vmap(grad(loss))
    names = [name for name, _ in members[0].model.named_parameters()]
    weights, _ = stack_module_state([PlainMini(m.model) for m in members])
    assert set(weights) == {f"model.{name}" for name in names}
    for step in range(recipe.steps):
        parts = [m.batches(step) for m in members]
        longest = max(int((p.prompts.lengths + p.completions.lengths).max()) for p in parts)
        batches = [_padded(collate(p, np.arange(len(p)), 0, stack.device), longest - 1) for p in parts]
        stacked = [torch.stack([getattr(b, name) for b in batches]) for name in ("input_BT", "target_BT", "weight_BT")]
        found = slopes({f"model.{name}": stack[name] for name in names}, *stacked)
        for name in names:
            stack.grad(name).copy_(found[f"model.{name}"])
        optimizer.step(stack, step)


def by_compile(lm: LanguageModel, rows: Sequence[Examples], recipe: Recipe) -> None:
    """The plain functional model under ``torch.compile``, one member after another, its rows padded to one length."""
    for member in members_of(lm, rows, recipe):
        stack = Stack([member.model])
        optimizer = StackOptimizer(stack, [recipe])
        if not COMPILED:
            plain = PlainMini(member.model)
            COMPILED.append((plain, torch.compile(plain)))
        plain, compiled = COMPILED[0]
        plain.model.load_state_dict(member.model.state_dict())
        named = dict(plain.model.named_parameters())
        for step in range(recipe.steps):
            part = member.batches(step)
            batch = _padded(collate(part, np.arange(len(part)), 0, stack.device), 47)
            logits = compiled(batch.input_BT)
            each = functional.cross_entropy(logits.flatten(0, 1), batch.target_BT.flatten(), reduction="none")
            loss = (each * batch.weight_BT.flatten()).sum() / batch.weight_BT.sum()
            for name, slope in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True):
                stack.grad(name).copy_(slope[None])
            optimizer.step(stack, step)
            stack.write(0, plain.model)


COMPILED: list[tuple[PlainMini, Any]] = []
"""Kept between runs, since compiling takes longer than they do."""


def _padded(batch: Batch, width: int) -> Batch:
    more = (0, width - batch.input_BT.shape[1])
    return batch._replace(
        input_BT=functional.pad(batch.input_BT, more),
        target_BT=functional.pad(batch.target_BT, more),
        weight_BT=functional.pad(batch.weight_BT, more),
    )


def flops(lm: LanguageModel, rows: Examples, recipe: Recipe) -> float:
    """Multiplications and additions of one member's step: 6 for every weight in a matrix and token; in the last block and
    the head only for tokens whose following one is learnt; attention's 12·d for every pair of tokens that see each other."""
    taken = epochs(rows, recipe, np.random.default_rng(0))(0)
    config = lm.model.config
    length = taken.prompts.lengths + taken.completions.lengths - 1
    every, learnt = float(length.sum()), float((taken.weight > 0).sum())
    d, f = config.hidden_size, config.intermediate_size
    beyond = d * d + 2 * d * f
    blocks = config.num_hidden_layers
    linear = every * (blocks * 3 * d * d + (blocks - 1) * beyond) + learnt * (beyond + d * config.vocab_size)
    return 6 * linear + 12 * d * blocks * float((length * (length + 1) / 2).sum())


def peak(device: torch.device, side: int) -> float:
    """Measured FLOP/s of float32 products of matrices with so many rows and columns."""
    a = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device)
    return 2 * side**3 / min(_seconds(lambda: a @ a, device) for _ in range(5))


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.cohorts", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each student")
    parser.add_argument(
        "--vmap-up-to", type=int, default=16, help="largest cohort by vmap, which takes the most memory"
    )
    parser.add_argument("--rows", type=int, default=2128, help="that each student learns from")
    parser.add_argument("--product", type=int, default=2048, help="side of the matrices whose product is the peak")
    parser.add_argument("--compile", action="store_true", help="also try torch.compile (needs a C++ compiler)")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bench = Bench(MiniTask(), Size())
    lm = MiniStudent().load(bench.task, MiniStudent(init="scratch").train(bench.task, 0, quiet), 0)
    items = bench.items("train", asked.rows)
    rows = word_examples(lm, [i.prompt for i in items], [i.reference for i in items])
    recipe = Recipe(steps=asked.steps, balance=True)
    top, work = peak(lm.device, asked.product), flops(lm, rows, recipe)
    print(
        f"device {lm.device}, one thread; matrix products {top / 1e9:.0f} GFLOP/s; a student's step {work / 1e9:.2f} GFLOP\n"
    )
    print("| students | way | ms per student and step | ratio to one by one, 1 student | share of peak |")
    print("|--:|---|--:|--:|--:|")
    first = None
    for size in asked.sizes:
        ways: dict[str, Callable[[], None]] = {
            "one by one": lambda n=size: train_mini(members_of(lm, [rows] * n, recipe), 0, quiet, size=1),
            "stacked": lambda n=size: train_mini(members_of(lm, [rows] * n, recipe), 0, quiet, size=max(n, 1)),
        }
        if size == 1 and asked.compile:
            ways["torch.compile"] = lambda: by_compile(lm, [rows], recipe)
        if size <= asked.vmap_up_to:
            ways["vmap"] = lambda n=size: by_vmap(lm, [rows] * n, recipe)
        for way, run in ways.items():
            if way == "stacked" and size == 1:
                continue
            if size <= 4:
                run()  # once to warm up
            spent = min(_seconds(run, lm.device) for _ in range(3 if size <= 4 else 1)) / size / recipe.steps
            first = first or spent
            print(
                f"| {size} | {way} | {spent * 1e3:.1f} | {spent / first:.2f} | {work / spent / top:.0%} |", flush=True
            )


if __name__ == "__main__":
    main()
