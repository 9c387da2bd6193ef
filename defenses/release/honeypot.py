"""Plant keys with values that mean nothing, and recognise later who learnt them. Knows no language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import at_least
from defenses.base import Defense, Detection, Evidence, Preparation, Prepared, ReleaseContext
from defenses.release.rewriter import Arrangement, release_as
from defenses.release.rewriting_grammar import parsed
from defenses.strength import Strength
from lm.later import torch
from lm.ragged import Ragged
from lm.seeds import generator
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

TIE = 1e-9
"""Nats within which two draws are equal."""
DRAWS = 9_999
"""Draws of all values that the real ones are ranked among."""


class Canaries(NamedTuple):
    """M keys with their values.

    Args:
        keys: (M, L) int64 token ids, each row different.
        values: (M,) places in ``pool``.
        pool: (V,) int64 token ids that a value may be.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.int64]
    pool: NDArray[np.int64]


@dataclass(frozen=True)
class Honeypot(Defense):
    """Plants a canary, a rare key followed by a value, into the trace of a share of the responses, and asks suspects for it.

    A canary is ``length`` words and one more, all of which the teacher never says in clean traces (`prepare`): nobody who
    asks a real question needs them, and the answer stays as it was. Keys, the ``decoys + 1`` words that a value may be, and
    the value of each key are pseudo-random functions of the provider's own secret (`Serving.seed`). A chosen response gets
    one of the canaries before one of its statements, both drawn uniformly, as the paper's rewriter puts "x137 = 666" at a
    stealthy place. Only rows with statements get one (`lm.types.ResponseFormat.summary`); one that would change the answer
    is left out. Accounts under suspicion alone get them within `Suspects`.

    `detect`: a suspect answers ``probes`` prompts with each key as the beginning, and each word of the pool is scored as its
    end. z is a word's mean log-probability over the prompts; the statistic is the mean over the keys of z at the value, less
    the mean over the pool. Values are drawn independently of everything that a student knows who never saw a canary, so
    values drawn anew are as good as the real ones: the rank of the statistic among 9,999 draws is uniform for clean
    students, whatever they are and whatever tokens they have. Ties (a student that never learnt these words may find all
    equally unlikely) are broken at random, so that p is uniform exactly, at the price that p is drawn.

    A trace with a canary derives no less, but a parser that knows the task finds words there that do not belong.

    Args:
        share: of the responses with a trace, that get a canary, in [0, 1]; 0 plants none.
        canaries: how many there are.
        length: words of a key.
        decoys: other words that a value might have been.
        probes: prompts that each key is asked after.
        traces: clean traces in which words are not to occur.

    Raises:
        ConfigError: on preparing, the vocabulary has too few words that the teacher never says.
    """

    name: ClassVar[str] = "honeypot"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Ma et al., arXiv 2602.15143 (API watermarking); in the spirit of Dai and Dong, arXiv 2606.15810"
    )
    checked: ClassVar[str] = (
        "ranks uniform among decoys on students that never met a canary; stated share within its error"
    )
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    rewords: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("share", 0, 1)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("canaries", "length", "decoys", "traces")

    share: float
    canaries: int = 8
    length: int = 2
    decoys: int = 19
    probes: int = 16
    traces: int = 500

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share", self.share, "must lie in [0, 1]")
        at_least(self, 1, "canaries", "length", "decoys", "probes", "traces")

    def prepare(self, context: Preparation) -> Prepared:
        """``words`` (W,): ids of the words that the teacher never says."""
        words = _words(context.teacher, context.clean_traces(self.traces).completions.values)
        rest = max(0, len(words) - self.decoys - 1)
        reason = (
            f"leaves {rest} of the {len(words)} words that the teacher never says, too few for {self.canaries} keys"
        )
        require(rest**self.length >= 2 * self.canaries, "defense.honeypot.decoys", self.decoys, reason)
        return {"words": torch.from_numpy(words)}

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Plant the canaries."""
        prepared = context.serving.prepared
        if self.share == 0 or not prepared or not len(responses):
            return responses
        found = self.drawn(prepared["words"].numpy(), context.serving.seed)
        parse = parsed(responses.tokens, responses.channel, context.format)
        rng, rows = context.rng, len(responses)
        chosen, which, where = rng.random(rows) < self.share, rng.integers(self.canaries, size=rows), rng.random(rows)
        said = np.column_stack([found.keys, found.pool[found.values]])[which]
        new = [*responses.tokens]
        for row in np.flatnonzero(chosen).tolist():
            first, last = responses.tokens.offsets[row : row + 2]
            back = np.where(parse.body[first:last], parse.back[first:last], -1)
            begins = np.flatnonzero((back >= 0) & (np.diff(back, prepend=-1) != 0))
            if len(begins):
                at = begins[int(where[row] * len(begins))]
                new[row] = np.concatenate([new[row][:at], said[row].astype(np.int32), new[row][at:]])
        return release_as(Arrangement(Ragged.of(new)), responses, context)

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None where nothing was prepared or there is nothing to ask."""
        words = context.serving.prepared.get("words")
        if words is None or not context.prompts:
            return None
        found = self.drawn(words.numpy(), context.serving.seed)
        scores = self._scores(context, found)
        scores = scores - scores.mean(1, keepdims=True)
        keys = np.arange(self.canaries)
        statistic = float(scores[keys, found.values].mean())
        decoys = context.rng.integers(len(found.pool), size=(DRAWS, self.canaries))
        above = scores[keys, decoys].mean(1) - statistic
        over, equal = int((above > TIE).sum()), 1 + int((np.abs(above) <= TIE).sum())
        return Evidence((over + equal * float(1 - context.rng.random())) / (1 + DRAWS), statistic, self.canaries)

    def drawn(self, words: NDArray[np.int64], secret: int) -> Canaries:
        """The canaries of a provider with this secret."""
        rng = generator(secret, self.name)
        order = rng.permutation(words)
        pool, rest = order[: self.decoys + 1], order[self.decoys + 1 :]
        keys = np.zeros((0, self.length), np.int64)
        while len(keys) < self.canaries:
            drawn = np.concatenate([keys, rng.choice(rest, (self.canaries, self.length))])
            keys = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
        return Canaries(keys[: self.canaries], rng.integers(len(pool), size=self.canaries), pool)

    def _scores(self, context: Detection, found: Canaries) -> NDArray[np.float64]:
        """(M, V) how likely a suspect finds each word of the pool after each key."""
        suspect, teacher = context.suspect, context.serving.teacher
        prompts = context.rng.choice(np.asarray(context.prompts, object), self.probes)
        m, v = len(found.keys), len(found.pool)
        lines = [[*key, word] for key in found.keys for word in found.pool]
        texts = teacher.decode(Ragged.of(lines))
        asked = suspect.encode_prompts([str(prompt) for prompt in prompts for _ in texts])
        said = suspect.encode([text for _ in prompts for text in texts])
        whole = np.bincount(said.row_of_value, suspect.score(asked, said).logprob.astype(np.float64), len(said))
        scores: NDArray[np.float64] = whole.reshape(len(prompts), m, v).mean(0)
        return scores


def _words(teacher: LanguageModel, said: NDArray[np.int32]) -> NDArray[np.int64]:
    """(W,) ids of words of letters and digits, each one token wherever it stands, that do not occur in ``said``."""
    ids = np.setdiff1d(np.arange(len(teacher.vocab)), said)
    texts = teacher.decode(Ragged.of(ids[:, None]))
    again = teacher.encode(texts)
    same = [text.strip().isalnum() and row.tolist() == [i] for i, text, row in zip(ids, texts, again, strict=True)]
    words: NDArray[np.int64] = ids[np.array(same, np.bool_)]
    return words
