"""Stored transcripts of any real API as the teacher: prompts with their responses. Nobody is asked anew."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.errors import ConfigError, require
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec, Weights
from lm.types import Progress
from tasks.base import Split, Task
from tasks.dataset_rows import local
from teacher.transcript_rows import Transcript, read_transcripts

if TYPE_CHECKING:
    from lm.stored import StoredLanguageModel

ASKED: tuple[Split, ...] = ("train", "heldout", "harder", "provider")
"""Splits of a task whose prompts somebody asks the teacher."""
MATCHED = 0.5
"""Share of the tokens with stored logprobs that have to be tokens of the tokenizer."""
CUT = 0.5
"""Share of the responses that may be longer than ``max_tokens``."""


@dataclass(frozen=True)
class Transcripts(ModelSpec):
    """Rows of a dataset with a prompt and a response each; a prompt may stand in several. Whoever asks a prompt gets one of
    its stored responses, as it was drawn at whatever temperature; see `lm.stored.StoredLanguageModel`.

    Args:
        path: name on the hub, a local JSON, JSON-lines or parquet file, or a folder of such files.
        tokenizer: of the student: responses are put into its tokens. Its weights are not read.
        config: the dataset's configuration on the hub, "" for its default.
        revision: commit on the hub, "" for the newest; pin it in published configs. Local files have none.
        split: the dataset's own split.
        prompt: column of what was asked, without chat template.
        response: column of the visible answer.
        working: column of the working that came before it, "" for none; it may be empty in some rows.
        logprobs: column of logprobs of the response's tokens, as `teacher.told_logprobs.told_of` reads them; "" for none.
        finish: column that says why a response ended: "length" or false where it was cut off; "" where none was.
    """

    name: ClassVar[str] = "transcripts"
    version: ClassVar[int] = 1
    places: ClassVar[tuple[str, ...]] = ("path",)
    can_be_asked: ClassVar[bool] = False

    path: str
    tokenizer: Pretrained
    config: str = ""
    revision: str = ""
    split: str = "train"
    prompt: str = "prompt"
    response: str = "response"
    working: str = ""
    logprobs: str = ""
    finish: str = ""

    def __post_init__(self) -> None:
        require(bool(self.path), "path", self.path, "must name a dataset: hub name, local file or folder")
        require(bool(self.prompt and self.response), "prompt", self.prompt, "and response must name columns")
        require(not (self.revision and local(self.path)), "revision", self.revision, "local files have no revision")

    @property
    def label(self) -> str:
        """Short name for tables: the last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2].partition(".")[0] or self.path

    def content(self) -> str:
        """See `configs.identity.Part.content`: of all rows, however they are stored."""
        told = ((t.tokens, t.logprobs.tolist(), t.listed) if (t := row.told) else None for row in self._rows)
        rows = (repr((*row[:-1], logprobs)) for row, logprobs in zip(self._rows, told, strict=True))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:32]

    @cached_property
    def _rows(self) -> tuple[Transcript, ...]:
        columns = {n: getattr(self, n) for n in ("prompt", "response", "working", "logprobs", "finish")}
        return read_transcripts(self.path, self.config, self.revision, self.split, columns)

    @cached_property
    def stock(self) -> Mapping[str, int]:
        """How many responses each prompt has."""
        return Counter(row.prompt for row in self._rows)

    @property
    def top_logprobs(self) -> int:
        """Most alternatives that are stored for a token."""
        return 0 if self._loaded.responses.top_ids is None else self._loaded.responses.top_ids.shape[1]

    def check(self, task: Task, max_tokens: int) -> None:
        """See `ModelSpec.check`: every prompt that the task may have somebody ask is stored, logprobs are of this tokenizer,
        and most responses fit into ``max_tokens``."""
        asked = {
            item.prompt.strip()
            for split in ASKED
            for family in task.families
            for item in task.items(split, family, min(task.size(split, family), len(self._rows) + 1), 0)
        }
        missing = sorted(asked - set(self.stock))
        if missing:
            reason = (
                f"holds no response to {len(missing)} of {len(asked)} prompts of task {task.label!r}, as "
                f"{missing[0][:80]!r}: nobody can be asked for them; those of task=transcripts are stored"
            )
            raise ConfigError("path", self.path, reason)
        lengths = self._loaded.responses.tokens.lengths
        long = int((lengths > max_tokens).sum())
        if long > CUT * len(lengths):
            reason = (
                f"cuts {long} of {len(lengths)} stored responses short; the longest has {int(lengths.max())} tokens"
            )
            raise ConfigError("max_tokens", max_tokens, reason)

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """No weights."""
        return {}

    def load(self, task: Task, weights: Weights, seed: int) -> StoredLanguageModel:
        """The stored responses in the tokenizer's tokens.

        Raises:
            ConfigError: they cannot be read, or their logprobs are of another tokenizer.
        """
        return self._loaded

    @property
    def _loaded(self) -> StoredLanguageModel:
        return _stored(_Spec(self, self.content(), self.tokenizer.content()))


