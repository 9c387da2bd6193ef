"""Whether a student's answers are more like the teacher's than those of students that never met it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import at_least
from defenses.base import Defense, Detection, Evidence, Preparation, Prepared
from lm.examples import Examples
from lm.later import torch
from lm.ragged import Ragged
from lm.types import Channel, Sampling

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import Tensor

    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class ResponseSimilarity(Defense):
    """Asks the suspect what clean students were asked, and tests whether it is more like the teacher than they are.

    Lee et al. have a language model judge how alike two models' answers are (style, structure, content), and give no test.
    Here two greedy answers are as alike as their multisets of words and of pairs of words (Dice coefficient, the mean of
    both), and the null is a population: K students that the provider fits itself from the public base model, on as many
    rows as an attacker would harvest, none of which the teacher wrote. Every second one learns from public data, the
    others from answers of the base model's own to tasks of the provider's; they differ in rows and order of training.

    With μ and s, mean and deviation over the clean students of the mean likeness to the teacher, and L that of the suspect,
    t = (L − μ) / (s √(1 + 1/K)) has Student's distribution with K − 1 degrees of freedom for one more student of the same
    population (a prediction interval): p = P(T ≥ t). Prompts are no independent evidence here: what varies is the student,
    so that ``looked_at`` counts clean students, and with few of these p cannot be tiny.

    Assumption: without us, the suspect would be one more such student, by the same base and training, and likenesses are
    about normal. Where the two kinds lie apart, s is larger than within a kind and p errs upwards. A suspect that came to
    be as able as the teacher by other means, or from a source that writes as it does, is more like it than these are and
    is taken for a student of the teacher: this test proves likeness, and less than a watermark does.

    Args:
        prompts: that are asked.
        students: K clean students, at least 4.
        rows: that each is fitted to.
        tokens: most tokens of an answer.
    """

    name: ClassVar[str] = "response_similarity"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Lee et al. 2025 (RSE), arXiv 2501.12619; the null: MoatBench"
    checked: ClassVar[str] = "similarities counted by hand; p uniform on clean students"
    trains: ClassVar[bool] = True

    prompts: int = 200
    students: int = 6
    rows: int = 2000
    tokens: int = 64

    def __post_init__(self) -> None:
        at_least(self, 1, "prompts", "rows", "tokens")
        at_least(self, 4, "students")

    def prepare(self, context: Preparation) -> Prepared:
        """What is asked, and what the teacher and the K clean students say, as texts (`spelt`)."""
        asked = list(context.items(self.prompts).prompts.texts)
        said = {"teacher": self._answers(context.teacher, asked)}
        for k in range(self.students):
            context.progress(k, self.students, "clean students")
            rows = self._own_answers(context) if k % 2 else context.public(self.rows, k + 1)
            said[f"clean_{k}"] = self._answers(context.fit(rows.take(context.rng.permutation(len(rows)))), asked)
        return {name: spelt(texts) for name, texts in {"asked": asked, **said}.items()}

    def detect(self, context: Detection) -> Evidence | None:
        """See the class."""
        kept = {name: read(tensor) for name, tensor in context.serving.prepared.items()}
        own = self._answers(context.suspect, kept["asked"])
        clean = [kept[f"clean_{k}"] for k in range(self.students)]
        alike = [float(likeness(texts, kept["teacher"]).mean()) for texts in (own, *clean)]
        return one_more(alike[0], np.array(alike[1:]))

    def _answers(self, lm: LanguageModel, asked: Sequence[str]) -> list[str]:
        prompts = lm.encode_prompts(asked)
        return lm.decode(lm.generate(prompts, Sampling(0.0, self.tokens), np.arange(len(prompts))).tokens)

    def _own_answers(self, context: Preparation) -> Examples:
        """What the base model says itself to tasks of the provider's, as rows in the teacher's tokens."""
        base, teacher, asked = context.proxy(), context.teacher, context.items(self.rows).prompts
        seeds = context.rng.integers(0, 2**62, len(asked.texts))
        drawn = base.generate(base.encode_prompts(asked.texts), Sampling(1.0, self.tokens), seeds)
        end = [teacher.tokenizer.eos_token_id]
        said = Ragged.of([[*row.tolist(), *end] for row in teacher.encode(base.decode(drawn.tokens))])
        channel = teacher.format.channels(said)
        weight = (channel != Channel.TOOL).astype(np.float32)
        return Examples(asked.tokens, said, channel, weight, np.full(len(said), -1), np.zeros(len(said), np.bool_))


def one_more(found: float, clean: NDArray[np.float64]) -> Evidence:
    """The test of `ResponseSimilarity`: whether a number is too large to be one more of K clean ones."""
    from scipy.stats import t as student

    others = len(clean)
    spread = float(clean.std(ddof=1)) * (1 + 1 / others) ** 0.5
    if spread == 0:
        return Evidence(1.0, 0.0, others)
    statistic = float((found - clean.mean()) / spread)
    return Evidence(float(student.sf(statistic, others - 1)), statistic, others)


def likeness(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """(R,) Dice coefficients of words and of pairs of words, their mean, in [0, 1]; 1 for two texts of the same words in the
    same order, and for two without any."""
    found = []
    for size in (1, 2):
        counts = _counts([*texts, *others], size)
        one, other = counts[: len(texts)], counts[len(texts) :]
        both, all_of = np.asarray(one.minimum(other).sum(1)).ravel(), np.asarray((one + other).sum(1)).ravel()
        found.append(np.where(all_of > 0, 2 * both / np.maximum(all_of, 1), 1.0))
    return np.asarray(np.mean(found, 0))


def _counts(texts: Sequence[str], size: int) -> csr_matrix:
    """(R, F) how often each run of ``size`` words stands in each text."""
    from scipy.sparse import csr_matrix

    words = [text.split() for text in texts]
    grams = [tuple(zip(*(row[i:] for i in range(size)), strict=False)) for row in words]
    number = {gram: i for i, gram in enumerate(dict.fromkeys(gram for row in grams for gram in row))}
    rows = np.repeat(np.arange(len(texts)), [len(row) for row in grams])
    columns = np.array([number[gram] for row in grams for gram in row], np.int64)
    return csr_matrix((np.ones(len(rows)), (rows, columns)), (len(texts), max(len(number), 1)))


def spelt(texts: Sequence[str]) -> Tensor:
    """Texts as one tensor of UTF-8 bytes, each ended by a zero."""
    return torch.tensor(list("".join(f"{text}\0" for text in texts).encode()), dtype=torch.uint8)


def read(tensor: Tensor) -> list[str]:
    """What `spelt` spelt."""
    return bytes(tensor.cpu().numpy()).decode().split("\0")[:-1]
