import numpy as np
import pytest

from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Channel
from tasks.mini.words import TOOLS
from tests.lm.mini.tiny import tiny

LM = tiny()
T, C, R, A = Channel.TRACE, Channel.CALL, Channel.TOOL, Channel.ANSWER


def tokens(*texts):
    return LM.encode(texts)


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("+4 -> 7 # 1 </s>", [T, T, T, A, A, A]),
        ("# 1", [A, A]),
        ("</s>", [A]),
        ("+4 -> </s>", [T, T, A]),
        ("CALL [ weather temp 2 ] 5 +1 -> 6 # 6 </s>", [C] * 6 + [R, T, T, T, A, A, A]),
        ("CALL [ stock price 2 ] 5 CALL [ stock price 5 ] 1 # 1", [C] * 6 + [R] + [C] * 6 + [R, A, A]),
        ("CALL [ stock", [C] * 3),
        ("CALL [ stock price 2 ]", [C] * 6),
        ("3 ] 4", [T, T, T]),
        ("# CALL [ x ] 3", [A] * 6),
        ("CALL CALL ] ] 3", [C, C, C, R, T]),
    ],
)
def test_channels(text, channels):
    assert LM.format.channels(tokens(text)).tolist() == channels


def test_rows_do_not_leak_into_each_other():
    rows = tokens("# 1", "+4 -> 7", "CALL [ stock", "5 ]", "", "3")
    apart = np.concatenate([LM.format.channels(Ragged.of([row])) for row in rows])
    assert np.array_equal(LM.format.channels(rows), apart)
    assert LM.format.channels(tokens("# 1", "+4 -> 7"))[2:].tolist() == [T, T, T]


def test_a_summary_keeps_stated_states():
    rows = tokens("3 +4 -> 7 ok *3 = 1 # 1", "5 -> 3")
    kept = rows.keep(LM.format.summary(rows, LM.format.channels(rows)))
    assert LM.decode(kept) == ["7 1", "3"]


def test_a_summary_keeps_a_state_that_is_split_whole():
    rows = tokens("3 +4 -> 1 & 6 ok *3 = 1 # 1", "5 & 2 -> 3", "-> 2 &", "3 & 4", "-> 1 & & 2", "# 3 -> 1 & 2")
    kept = rows.keep(LM.format.summary(rows, LM.format.channels(rows)))
    assert LM.decode(kept) == ["1 & 6 1", "3", "2 &", "", "1 &", ""]


def test_a_derivation_is_neither_states_nor_what_announces_or_confirms_them():
    rows = tokens("3 +4 -> 7 ok 7 *3 +1 = 2 # 2", "CALL [ stock price 2 ] 5 +1 -> 6 # 6")
    kept = rows.keep(LM.format.derivation(rows, LM.format.channels(rows)))
    assert LM.decode(kept) == ["+4 *3 +1", "+1"]


def test_separators_say_the_same():
    (group,) = LM.format.synonyms
    assert sorted(LM.decode(Ragged.of(group[:, None]))) == ["->", "=", "gives"]


def test_ids_that_no_word_has_are_plain_trace():
    """Models have more logits than there are words, and untrained ones draw them."""
    rows = Ragged.of([[LM.vocabulary - 1, *tokens("-> 7").values, LM.vocabulary - 1]])
    assert LM.vocabulary > len(LM.tokenizer.get_vocab())
    channel = LM.format.channels(rows)
    assert LM.format.summary(rows, channel).tolist() == [False, False, True, False]
    assert not LM.format.derivation(rows, channel).any()


def test_corruption_stays_within_its_kind():
    rng = np.random.default_rng(0)
    table = LM.tokenizer.get_vocab()
    names = {i: word for word, i in table.items()}
    for word, kind in (
        ("7", "0123456789"),
        ("+4", ("+1", "+3", "+6", "+7", "*3", "*7", "*9")),
        ("stock", tuple(TOOLS)),
    ):
        changed = {names[LM.format.corrupted(table[word], rng)] for _ in range(200)}
        assert changed == set(kind) - {word}
    assert LM.format.corrupted(table["->"], rng) == table["->"]


def test_tokenizer_round_trip_and_template():
    words = "3 +4 *3 ?"
    assert LM.decode(LM.encode_prompts([words])) == [words]
    assert LM.encode_prompts([words])[0][0] == LM.tokenizer.bos_token_id
    with pytest.raises(ValueError, match="distinct"):
        build_tokenizer(("a", "a"))
