"""The toys of docs/add-a-defense.md and docs/add-an-attack.md do what the pages say, in whole cells."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attacks.base import HarvestContext, Pool
from attacks.client import Client
from defenses.base import Detection, Preparation, Serving
from experiments.compose.compose import compose_sweep
from experiments.study import OpenCell, open_cell
from lm.seeds import derived_seed
from lm.types import Channel, Sampling
from teacher.api.schema import Responses
from tests.defenses.release.mini_responses import assert_answers_kept, same, world
from tests.defenses.release.responses import assert_aligned, make
from tests.defenses.release.test_retold import released
from tests.experiments.stages.test_abilities import EVERYTHING, LM, TEXTS, client, prompts
from tests.experiments.test_cell import TINY
from tests.test_docs import written as written  # a fixture

PACKAGE = "hydra.searchpath=[pkg://mine.configs]"


@pytest.fixture(scope="module")
def toys(written, tmp_path_factory) -> OpenCell:
    words = [*TINY, PACKAGE, "defense=toys", "defense.newcomers.hours=0.25", "attack=probing", "api=full"]
    return open_cell(words, tmp_path_factory.mktemp("store")).run(quiet=True)


def kinds():
    return importlib.import_module("mine.hooks")


def test_a_cell_with_all_hooks_is_run_to_its_row(toys):
    row = toys.row()
    assert row["defense"] == "newcomers + blurred(scale=0.1) + favours(delta=1) + terse"
    assert row["attack"] == "probing"
    assert row["refine"] == "self_taught"
    assert row["asked"] == 60
    assert row["finding_logprob"] < 0
    assert 0.001 <= row["evidence_p"] <= 1
    assert {"prepared.blurred", "distilled"} <= set(toys.stages()["name"])


def test_marked_accounts_get_the_last_words_alone(toys):
    released, raw = toys.responses(), toys.generations()
    shown, whole = released["text"].str.split(" ").list.len(), raw["text"].str.split(" ").list.len()
    assert (shown <= whole).all()
    assert (shown < whole).any(), "within the first quarter of an hour"
    assert (shown == whole).filter(whole > 3).any(), "and not later"
    for text, said in zip(released["text"], raw["text"], strict=True):
        assert said.split()[-3:] == text.split()[-3:]


def test_texts_of_his_own_are_the_words_of_a_prompt_in_another_order(toys):
    table = toys.responses().with_columns(words=pl.col("prompt").str.split(" ").list.sort())
    pool, own = table.filter(pl.col("item") < 60), table.filter(pl.col("item") >= 60)
    assert 20 <= len(own) <= 30
    assert set(map(tuple, own["words"])) <= set(map(tuple, pool["words"]))


@pytest.mark.parametrize("k", [0, 3])
def test_digits_of_traces_are_rounded_and_nothing_else_is_touched(written, k):
    responses, context = make(k=k)
    changed: Responses = importlib.import_module("mine.rounded").Rounded().release(responses, context())
    assert_aligned(changed)
    trace = responses.channel == Channel.TRACE
    before, after = responses.tokens.values, changed.tokens.values
    assert (changed.channel == responses.channel).all()
    assert (after[~trace] == before[~trace]).all()
    assert (after[trace] == before[trace] // 2 * 2).all()
    assert (after != before).any()
    assert not changed.cut.any()
    assert (changed.output_tokens == responses.output_tokens).all()


def test_in_the_mini_world_the_trace_around_a_call_is_rounded_and_the_answer_stays(written):
    rounded = importlib.import_module("mine.rounded").Rounded()
    texts = ["+1 -> 5 CALL [ stock price 3 ] 7 7 +3 = 0 ok # 7", "+6 -> 9 +4 -> 3 # 3", "# 7 9", "# rev ( x )"]
    new = ["+1 -> 4 CALL [ stock price 3 ] 7 6 +3 = 0 ok # 7", "+6 -> 8 +4 -> 2 # 3", *texts[2:]]
    assert released(rounded, *texts) == new
    base = world(k=2)
    changed = rounded.release(base.responses, base.context())
    assert_answers_kept(changed, base.responses)
    assert not same(changed, base.responses)


def test_a_mask_of_another_length_is_refused_in_words():
    responses, _ = make(k=0)
    with pytest.raises(ValueError, match=rf"mask has 3 entries, the responses have {len(responses.channel)} tokens"):
        responses.keep_tokens(np.ones(3, bool))


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_noise_on_the_output_layer(written, scale):
    blurred = kinds().Blurred(scale)
    prepared = blurred.prepare(Preparation(LM, lambda: LM, lambda n: None, np.random.default_rng(0)))
    served = blurred.serve(Serving(LM, prepared=prepared)).model.get_output_embeddings().weight
    teacher = LM.model.get_output_embeddings().weight
    moved = float((served - teacher).detach().std() / teacher.detach().std())
    assert moved == pytest.approx(scale, rel=0.05)


def test_the_secret_half_is_favoured_and_found(written, tmp_path):
    plain, favoured = (
        client(tmp_path, *stack).ask(np.arange(24)).responses for stack in ((), (kinds().Favours(delta=3.0),))
    )
    secret = derived_seed(1, "favours")
    green = kinds().half(secret, LM.vocabulary)
    share = [float(green[got.tokens.values[got.channel != Channel.TOOL]].mean()) for got in (plain, favoured)]
    assert share[1] > share[0] + 0.2

    class Learnt:
        """A student that says what the defended teacher would."""

        vocabulary = LM.vocabulary
        encode_prompts = staticmethod(LM.encode_prompts)

        @staticmethod
        def generate(asked, sampling, seeds):
            processor = kinds().Favours(delta=3.0).decode(Serving(LM, seed=secret), None)
            return LM.generate(asked, sampling, seeds, [processor])

    found = {}
    for name, suspect in (("learnt", Learnt), ("never", LM)):
        context = Detection(suspect, TEXTS, Serving(LM, seed=secret), LM.format, np.random.default_rng(0))
        found[name] = kinds().Favours().detect(context)
    assert found["learnt"].p < 0.02 < found["never"].p
    assert found["learnt"].statistic == pytest.approx(share[1], abs=0.1)


def test_only_what_is_sold_is_asked(written, tmp_path):
    probing = importlib.import_module("mine.probing").Probing(probes=4)
    pool = Pool(TEXTS, np.array(["chain"] * len(TEXTS), object), {"chain": 1.0})
    for sold, findings in ((True, {"logprob"}), (False, set())):
        asking: Client = client(tmp_path, interface=replace(EVERYTHING, prompt_scoring=sold), queries=20, data=40)
        got = probing.run(asking, pool, HarvestContext(lambda: LM, lambda so_far: LM, np.random.default_rng(0)))
        assert set(got.findings) == findings
        assert asking.remaining == 0
    greedy = LM.generate(prompts().tokens.take(got.item[:1]), Sampling(0.0, 8), np.zeros(1, np.int64))
    assert got.responses.tokens[0].tolist() == greedy.tokens[0].tolist(), "every second request is greedy"


def test_the_experiment_is_what_the_page_says(written):
    sweep = compose_sweep([PACKAGE, "+experiment=budgets"])
    assert len(sweep.cells) == 2 * 2 * 3 + 3 * 2 * 3
    assert not sweep.repeated
