"""The verdicts on radioactivity, from p-values whose distribution is known, and the numbers behind them, text by text."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, norm

from configs.errors import ConfigError
from defenses.decoding.kgw import KGW
from defenses.decoding.marks import pairs_of
from experiments.cell_from import cell_from
from experiments.claims import radioactivity_stage
from experiments.claims.radioactivity_stage import SCHEMA, counts
from experiments.claims.reporting import claim_of
from experiments.cli.validation import ClaimCells
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.publish.made import made
from experiments.stages.detect import answered_of
from experiments.stages.loading import model_of
from experiments.store.maintenance.kept import keep, kept_named
from experiments.store.stage import Context
from experiments.store.store import Store
from lm.ragged import Ragged
from lm.seeds import derived_seed
from tests.experiments.test_cell import TINY

SEEDS = (0, 1, 2, 3, 4)
KEYS = 80
EVEN = (np.arange(KEYS) + 0.5) / KEYS
FAINT = {1.0: 3.3, 0.5: 2.0, 0.1: 0.4}
WAYS = ("once", "distinct", "everywhere")
SECRET = 5
PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7]])
RESPONSES = Ragged.of([[5, 6, 5, 6, 8], [9, 9, 9, 9], [7, 4, 4, 8, 9, 8, 9, 3]])


def measured(z, once, everywhere, seeds=SEEDS):
    """What the stage tables: the student's z by share, and the clean student's p-values under other keys."""
    found = []
    for seed in seeds:
        for share, own in z.items():
            wobble = 0.2 * math.sin(7 * seed + 10 * share)
            rows = [("student", 0, True, way, norm.sf(own + wobble)) for way in WAYS]
            rows += [("clean", 0, True, way, 0.4) for way in WAYS]
            if share == max(z):
                by_way = dict(zip(WAYS, (once, once, everywhere), strict=True))
                rows += [("clean", 1 + i, False, way, p) for way in WAYS for i, p in enumerate(by_way[way])]
            table = [
                (seed, share + 1e-4 * seed, reader, key, of, way, 2000, 1000, float(norm.isf(p)), p)
                for reader, key, of, way, p in rows
            ]
            found.append(pl.DataFrame(table, schema=SCHEMA, orient="row"))
    return found


@pytest.mark.parametrize(
    ("z", "once", "everywhere", "seeds", "verdict", "said"),
    [
        (FAINT, EVEN, EVEN**4, SEEDS, "holds", "supports supports supports supports"),
        (FAINT, EVEN, np.sort(norm.sf(9 * norm.ppf(EVEN))), SEEDS, "holds", "supports supports supports supports"),
        (FAINT, EVEN, EVEN, SEEDS, "partly", "supports supports supports contradicts"),
        (FAINT, EVEN**4, EVEN**4, SEEDS, "partly", "supports contradicts contradicts supports"),
        (FAINT, np.clip(EVEN, 0.06, 1), EVEN**4, SEEDS, "partly", "supports contradicts supports supports"),
        ({1.0: 0.4, 0.1: 3.3}, EVEN**4, EVEN, SEEDS, "fails", "contradicts contradicts contradicts contradicts"),
        (FAINT, EVEN, EVEN**4, (0,), "undecided", "open open open open"),
        (FAINT, EVEN[::10], EVEN**4, SEEDS, "undecided", "supports open open supports"),
        ({1.0: 3.3}, EVEN, EVEN**4, SEEDS, "undecided", "open supports supports supports"),
    ],
    ids=[
        "falsely",
        "both ways",
        "no need",
        "never uniform",
        "too few",
        "the reverse",
        "one seed",
        "few keys",
        "one share",
    ],
)
def test_verdicts(z, once, everywhere, seeds, verdict, said):
    tables = measured(z, once, everywhere, seeds)
    claim = claim_of("radioactive")
    finding = claim.judge_tables(tables)
    assert " ".join(ground.says for ground in finding.evidence) == said, finding.sentence
    assert finding.verdict == verdict
    again = claim.judge_tables(tables[::-1])
    assert (again.evidence, again.table) == (finding.evidence, finding.table), "whatever comes first"


def test_the_table_has_a_line_for_each_reader_and_share():
    finding = claim_of("radioactive").judge_tables(measured(FAINT, EVEN, EVEN**4))
    lines = {(row["reader"], row["share"]): row for row in finding.table.rows}
    assert list(lines) == [
        *(("student", share) for share in FAINT),
        *(("clean", share) for share in FAINT),
        ("clean, other keys", 1.0),
    ]
    assert lines["clean, other keys", 1.0]["tests"] == KEYS * len(SEEDS)
    assert lines["clean, other keys", 1.0]["once_small"].value == pytest.approx(0.05)
    assert lines["clean, other keys", 1.0]["everywhere_small"].value == pytest.approx((EVEN**4 <= 0.05).mean())
    assert lines["student", 1.0]["p"] < 0.001 < lines["student", 0.1]["p"]
    risen = 2.9 + np.mean([0.2 * (math.sin(7 * seed + 10) - math.sin(7 * seed + 1)) for seed in SEEDS])
    assert finding.evidence[0].found.estimate.value == pytest.approx(risen)
    assert finding.sentence.startswith(f"The student's z at the largest watermarked share is {risen:.2f} [")


def by_hand(watermark, choices):
    """(n, green) by way of counting, one text after the other."""
    found, at = {way: [] for way in WAYS}, 0
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        text, seen = [-1] * watermark.width + prompt.tolist() + response.tolist(), set()
        for i in range(watermark.width, len(text)):
            context = tuple(text[i - watermark.width : i])
            if i >= watermark.width + len(prompt):
                pair = (*context, int(choices[at]))
                at += 1
                found["everywhere"].append(pair)
                found["distinct"] += [pair] if pair not in found["distinct"] else []
                found["once"] += [pair] if context not in seen and pair not in found["once"] else []
            seen.add(context)
    return {
        way: (len(pairs), sum(bool(watermark.green(np.array([p[:-1]]), np.array([p[-1]]), SECRET)) for p in pairs))
        for way, pairs in found.items()
    }


@pytest.mark.parametrize("width", [1, 2, 3])
def test_each_way_of_counting_is_that_of_a_loop(width):
    watermark = KGW(2.0, 0.4, width)
    choices = np.random.default_rng(1).integers(3, 12, len(RESPONSES.values))
    slow = by_hand(watermark, choices)
    assert slow["once"][0] < slow["distinct"][0] <= slow["everywhere"][0] == len(choices)
    for way, found in counts(watermark, PROMPTS, RESPONSES, choices, SECRET).items():
        n, green = slow[way]
        assert found.looked_at == n
        assert found.p == pytest.approx(binomtest(green, n, 0.4, "greater").pvalue)
        assert found.statistic == pytest.approx((green - 0.4 * n) / math.sqrt(0.24 * n))
    assert counts(watermark, PROMPTS, Ragged.of([[], [], []]), choices[:0], SECRET) == {}


def small(*words):
    return cell_from(compose_one([*TINY, "seed=3", *words]).config)


@pytest.fixture(scope="module")
def claim():
    return replace(claim_of("radioactive"), keys=2, texts=12)


@pytest.fixture(scope="module")
def ran(claim, tmp_path_factory):
    """A store, the measurements of a cell and of a diluted one, and what is said of the first in its row."""
    store = Store(tmp_path_factory.mktemp("radioactive"))
    cells = [small("defense=[kgw,kgw_radioactivity]"), small("defense=kgw", "attack=mix")]
    stages = [claim.measurement(cell) for cell in cells]
    evidence = cells[0].row_stage().evidence
    wanted = [Wanted(stage, "test") for stage in (*stages, evidence["student"], evidence["undefended"])]
    outcome = LocalEngine(workers=0).run(plan(wanted, store), store, SilentDisplay())
    assert not outcome.failures
    return store, stages, evidence


def test_a_cell_is_measured_as_its_row_is(ran):
    store, (stage, _), evidence = ran
    own = store.get(stage).table("measured").filter(pl.col("own") & (pl.col("counted") == "once"))
    for reader, role in (("student", "student"), ("clean", "undefended")):
        said = store.get(evidence[role]).table("evidence").filter(pl.col("defense") == "kgw_radioactivity")
        row = own.filter(pl.col("reader") == reader)
        assert row.select("p", "z", "n").row(0) == said.select("p", "statistic", "looked_at").row(0)


def test_shares_keys_and_numbers_of_a_cell(ran):
    store, (stage, mixed), _ = ran
    table, diluted = (store.get(each).table("measured") for each in (stage, mixed))
    key = stage.harvest.offer.defenses["kgw"].key
    asked = table.select("reader", "key", "own").unique().sort("reader", "key").rows()
    assert asked == [("clean", key, True), ("clean", key + 1, False), ("clean", key + 2, False), ("student", key, True)]
    assert table["seed"].unique().to_list() == [3]
    assert (table["share"].unique().to_list(), diluted["share"].unique().to_list()) == ([1.0], [0.5])
    assert diluted["own"].all(), "other keys are read where nothing was changed"
    n, green, z = (table[name].to_numpy() for name in ("n", "green", "z"))
    np.testing.assert_allclose(z, (green - n / 2) / np.sqrt(n / 4), atol=1e-9)


def test_other_keys_mark_their_own_texts_and_fewer(ran):
    store, (stage, _), _ = ran
    teacher = model_of(stage.harvest.served, store.get(stage.harvest.served))
    secret = derived_seed(derived_seed(3, "gateway"), "kgw")
    learnt = set(answered_of(stage.harvest, store.get(stage.harvest)).prompts)
    marks = {key: other.offer.defenses["kgw"] for key, other in stage.others.items()}
    for key, other in stage.others.items():
        answered = answered_of(other, store.get(other))
        assert len(answered.prompt) == 12
        texts = [answered.prompts[i] for i in answered.prompt]
        assert learnt.issuperset(texts), "prompts whose clean answers the clean student learnt"
        prompts = teacher.encode_prompts(texts)
        pairs = np.unique(pairs_of(prompts, answered.responses.tokens, 2)[0], axis=0)
        z = {k: mark.finding(pairs[:, :-1], pairs[:, -1], secret).statistic for k, mark in marks.items()}
        assert z.pop(key) > 4
        assert max(z.values()) < 4


def test_refuses_students_with_other_tokens(ran, monkeypatch):
    store, (_, stage), _ = ran

    def other(loaded, entry):
        return model_of(loaded, entry) if loaded is stage.harvest.served else SimpleNamespace(vocab=())

    monkeypatch.setattr(radioactivity_stage, "model_of", other)
    inputs = {name: store.get(each) for name, each in stage.inputs().items()}
    with pytest.raises(ConfigError, match="reads other tokens than the teacher's"):
        stage.run(Context(inputs, store, lambda *told: None))


def test_refuses_cells_without_that_watermark(claim):
    with pytest.raises(ConfigError, match=r"claim\.watermark = 'kgw'.*serves no cell"):
        claim.measurement(small("defense=none"))
    with pytest.raises(ConfigError, match=r"claim\.watermark = 'temperature'.*no green-list watermark"):
        replace(claim, watermark="temperature").measurement(small("defense=temperature"))
    with pytest.raises(ConfigError, match="must be at least 1"):
        replace(claim, keys=0)


def test_a_validation_judges_what_is_measured_when_all_of_it_is_there(ran, claim):
    store, stages, _ = ran
    asked = ClaimCells(claim, (), tuple(Wanted(stage, "test") for stage in stages))
    entries = {stage.key: store.get(stage) for stage in stages}
    found = asked.finding(entries)
    assert asked.measured
    assert found == claim.judge_tables([entry.table("measured") for entry in entries.values()])
    assert found.evidence
    assert asked.finding(dict(list(entries.items())[:1])) is None, "one is missing"


def test_a_kept_table_of_measurements_says_how_it_was_made(ran):
    store, stages, _ = ran
    keep(store, "measured", stages, ("claim", "radioactive"))
    assert "; 1 seed; " in made(store, kept_named(store.root, "measured", "NAME"))
