"""The named baseline: what one writes with transformers alone. `Trainer` with a padding collator trains, ``model.generate``
with a fixed batch harvests and scores. Model, tokenizer, prompts and verifier are the project's; its training loop,
sampler, gateway, store and engine are not used.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import IterableDataset
from transformers import (
    DataCollatorForSeq2Seq,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from tasks.base import Item, Task
from tasks.mini.words import CALL_CLOSE, MARK

Row = dict[str, list[int]]
"""``input_ids`` and ``labels`` of one training row."""


def row(tokenizer: PreTrainedTokenizerBase, prompt: str, response: str) -> Row:
    """Prompt, response and end of sequence, of which the response is learnt, tool results excepted."""
    words = response.split()
    head = tokenizer(f"{tokenizer.bos_token} {prompt}", add_special_tokens=False)["input_ids"]
    body = tokenizer([*words, tokenizer.eos_token], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    given = [i > 0 and words[i - 1] == CALL_CLOSE for i in range(len(words))] + [False]
    labels = [-100 if result else token for token, result in zip(body, given, strict=True)]
    return {"input_ids": [*head, *body], "labels": [-100] * len(head) + labels}


class Stream(IterableDataset[Row]):
    """Rows in a given order, which `Trainer` keeps."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row] | Stream,
    steps: int,
    batch: int,
    lr: float,
    seed: int = 0,
    bf16: bool = False,
) -> PreTrainedModel:
    """A copy of ``model`` trained by `Trainer`: AdamW, 4 % warm-up, linear decay, gradients clipped at 1; products in
    bfloat16 where that is asked for."""
    right = copy.deepcopy(tokenizer)
    right.padding_side = "right"
    model = copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch,
            learning_rate=lr,
            lr_scheduler_type="linear",
            warmup_steps=max(1, round(0.04 * steps)),
            adam_beta2=0.95,
            max_grad_norm=1.0,
            seed=seed,
            bf16=bf16,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
        )
        collator = DataCollatorForSeq2Seq(right, padding=True, label_pad_token_id=-100)
        data: Any = list(rows) if not isinstance(rows, Stream) else rows
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collator)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
    return model


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    items: Sequence[Item],
    max_tokens: int,
    batch: int,
    temperature: float,
    processors: Sequence[LogitsProcessor] = (),
) -> list[str]:
    """One response an item by ``model.generate``; where it ends in a tool call the result is appended and it goes on."""
    texts = [f"{tokenizer.bos_token} {item.prompt}" for item in items]
    said = [""] * len(items)
    active = list(range(len(items)))
    stops = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(CALL_CLOSE)]
    sampled = {"do_sample": True, "temperature": float(temperature), "top_k": 0, "top_p": 1.0}
    mode = sampled if temperature else {"do_sample": False}
    more = {"logits_processor": LogitsProcessorList(processors)} if processors else {}
    while active:
        calling = []
        for start in range(0, len(active), batch):
            part = active[start : start + batch]
            inputs = tokenizer(
                [f"{texts[i]} {said[i]}".strip() for i in part],
                add_special_tokens=False,
                padding=True,
                return_tensors="pt",
                return_token_type_ids=False,
            ).to(model.device)
            out = model.generate(
                **inputs,
                max_new_tokens=max_tokens,
                eos_token_id=stops,
                pad_token_id=tokenizer.pad_token_id,
                **mode,
                **more,
            )
            new = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for i, text in zip(part, new, strict=True):
                said[i] = f"{said[i]} {text}".strip()
                if text.endswith(CALL_CLOSE) and len(said[i].split()) < max_tokens:
                    result = task.run_tool(items[i], said[i])
                    if result is not None:
                        said[i] = f"{said[i]} {result}"
                        calling.append(i)
        active = calling
    return said


def accuracy(task: Task, items: Sequence[Item], responses: Sequence[str]) -> float:
    """Mean over families of the share that the strict verifier accepts."""
    by_family: dict[str, list[bool]] = {}
    for item, text in zip(items, responses, strict=True):
        by_family.setdefault(item.family, []).append(task.verify(item, text).strict)
    return sum(sum(v) / len(v) for v in by_family.values()) / len(by_family)


def hidden(response: str) -> str:
    """A response without its working: calls, their results and the answer."""
    words = response.split()
    answer = words.index(MARK) if MARK in words else len(words)
    calls = max((i for i, word in enumerate(words[:answer]) if word == CALL_CLOSE), default=-2) + 2
    return " ".join(words[:calls] + words[answer:]) if calls < answer else response
