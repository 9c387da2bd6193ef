"""A model that vLLM runs, behind the handle through which the project asks any model. Not run here: vLLM needs a GPU. What
is written follows its documented interface (``LLM``, ``SamplingParams``, ``RequestOutput`` of vLLM 0.11 and later).

vLLM decides itself which texts it reads together, so what a text says depends a little on its company, seeds or none. What
wants logits, weights or whole distributions is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from lm.decoder import Decoder
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.rows import Row, Tops, collect
from lm.sizes import require_room
from lm.timing import timed
from lm.types import Generations, Processor, Sampling, Scores, ToolRunner

MOST_LOGPROBS = 20
"""Logprobs of a token that the engine is opened for, besides that of the token itself."""


@dataclass(frozen=True)
class VLLMModel(LanguageModel):
    """Answers through a ``vllm.LLM``; see `lm.handle.ModelHandle` for the other fields.

    Args:
        model: the engine.
        params: ``vllm.SamplingParams``.
        ended_by: ids at which a response ends besides the tokenizer's end of sequence.
        longest: tokens that a text may have.
    """

    model: Any
    params: Any = None
    ended_by: tuple[int, ...] = ()
    longest: int | None = None

    @property
    def device(self) -> torch.device:
        """Where its answers are: in main memory."""
        return torch.device("cpu")

    @property
    def ends(self) -> NDArray[np.int64]:
        """See `ModelHandle.ends`."""
        return np.unique(np.array([self.tokenizer.eos_token_id, *self.ended_by], np.int64))

    @property
    def positions(self) -> int | None:
        """See `ModelHandle.positions`."""
        return self.longest

    @property
    def vocabulary(self) -> int:
        """Ids of the tokenizer."""
        return len(self.vocab)

    def decoder(self, contexts: Sequence[NDArray[np.int32]], pad: int, room: int) -> Decoder:
        """Refused: vLLM grows its texts itself."""
        raise ConfigError("engine", "vllm", "gives no logits, which something here asks for: choose transformers")

    @timed("generation")
    def generate(
        self,
        prompts: Ragged,
        sampling: Sampling,
        seeds: NDArray[np.int64],
        processors: Sequence[Processor] = (),
        tools: ToolRunner | None = None,
        prefill: Ragged | None = None,
        forced: Ragged | None = None,
    ) -> Generations:
        """See `lm.generate.generate`. Equal seeds give equal texts as far as vLLM's numbers do not depend on the batch.

        Raises:
            ConfigError: logits processors that cannot act in the engine, tools with something to say, more logprobs than the
                engine was opened for, given responses at a temperature or with a bias.
        """
        own = _for_engine(processors)
        most_R = np.broadcast_to(np.asarray(sampling.max_tokens), (len(prompts),))
        begun = (
            prompts if prefill is None else Ragged.of([np.concatenate(p) for p in zip(prompts, prefill, strict=True)])
        )
        if forced is not None:
            require(own is None, "engine", "vllm", "scores responses without the processors of defenses only")
            return self._said(begun, forced, sampling, prefill)
        require_room(self.positions, begun.lengths, most_R)
        require(
            sampling.top_logprobs <= MOST_LOGPROBS, "engine", "vllm", f"gives at most {MOST_LOGPROBS} logprobs a token"
        )
        wanted = [self._params(sampling.of(np.array([r])), int(seeds[r]), own) for r in range(len(prompts))]
        rows = [Row(row) for row in begun]
        for row, answer in zip(rows, self._asked(begun, wanted), strict=True):
            _add(row, list(answer.outputs[0].token_ids), answer.outputs[0].logprobs, sampling.top_logprobs)
        if tools is not None and rows:
            told = tools(np.arange(len(rows)), [row.tokens[0] for row in rows])
            require(not any(told), "engine", "vllm", "does not go on after a tool call: choose transformers")
        return collect(rows, self.format, sampling.top_logprobs, self.ends, prefill)

    @timed("scoring")
    def score(self, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
        """See `lm.score.score`; entropies are NaN, since they take whole distributions.

        Raises:
            ConfigError: more logprobs than the engine was opened for.
        """
        require(top_k <= MOST_LOGPROBS, "engine", "vllm", f"gives at most {MOST_LOGPROBS} logprobs a token")
        require_room(self.positions, prompts.lengths, completions.lengths, "completions")
        whole = Ragged.of([np.concatenate(pair) for pair in zip(prompts, completions, strict=True)])
        reads = self.params(max_tokens=1, temperature=0.0, prompt_logprobs=max(1, top_k), detokenize=False)
        rows = [Row(row) for row in prompts]
        first: list[NDArray[np.int32]] = []
        for row, said, answer in zip(rows, completions, self._asked(whole, [reads] * len(whole)), strict=True):
            table = answer.prompt_logprobs[len(row.context) :]
            first.append(_tops(table, 1).ids[:, 0])
            _add(row, said.tolist(), table, top_k)
        logprob = np.concatenate([np.zeros(0, np.float32), *(row.logprob[0] for row in rows)])
        greedy = np.concatenate([np.zeros(0, np.int32), *first]) == completions.values
        tops = [Tops(row.top_ids[0], row.top_logprobs[0]) for row in rows if top_k]
        return Scores(
            logprob,
            greedy,
            np.full(len(logprob), np.nan, np.float32),
            np.concatenate([np.zeros((0, top_k), np.int32), *(t.ids for t in tops)]) if top_k else None,
            np.concatenate([np.zeros((0, top_k), np.float32), *(t.logprobs for t in tops)]) if top_k else None,
        )

    def _said(self, begun: Ragged, forced: Ragged, sampling: Sampling, prefill: Ragged | None) -> Generations:
        """Given responses with their logprobs, which vLLM tells of the model's own distribution alone."""
        plain = np.isin(np.asarray(sampling.temperature), (0, 1)).all() and not any(_biases(sampling, len(begun)))
        require(bool(plain), "engine", "vllm", "scores responses at temperature 1 and without a logit bias only")
        scores, rows = self.score(begun, forced, sampling.top_logprobs), [Row(row) for row in begun]
        for r, (row, said) in enumerate(zip(rows, forced, strict=True)):
            at = forced.value_index(np.array([r]))
            tops = None
            if scores.top_ids is not None and scores.top_logprobs is not None:
                tops = Tops(scores.top_ids[at], scores.top_logprobs[at])
            row.add(said, scores.logprob[at], tops, tool=False)
        return collect(rows, self.format, sampling.top_logprobs, self.ends, prefill)

    def _params(self, one: Sampling, seed: int, own: dict[str, str] | None) -> Any:
        """Of one row. Seeds of vLLM are not negative."""
        return self.params(
            temperature=float(np.ravel(one.temperature)[0]),
            max_tokens=int(np.ravel(one.max_tokens)[0]),
            logprobs=one.top_logprobs,
            logit_bias=dict(_biases(one, 1)[0]) or None,
            seed=seed % 2**63,
            stop_token_ids=self.ends.tolist(),
            detokenize=False,
            extra_args=own,
        )

    def _asked(self, texts: Ragged, params: Sequence[Any]) -> list[Any]:
        prompts = [{"prompt_token_ids": row.tolist()} for row in texts]
        return list(self.model.generate(prompts, list(params), use_tqdm=False)) if prompts else []


