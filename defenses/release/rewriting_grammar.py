"""Ways to say a trace in another arrangement of its own tokens: which statements show their results, in which order, how
often. Knows no task; what a statement is, the response format says.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat

WRITTEN, REVERSED, LAST_FIRST, ALTERNATING = range(4)


class Genome(NamedTuple):
    """One arrangement. A statement is the trace up to and including a sub-result (`ResponseFormat.summary`).

    Shown statements are said as the teacher said them, and so stay as true as they were. A statement without its result
    gives its derivation to the next one that is shown, which then says several steps at once.

    Args:
        every: each ``every``-th statement is shown with its result, counted from the end.
        offset: how many statements come after the last of these; below ``every``.
        drop: 1 leaves out the statements between; 0 leaves their derivations (`ResponseFormat.derivation`) in.
        bare: 1 begins each statement with its derivation and leaves out what stands before it (a restated start).
        order: of the shown statements: 0 as written, 1 reversed, 2 the last one first, 3 every second one first. What comes
            after the last one stays at the end.
        repeat: how often each shown statement is said, one time after the other.
    """

    every: int = 1
    offset: int = 0
    drop: int = 0
    bare: int = 0
    order: int = WRITTEN
    repeat: int = 1


UNCHANGED = Genome()

GENOMES = tuple(
    genome
    for genome in map(Genome._make, product((1, 2, 3), (0, 1, 2), (0, 1), (0, 1), range(4), (1, 2)))
    if genome.offset < genome.every and (genome.every > 1 or not genome.drop)
)
"""All of them, each once, the unchanged one first."""


class Parsed(NamedTuple):
    """What each of N tokens of a trace is.

    Args:
        row: (N,) its row.
        body: (N,) whether it belongs to a statement, of a row that can be arranged: one whose trace is in one piece.
        after: (N,) whether it stands behind all statements of such a row.
        back: (N,) how many statements come after its own.
        derives: (N,) whether it says how a result is come by.
        opens: (N,) whether it stands before the first such token of its statement.
        concludes: (N,) whether it stands behind the last such token of its statement: the sub-result and what announces it.
    """

    row: NDArray[np.int64]
    body: NDArray[np.bool_]
    after: NDArray[np.bool_]
    back: NDArray[np.int64]
    derives: NDArray[np.bool_]
    opens: NDArray[np.bool_]
    concludes: NDArray[np.bool_]


def parsed(tokens: Ragged, channel: NDArray[np.uint8], format: ResponseFormat) -> Parsed:
    """What the tokens of responses are, by their channels (N,) and the format."""
    row, first = tokens.row_of_value, tokens.position == 0
    trace, stated = channel == Channel.TRACE, format.summary(tokens, channel)
    pieces = np.bincount(row[trace & (first | ~_shifted(trace, 1))], minlength=len(tokens))
    ends = stated & (_shifted(first, -1, True) | ~_shifted(stated, -1))
    number, count = _running(ends, row) - ends, np.bincount(row[ends], minlength=len(tokens))
    whole = (pieces == 1)[row]
    body = trace & whole & (number < count[row])
    statement = np.cumsum(ends) - ends + row
    derives = body & format.derivation(tokens, channel)
    derived = np.bincount(statement, derives)[statement] if len(row) else np.zeros(0)
    before = _running(derives, statement)
    return Parsed(
        row,
        body,
        ~body & whole & (_running(body, row) > 0),
        count[row] - 1 - number,
        derives,
        body & (derived > 0) & (before == 0),
        body & ~derives & (before == derived),
    )


def arranged(parse: Parsed, rows: int, genome: Genome) -> Ragged:
    """``rows`` rows of places (flat, in the old tokens) from which the new tokens are to be taken, in order."""
    place = np.arange(len(parse.row))
    group = (parse.back - genome.offset) // genome.every  # of the shown statement it goes with, from the end
    shown = parse.back % genome.every == genome.offset
    said = np.where(shown, ~(parse.opens & bool(genome.bare)), parse.derives & (not genome.drop))
    kept, inner = ~parse.body | said, parse.body & (group >= 0)
    part = np.where(inner, 1, np.where(parse.body | parse.after, 2, 0))
    turn = np.where(inner, _turn(group, genome.order), 0)
    copies = [kept, *[kept & inner] * (genome.repeat - 1)]
    at = np.concatenate([place[copy] for copy in copies])
    copy = np.repeat(np.arange(len(copies)), [copy.sum() for copy in copies])
    order = np.lexsort((at, copy, turn[at], part[at], parse.row[at]))
    return Ragged.with_lengths(at[order], np.bincount(parse.row[at], minlength=rows))


def _turn(group: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """(N,) when each group is said; ``group`` counts from the end."""
    most = int(group.max(initial=0)) + 1
    return {
        WRITTEN: -group,
        REVERSED: group,
        LAST_FIRST: np.where(group == 0, -most, -group),
        ALTERNATING: -group - most * (group % 2),
    }[order]


def kept_share(parse: Parsed, channel: NDArray[np.uint8], places: Ragged) -> float:
    """Mean over rows with a trace of how much of it is left in its order: the F measure of ROUGE-L (Lin 2004), of the
    places that new tokens are taken from. 1 where nothing is changed; less for tokens left out, moved or said again.

    Args:
        parse: of the old tokens.
        channel: (N,) of the old tokens.
        places: as `arranged` gives them.
    """
    trace = channel == Channel.TRACE
    new = places.keep(trace[places.values])
    old = np.bincount(parse.row[trace], minlength=len(new))
    return float((2 * _longest_rise(new) / np.maximum(old + new.lengths, 1))[old > 0].mean()) if old.any() else 1.0


def _longest_rise(rows: Ragged) -> NDArray[np.int64]:
    """(R,) length of the longest rising subsequence of each row, by patience sorting of all rows at once."""
    none = np.iinfo(np.int64).max
    width = int(rows.lengths.max(initial=0))
    table = np.full((len(rows), width), none)
    table[rows.row_of_value, rows.position] = rows.values
    least = np.full((len(rows), width), none)  # the least end of a rise of each length
    line = np.arange(len(rows))
    for column in table.T:
        length = np.minimum((least < column[:, None]).sum(1), width - 1)
        least[line, length] = np.minimum(least[line, length], column)
    rise: NDArray[np.int64] = (least < none).sum(1)
    return rise


def _running(mask: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how often ``mask`` held within the token's group so far, itself included; groups are numbered in order."""
    before = np.concatenate([[0], np.cumsum(np.bincount(group, mask))]).astype(np.int64)
    running: NDArray[np.int64] = np.cumsum(mask) - before[group]
    return running


def _shifted(mask: NDArray[np.bool_], by: int, edge: bool = False) -> NDArray[np.bool_]:
    """(N,) the value of the token before (1) or after (-1); ``edge`` where there is none."""
    if not len(mask):
        return mask
    return np.concatenate([[edge], mask[:-1]]) if by > 0 else np.concatenate([mask[1:], [edge]])
