"""What a genome makes of a trace, and that it stays true: every genome on many responses of the mini world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
import pytest

from defenses.release.rewriting_grammar import GENOMES, UNCHANGED, Genome, arranged, kept_share, parsed
from lm.from_words import word_examples
from lm.ragged import Ragged
from tasks.mini import MiniTask, Wording
from tasks.mini.chain import apply
from tasks.mini.words import CHECK, DIGITS, FUNCTIONS, MARK, SEPARATORS
from tests.defenses.release.responses import make
from tests.lm.mini.tiny import tiny

LM = tiny()
TASK = MiniTask()
CHAIN = "+1 -> 4 +3 = 7 ok *3 -> 1 +4 = 5 # 5"
CALL = "CALL [ stock price 3 ]"
RESTATED = "3 +1 -> 4 4 +3 *3 -> 1 # 1"


def said(text, genome):
    tokens = LM.encode([text])
    places = arranged(parsed(tokens, LM.format.channels(tokens), LM.format), 1, genome)
    return LM.decode(Ragged(tokens.values[places.values], places.offsets))[0]


@pytest.mark.parametrize(
    ("text", "genome", "new"),
    [
        (CHAIN, Genome(every=2), "+1 +3 = 7 *3 +4 = 5 # 5"),
        (CHAIN, Genome(every=2, offset=1), "+1 -> 4 +3 ok *3 -> 1 +4 # 5"),
        (CHAIN, Genome(every=2, drop=1), "+3 = 7 +4 = 5 # 5"),
        (CHAIN, Genome(every=2, offset=1, drop=1), "+1 -> 4 ok *3 -> 1 # 5"),
        (CHAIN, Genome(every=3), "+1 -> 4 +3 *3 +4 = 5 # 5"),
        (CHAIN, Genome(every=3, offset=2), "+1 +3 = 7 *3 +4 # 5"),
        (CHAIN, Genome(bare=1), CHAIN.replace("ok ", "")),
        (CHAIN, Genome(order=1), "+4 = 5 ok *3 -> 1 +3 = 7 +1 -> 4 # 5"),
        (CHAIN, Genome(order=2), "+4 = 5 +1 -> 4 +3 = 7 ok *3 -> 1 # 5"),
        (CHAIN, Genome(order=3), "+1 -> 4 ok *3 -> 1 +3 = 7 +4 = 5 # 5"),
        (CHAIN, Genome(every=2, order=1, bare=1), "*3 +4 = 5 +1 +3 = 7 # 5"),
        (CHAIN, Genome(every=2, offset=1, order=1), "+3 ok *3 -> 1 +1 -> 4 +4 # 5"),
        (CHAIN, Genome(every=2, repeat=2), "+1 +3 = 7 +1 +3 = 7 *3 +4 = 5 *3 +4 = 5 # 5"),
        (RESTATED, Genome(bare=1), "+1 -> 4 +3 *3 -> 1 # 1"),
        (RESTATED, Genome(order=1), "4 +3 *3 -> 1 3 +1 -> 4 # 1"),
        (
            "CALL [ stock price 3 ] 7 7 +3 = 0 ok # 0",
            Genome(bare=1, repeat=2),
            "CALL [ stock price 3 ] 7 +3 = 0 +3 = 0 ok # 0",
        ),
        ("4 1 # 1", Genome(every=2, drop=1, order=1), "4 1 # 1"),
        ("# rev ( x )", Genome(every=2, drop=1, order=1), "# rev ( x )"),
        (f"+1 -> 4 {CALL} 7 +3 = 0 # 0", Genome(order=1), f"+1 -> 4 {CALL} 7 +3 = 0 # 0"),
    ],
)
def test_what_a_genome_says(text, genome, new):
    assert said(text, UNCHANGED) == text
    assert said(text, genome) == new


def test_genomes_are_different_and_begin_with_the_unchanged_one():
    assert GENOMES[0] == UNCHANGED
    assert len(set(GENOMES)) == len(GENOMES) == 176
    long = " ".join(f"{i % 10} {f} -> {(i + 1) % 10}" for i, f in enumerate(FUNCTIONS + FUNCTIONS[:4])) + " # 2"
    assert len({said(long, genome) for genome in GENOMES}) == 176


@cache
def world():
    """Items and rows of responses that a teacher could give, of all families: a third of the answers wrong."""
    rng = np.random.default_rng(0)
    items = [item for family in TASK.families for item in TASK.items("train", family, 60, 1)]
    texts = [TASK.seeded_response(item, rng, Wording(merge=0.2, restate=0.3, check=0.3)) for item in items]
    rows = word_examples(LM, [item.prompt for item in items], texts)
    values = rows.completions.values.copy()
    for row in range(0, len(items), 3):
        last = rows.completions.offsets[row + 1] - 2
        while (other := LM.format.corrupted(int(values[last]), rng)) == values[last]:
            last -= 1
        values[last] = other
    return items, replace(rows, completions=Ragged(values, rows.completions.offsets))


def claims_hold(words, functions, start):
    """Every statement before the mark holds of the chain: ``functions`` applied to ``start``, one after the other."""
    states = list(accumulate(functions, lambda s, f: apply(f, s), initial=start))
    pending, claims = [], 0
    for word, following in pairwise(words[: words.index(MARK) + 1]):
        if word in FUNCTIONS:
            at = functions.index(word)
            if pending and at != pending[-1] + 1:
                return None
            pending.append(at)
        elif word in SEPARATORS:
            if not pending or int(following) != states[pending[-1] + 1]:
                return None
            pending, claims = [-1], claims + 1
        elif word in DIGITS and pending != [-1]:
            if following not in functions or int(word) != states[functions.index(following)]:
                return None
        else:
            assert word in (*DIGITS, CHECK)
        if pending == [-1] and word in DIGITS:
            pending = []
    return claims


@pytest.mark.parametrize("genome", GENOMES, ids=str)
def test_right_stays_right_wrong_stays_wrong_and_every_statement_holds(genome):
    items, rows = world()
    places = arranged(parsed(rows.completions, rows.channel, LM.format), len(rows), genome)
    old, new = LM.decode(rows.completions), LM.decode(Ragged(rows.completions.values[places.values], places.offsets))
    verdicts = {TASK.verify(item, text) for item, text in zip(items, old, strict=True)}
    assert len(verdicts) == 2
    for item, before, after in zip(items, old, new, strict=True):
        assert TASK.verify(item, after) == TASK.verify(item, before)
        assert before.partition(MARK)[2] == after.partition(MARK)[2]
        words, prompt = after.split(), item.prompt.split()
        if item.family == "chain":
            assert claims_hold(words, prompt[1:-1], int(prompt[0])) is not None, (before, after)
        elif item.family == "tool":
            calls = len(prompt) - 4
            assert words[: 7 * calls] == before.split()[: 7 * calls]
            assert claims_hold(words[7 * calls :], [prompt[-2]], int(words[7 * calls - 1])) is not None
        else:
            assert after == before


def test_the_parser_of_these_tests_finds_false_statements():
    assert claims_hold(["+1", "+3", "=", "7", "*3", "->", "1", "#", "5"], ["+1", "+3", "*3"], 3) == 2
    for false in ("+1 -> 5 # 5", "+1 *3 -> 1 # 5", "2 +1 -> 4 # 5", "= 4 # 5", "5 +3 = 7 # 5"):
        assert claims_hold(false.split(), ["+1", "+3", "*3"], 3) is None, false


def longest_common(a, b):
    """Length of the longest common subsequence, by its textbook recurrence."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