@dataclass(frozen=True)
class _Spec:
    """Transcripts with the content of their files, which the cache compares."""

    spec: Transcripts
    content: str
    tokenizer: str


@lru_cache(maxsize=4)
def _stored(found: _Spec) -> StoredLanguageModel:
    from lm.marked_format import MarkedFormat
    from lm.ragged import Ragged
    from lm.stored import NO_WEIGHTS, StoredLanguageModel, key_of
    from lm.template import prompt_style
    from lm.types import Channel, Generations
    from teacher.told_logprobs import carried, tokens_of

    spec, rows = found.spec, found.spec._rows
    model, tokenizer = spec.tokenizer, spec.tokenizer.tokenizer()
    opening = prompt_style(tokenizer, model.system).after
    form = MarkedFormat(tokenizer, model.think_open, model.think_close, model.answer_markers, opening=opening)
    parts = [row.parts(model.think_open, model.think_close, opening) for row in rows]
    traces, answers = (
        tokenizer(list(texts), add_special_tokens=False)["input_ids"] for texts in zip(*parts, strict=True)
    )
    end = [[tokenizer.eos_token_id] * row.finished for row in rows]
    tokens = Ragged.of([[*t, *a, *e] for t, a, e in zip(traces, answers, end, strict=True)])
    worked = np.array([len(trace) for trace in traces])[tokens.row_of_value]
    channel = np.where(tokens.position < worked, Channel.TRACE, Channel.ANSWER).astype(np.uint8)
    channel = np.where(worked > 0, channel, form.channels(tokens))  # no working of its own: what the response shows
    logprob, ids, logprobs = np.full(len(tokens.values), np.nan, np.float32), None, None
    if spec.logprobs:
        known = [carried(row.told, row.response, own, tokenizer) for row, own in zip(rows, tokens, strict=True)]
        logprob = np.concatenate([one.logprob for one in known])
        total = sum(len(row.told.tokens) for row in rows if row.told is not None)
        matched = sum(int(one.matched.sum()) for one in known)
        if total == 0 or matched < MATCHED * total:
            reason = (
                f"are of tokens of which {matched} of {total} are tokens of {model.label!r} too: take a student of the "
                "API's own tokenizer, or leave the column out (teacher.logprobs=)"
            )
            raise ConfigError("logprobs", spec.logprobs, reason)
        ids, logprobs = tokens_of([entries for one in known for entries in one.listed], tokenizer)
    responses = Generations(tokens, channel, logprob, np.array([row.finished for row in rows], np.bool_), ids, logprobs)
    made = StoredLanguageModel(
        NO_WEIGHTS, tokenizer, form, model.batch_tokens, model.system, responses=responses, rows={}
    )
    asked: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        asked.setdefault(row.prompt, []).append(at)
    for prompt, places in zip(made.encode_prompts(list(asked)), asked.values(), strict=True):
        made.rows[key_of(prompt)] = np.array(places, np.int64)
    return made