def open_engine(path: str, revision: str, dtype: str, quantize: str, longest: int | None) -> tuple[Any, Any]:
    """``vllm.LLM`` on all GPUs there are, and ``vllm.SamplingParams``. Logprobs are those of what is drawn from."""
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=path,
        revision=revision or None,
        dtype=dtype,
        quantization="bitsandbytes" if quantize else None,
        tensor_parallel_size=max(1, torch.cuda.device_count()),
        max_model_len=longest,
        max_logprobs=MOST_LOGPROBS,
        logprobs_mode="processed_logprobs",
        logits_processors=["lm.vllm_processors:OwnProcessors"],
        trust_remote_code=False,
        seed=0,
    )
    return engine, SamplingParams


def _for_engine(processors: Sequence[Processor]) -> dict[str, str] | None:
    """What a request carries to `lm.vllm_processors`, under its ``OWN``; None where there is nothing to do.

    Raises:
        ConfigError: a processor that cannot be made anew in the engine's own process.
    """
    told = []
    for processor in processors:
        makes = getattr(processor, "for_engine", None)
        reason = f"{type(processor).__name__} cannot act in its processes: choose transformers"
        require(makes is not None, "engine", "vllm", reason)
        told.append(makes())  # type: ignore[misc]
    return {"moatbench": json.dumps(told)} if told else None


def _biases(sampling: Sampling, rows: int) -> Sequence[Mapping[int, float]]:
    bias = sampling.logit_bias
    return [bias] * rows if isinstance(bias, Mapping) else list(bias)


def _add(row: Row, tokens: list[int], table: Sequence[Mapping[int, Any]], k: int) -> None:
    """The tokens that were said, with what vLLM tells of each: a mapping of ids to ``logprob`` and ``rank``."""
    logprob = np.array([told[token].logprob for token, told in zip(tokens, table, strict=True)], np.float32)
    row.add(np.array(tokens, np.int32), logprob, _tops(table, k) if k else None, tool=False)


def _tops(table: Sequence[Mapping[int, Any]], k: int) -> Tops:
    """The k most probable of each token, whatever else is told of it."""
    ids, logprobs = np.zeros((len(table), k), np.int32), np.zeros((len(table), k), np.float32)
    for place, told in enumerate(table):
        best = sorted(told.items(), key=lambda entry: -entry[1].logprob)[:k]
        ids[place] = [token for token, _ in best]
        logprobs[place] = [one.logprob for _, one in best]
    return Tops(ids, logprobs)
