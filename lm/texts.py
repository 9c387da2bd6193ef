"""A language model asked in words: texts in, a table of texts and log-probabilities out. Knows no task and no experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import require
from lm.ragged import Ragged
from lm.seeds import generator
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class TextModel:
    """A model, with what is needed to ask it in words.

    Args:
        lm: the model; it takes and gives tokens.
        max_tokens: longest response in tokens, where a call does not say otherwise.
    """

    lm: LanguageModel
    max_tokens: int = 64

    def generate(
        self, prompts: Sequence[str], temperature: float = 0.0, max_tokens: int | None = None, seed: int = 0
    ) -> pl.DataFrame:
        """One response to each prompt, which is put into the chat template first. Tool calls are not carried out.

        Args:
            prompts: R texts; repeat one to sample it several times.
            temperature: 0 is greedy.
            max_tokens: longest response; None for the model's ``max_tokens``.
            seed: of the sampling noise.

        Returns:
            R rows: ``prompt``, ``text``, ``finished`` (whether the response ended by itself), ``tokens`` (list of token
            strings), ``logprobs`` (list: each token's log-probability when it was drawn) and their sum ``logprob``.
        """
        seeds = generator(seed, "texts").integers(0, 2**62, len(prompts))
        sampling = Sampling(temperature, self.max_tokens if max_tokens is None else max_tokens)
        drawn = self.lm.generate(self.lm.encode_prompts(_several(prompts, "prompts")), sampling, seeds)
        table = self._table(prompts, self.lm.decode(drawn.tokens), drawn.tokens, drawn.logprob)
        return table.with_columns(finished=pl.Series(drawn.finished))

    def score(self, prompts: Sequence[str], texts: Sequence[str], ended: bool = True) -> pl.DataFrame:
        """How probable each text is as the response to its prompt, at temperature 1.

        Args:
            prompts: R texts, put into the chat template.
            texts: R responses.
            ended: whether the end of the response is scored too.

        Returns:
            R rows: ``prompt``, ``text``, ``tokens``, ``logprobs`` (list: log p of each token given all before it), their sum
            ``logprob``, and ``greedy`` (list: whether each token is the model's first choice).

        Raises:
            ConfigError: prompts and texts are not lists of the same length.
        """
        given = len(_several(prompts, "prompts")), len(_several(texts, "texts"))
        require(given[0] == given[1], "texts", given[1], f"must be as many as there are prompts, {given[0]}")
        end = [self.lm.tokenizer.eos_token_id] * ended
        rows = Ragged.of([[*row.tolist(), *end] for row in self.lm.encode(list(texts))])
        scores = self.lm.score(self.lm.encode_prompts(prompts), rows)
        table = self._table(prompts, texts, rows, scores.logprob)
        return table.with_columns(greedy=_lists(scores.greedy, rows))

    def _table(
        self, prompts: Sequence[str], texts: Sequence[str], tokens: Ragged, logprob: NDArray[np.float32]
    ) -> pl.DataFrame:
        words = self.lm.tokenizer.convert_ids_to_tokens(tokens.values.tolist())
        own = {"prompt": pl.Series(list(prompts), dtype=pl.String), "text": pl.Series(list(texts), dtype=pl.String)}
        lists = {"tokens": _lists(np.array(words, object), tokens), "logprobs": _lists(logprob, tokens)}
        total = np.bincount(tokens.row_of_value, logprob, len(tokens))
        return pl.DataFrame({**own, **lists, "logprob": total})


def _lists(values: NDArray[np.generic], like: Ragged) -> pl.Series:
    """Values (N,) of all tokens as one list a row."""
    kinds = {"f": pl.Float32, "b": pl.Boolean, "O": pl.String}
    rows = [part.tolist() for part in np.split(values, like.offsets[1:-1])] if len(like) else []
    return pl.Series(rows, dtype=pl.List(kinds[values.dtype.kind]))


def _several(texts: Sequence[str], field: str) -> Sequence[str]:
    """Refuse one text where several are meant: its letters would be taken for texts."""
    require(not isinstance(texts, str), field, texts, "must be a list of texts")
    return texts
