"""What every attack has to keep to, run over every YAML of the attack group: a new part is tested by being there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import configs
from attacks.base import Harvest, Recover, Refine
from attacks.examples import to_examples
from attacks.knowledge import Knowledge
from configs.build import build, describe
from configs.errors import ConfigError
from defenses.base import Defense
from lm.batch import collate
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel
from student.objectives.base import Objective
from teacher.api.interface import Interface
from teacher.api.schema import FORBIDDEN, Verdicts
from tests.attacks.world import V, client, examples, harvest_context, pool, recover_context

torch.set_num_threads(1)
ROOT = Path(configs.__file__).parent
GROUP = ROOT / "attack"
EVERYTHING = Interface("all", "full", 3, logit_bias=True, prefill=True, prompt_scoring=True)
KINDS = {"harvest": Harvest, "recover": Recover, "objective": Objective, "refine": Refine}


def names(group):
    return sorted(f.stem for f in (GROUP / group).glob("*.yaml"))


def part(group, name):
    node = OmegaConf.to_container(OmegaConf.load(GROUP / group / f"{name}.yaml"))
    if group in ("recover", "refine"):
        assert list(node) == [name], "such a YAML nests under its own name, so that several compose into a mapping"
        node = node[name]
    return build(node, KINDS[group], f"attack.{group}")


EVERY = [(group, name) for group in KINDS for name in names(group)]


def composed(*overrides):
    ConfigStore.instance().store("attack_probe", {"defaults": [{"teacher": "mini"}, {"attack": "imitate"}, "_self_"]})
    with initialize_config_dir(str(ROOT), version_base="1.3"):
        return OmegaConf.to_container(compose("attack_probe", list(overrides)), resolve=True)["attack"]


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_builds_and_says_where_it_is_from(group, name):
    built = part(group, name)
    assert build(describe(built), KINDS[group], group) == built
    assert built.source
    assert type(built).__doc__
    assert not type(built).__doc__.startswith(f"{type(built).__name__}("), "a docstring of its own"


@pytest.mark.parametrize("name", names("."))
def test_named_attacks_compose_and_build(name):
    attack = composed(f"attack={name}")
    assert attack["name"] == name
    assert set(attack) == {"name", "harvest", "recover", "objective", "refine", "knowledge"}
    build(attack["knowledge"], Knowledge, "attack.knowledge")
    build(attack["harvest"], Harvest, "attack.harvest")
    build(attack["objective"], Objective, "attack.objective")
    for step, node in attack["recover"].items():
        build(node, Recover, f"attack.recover.{step}")
    for step, node in attack["refine"].items():
        build(node, Refine, f"attack.refine.{step}")
    assert (GROUP / f"{name}.yaml").read_text().startswith("# "), "the first line says what the attacker does"


def test_parts_are_chosen_and_changed_on_the_command_line():
    attack = composed("attack/harvest=uncertainty", "attack.harvest.rounds=3", "attack/recover=[as_prefix,dedup]")
    assert attack["harvest"]["rounds"] == 3
    assert list(attack["recover"]) == ["as_prefix", "dedup"]
    assert list(composed("attack/recover=[dedup,as_prefix]")["recover"]) == ["dedup", "as_prefix"]
    assert list(composed("attack=adaptive")["recover"]) == ["verify_answers", "as_prefix", "dedup"]
    assert composed("attack=adaptive", "attack/recover=[]")["recover"] == {}
    assert (
        composed("attack=prefix", "attack.recover.as_prefix.public_rows=7")["recover"]["as_prefix"]["public_rows"] == 7
    )


def test_an_unknown_field_is_refused():
    with pytest.raises(ConfigError, match=r"attack\.harvest\.repeat = 2: is not a field here.*repeats"):
        build(composed("+attack.harvest.repeat=2")["harvest"], Harvest, "attack.harvest")


class Refuses(Defense):
    """Turns away about a third of the requests, for good."""

    source = "test"

    def admit(self, requests, state):
        verdicts = Verdicts.admitted(len(requests))
        verdicts.status[requests.prompt % 3 == 0] = FORBIDDEN
        return verdicts


@pytest.mark.parametrize("name", names("harvest"))
@settings(max_examples=15, deadline=None)
@given(
    chain=st.integers(1, 60),
    code=st.integers(1, 60),
    share=st.floats(0.05, 0.95),
    queries=st.integers(1, 80),
    seeded=st.booleans(),
    refused=st.booleans(),
    accounts=st.integers(1, 4),
)
def test_harvests_never_exceed_the_budget(name, chain, code, share, queries, seeded, refused, accounts):
    owned = pool({"chain": chain, "code": code}, {"chain": share, "code": 1 - share})
    sold, defenses = replace(EVERYTHING, seed=seeded), {"refuses": Refuses()} if refused else None
    api = client(owned, queries, sold, defenses, accounts)
    try:
        got = part("harvest", name).run(api, owned, harvest_context())
    except ConfigError as error:
        field, got = error.field, None
    if got is None:
        assert field == "budget.queries"
        assert api.remaining == queries, "what cannot be done is said before anything is asked"
        return
    assert api.remaining == 0
    assert got.asked == queries
    assert len(got) == queries or refused or got.findings, "only what was looked for besides gives no rows"
    assert not refused or (got.item % 3 != 0).all()


@pytest.mark.parametrize("name", names("harvest"))
def test_harvests_are_a_function_of_the_generator(name):
    owned = pool({"chain": 60, "code": 40})
    a, b = (part("harvest", name).run(client(owned, 40, EVERYTHING), owned, harvest_context(5)) for _ in range(2))
    np.testing.assert_array_equal(a.item, b.item)
    np.testing.assert_array_equal(a.responses.tokens.values, b.responses.tokens.values)


def test_responses_become_rows_that_do_not_learn_tool_results():
    owned = pool({"chain": 20})
    api = client(owned, 20, Interface(top_logprobs=3))
    got = api.ask(np.arange(20)[::-1])
    got.responses.channel[:3] = Channel.TOOL
    prompts = Ragged.of([[i, i] for i in range(20)])
    rows = to_examples(got, prompts)
    assert rows.prompts[0].tolist() == [19, 19]
    assert rows.weight[:3].tolist() == [0, 0, 0]
    assert (rows.weight[3:] == 1).all()
    np.testing.assert_array_equal(rows.top_ids, got.responses.top_ids)
    np.testing.assert_array_equal(rows.cut, got.responses.cut)
    check_aligned(rows)


TOKENS = st.tuples(st.integers(0, V - 1), st.sampled_from([int(c) for c in Channel]))


@st.composite
def harvests(draw):
    """Rows of any tokens and channels, cut or not, with logprobs or without, some of them equal."""
    rows = draw(st.lists(st.lists(TOKENS, max_size=6), max_size=8))
    rows = rows + draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else rows
    b = len(rows)
    n = sum(map(len, rows))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    prompts = rng.integers(0, 2, (b, 1)).tolist()
    tops = None
    if draw(st.booleans()):
        order = np.argsort(rng.random((n, V)), axis=1)[:, :3].astype(np.int32)
        logprobs = np.log(rng.dirichlet(np.ones(4), n)[:, :3]).astype(np.float32)
        missing = rng.random((n, 3)) < 0.3
        tops = (np.where(missing, -1, order).astype(np.int32), np.where(missing, -np.inf, logprobs).astype(np.float32))
    cut = rng.random(b) < 0.5
    return examples(rows, cut, [p[0] for p in prompts], prompts, tops)


def check_aligned(data: Examples):
    n = int(data.completions.offsets[-1])
    assert len(data.prompts) == len(data.completions) == len(data.item) == len(data.cut)
    assert len(data.completions.values) == len(data.channel) == len(data.weight) == n
    for top in (data.top_ids, data.top_logprobs):
        assert top is None or top.shape == (n, data.top_ids.shape[1])
    if data.top_logprobs is not None:
        assert (np.exp(data.top_logprobs.astype(np.float64)).sum(1) < 1 + 1e-5).all()
    assert data.weight.dtype == np.float32
    assert data.item.dtype == np.int64
    assert data.cut.dtype == np.bool_


@pytest.mark.parametrize("name", names("recover"))
@settings(max_examples=25, deadline=None)
@given(data=harvests(), checker=st.sampled_from([True, False, None]))
def test_recovers_keep_arrays_aligned_learn_no_tool_results_and_are_deterministic(name, data, checker):
    before = [a.copy() for a in (data.completions.values, data.weight, data.channel)]
    step = part("recover", name)
    got, again = (step.apply(data, recover_context(lambda item, text: checker, seed=1)) for _ in range(2))
    check_aligned(got)
    assert (got.weight[got.channel == Channel.TOOL] == 0).all()
    assert set(got.item.tolist()) <= {*data.item.tolist(), -1}
    for a, b in zip(vars(got).values(), vars(again).values(), strict=True):
        for x, y in [(a.values, b.values) if isinstance(a, Ragged) else (a, b)]:
            np.testing.assert_array_equal(x, y)
    for was, now in zip(before, (data.completions.values, data.weight, data.channel), strict=True):
        np.testing.assert_array_equal(was, now, "the data given are left as they were")


@pytest.mark.parametrize("name", names("objective"))
def test_objectives_learn_from_weighted_targets_only(name):
    a, t, r = (int(c) for c in (Channel.ANSWER, Channel.TRACE, Channel.TOOL))
    ids = np.array([[1, 2]] * 5, np.int32)
    tops = (ids, np.log(np.full((5, 2), 0.4)).astype(np.float32))
    rows = examples([[(1, t), (3, r), (2, a)], [(4, a), (5, a)]], tops=tops)
    batch = collate(rows, np.arange(2), 0, torch.device("cpu"))
    logits = torch.randn((2, 3, V), generator=torch.Generator().manual_seed(0), requires_grad=True)
    objective = part("objective", name)
    loss = objective.loss(logits, batch)
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert (logits.grad[batch.weight_BT == 0] == 0).all()
    assert (logits.grad[0, 2] != 0).any()
    no_weight = batch._replace(weight_BT=torch.zeros_like(batch.weight_BT))
    assert objective.loss(logits, no_weight) == 0


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_what_a_search_may_change_is_a_field_and_takes_each_value(group, name):
    built = part(group, name)
    for field, values in built.tunes.items():
        assert len(values) >= 2
        for value in values:
            assert getattr(replace(built, **{field: value}), field) == value