@pytest.mark.parametrize("genome", [UNCHANGED, *GENOMES[5::17]], ids=str)
def test_what_is_kept_is_the_f_measure_of_the_longest_common_subsequence(genome):
    _, rows = world()
    parse = parsed(rows.completions, rows.channel, LM.format)
    places = arranged(parse, len(rows), genome)
    scores = []
    for row in range(len(rows)):
        first, last = rows.completions.offsets[row : row + 2]
        old = [i for i in range(first, last) if rows.channel[i] == 1]
        new = [i for i in places[row].tolist() if rows.channel[i] == 1]
        if old:
            scores.append(2 * longest_common(old, new) / (len(old) + len(new)))
    assert kept_share(parse, rows.channel, places) == pytest.approx(np.mean(scores), abs=1e-12)
    assert (genome == UNCHANGED) == (kept_share(parse, rows.channel, places) == 1)


@pytest.mark.parametrize("genome", GENOMES[::7], ids=str)
def test_of_another_format_all_but_the_trace_stays(genome):
    """Every even trace token is a sub-result there, and no word announces one."""
    responses, context = make(n=200)
    parse = parsed(responses.tokens, responses.channel, context().format)
    places = arranged(parse, len(responses), genome)
    for row, (new, old) in enumerate(zip(places, responses.tokens, strict=True)):
        first = int(responses.tokens.offsets[row])
        assert ((new >= first) & (new < first + len(old))).all()
        rest = new[responses.channel[new] != 1]
        assert rest.tolist() == [i for i in range(first, first + len(old)) if responses.channel[i] != 1]


def test_nothing_is_arranged_to_nothing():
    tokens = Ragged.of([])
    parse = parsed(tokens, np.zeros(0, np.uint8), LM.format)
    places = arranged(parse, 0, Genome(2, 1, 1, 1, 3, 2))
    assert len(places) == 0
    assert kept_share(parse, np.zeros(0, np.uint8), places) == 1
