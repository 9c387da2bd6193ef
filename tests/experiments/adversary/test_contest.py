"""A search on made-up scores: its candidates, its rounds, what it chooses, and that it goes on where it stopped."""

from __future__ import annotations

import json

import polars as pl
import pytest

from attacks.recover.verify_answers import VerifyAnswers
from configs.errors import ConfigError, MoatBenchError
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.cli.worst_case import contests_of, grids, of_experiment, own_words
from experiments.compose.compose import compose_sweep
from experiments.store.artifact import Artifact
from experiments.store.store import Store
from tests.experiments.test_cell import TINY


def contests(*words, seeds=3):
    own = own_words([*TINY, *words], seeds)
    return contests_of(compose_sweep(own.overrides, lines=grids(own)).cells, own.seeds)


def put(store, stage, share):
    """Store a score of which ``share`` of ten items is right, in each of two families."""
    right = [i < round(10 * share) for i in range(10)]
    rows = [
        pl.DataFrame({"family": [family] * 10, "strict": right, "decoding": [decoding] * 10})
        for family in ("chain", "code")
        for decoding in ("greedy", "sampled")
    ]
    rows = [t if t["decoding"][0] == "greedy" else t.with_columns(strict=pl.lit(value=True)) for t in rows]
    store.put(stage, Artifact(tables={"items": pl.concat(rows)}))


SHARES = {"imitate": 0.6, "greedy": 0.4, "clean": 0.3, "clean(verify_answers.keep_unknown=False)": 0.9, "rl": 1.0}


@pytest.fixture(scope="module")
def contest():
    (only,) = contests("defense=trace_hidden", "attack=imitate,greedy,clean,rl,logprobs")
    return only


def test_candidates_are_the_attacks_and_their_declared_parameters_one_at_a_time(contest):
    names = list(contest.candidates)
    assert names[:4] == ["imitate", "greedy", "clean", "clean(verify_answers.keep_unknown=False)"]
    assert {"rl", "rl(refine.rl.lr=0.0005)", "rl(refine.rl.lr=0.002)"} == set(names[4:])
    assert "needs top_logprobs" in contest.left_out["logprobs"]
    assert contest.defense == "trace_hidden(fraction=1)"
    changed = contest.candidates["clean(verify_answers.keep_unknown=False)"].at(7)
    cell = cell_from(changed.plain)
    assert cell.recover["verify_answers"] == VerifyAnswers(keep_unknown=False)
    assert cell.seed == 7
    assert [w for w in changed.overrides if "seed=" in w] == ["seed=7"]
    assert "attack.recover.verify_answers.keep_unknown=False" in changed.overrides


def test_selection_items_are_neither_asked_nor_scored(contest):
    stage = contest.stage("imitate", 0)
    row = cell_from(contest.candidates["imitate"].at(0).plain).row_stage()
    (items,) = stage.items().values()
    chosen = {item.id for item in items}
    assert len(chosen) == 6 * len(stage.model.task.families)
    assert not chosen & {item.id for split in row.scores["student"].items().values() for item in split}
    assert {item.id.partition(":")[0] for item in items}
    assert stage.key != row.scores["student"].key
    assert stage.model.key == row.scores["student"].model.key, "the students are those of the rows"


def test_rounds_take_more_seeds_of_fewer_and_every_kind_stays(contest, tmp_path):
    store, seen, asked = Store(tmp_path / "store"), [], 0
    failed = {"rl(refine.rl.lr=0.002)": "asked for too much"}
    while (standing := contest.standing(store, failed)).missing:
        seen.append((standing.seeds, standing.left))
        for stage, name in standing.missing:
            put(store, stage, SHARES.get(name, 0.2))
            asked += 1
    first = tuple(name for name in contest.candidates if name not in failed)
    assert seen[0] == (1, first)
    # The half: rl, clean changed, imitate. All kinds have one among them: passive, adaptive, refined.
    assert seen[1] == (2, ("imitate", "clean(verify_answers.keep_unknown=False)", "rl"))
    assert seen[2][0] == 3
    assert set(seen[2][1]) == {"imitate", "clean(verify_answers.keep_unknown=False)", "rl"}
    assert asked == 6 + 3 + 3, "seeds of earlier rounds are not measured again"
    assert standing.known["imitate"] == (3, pytest.approx(0.6)), "greedy answers count, sampled ones do not"
    assert standing.known["greedy"].seeds == 1
    before, every = contest.chosen(standing)
    assert before == ("before refining", "clean(verify_answers.keep_unknown=False)", "imitate")
    assert every == ("all", "rl", "imitate")


def test_words_of_its_own():
    own = own_words(["defense=kgw,temperature", "budget=small", "attack=clean"], 2)
    assert own == (("budget=small",), {"kgw": (), "temperature": ()}, ("kgw", "temperature"), ("clean",), (0, 1))
    assert own_words(["seed=4,2"]).seeds == (2, 4)
    assert own_words([]).defenses == ("none",)


def test_a_field_of_one_defense_is_set_for_it_alone():
    words = ["defense=kgw,temperature,none", "defense.kgw.delta=1,3", "defense.temperature.tau=1.4", "attack=imitate"]
    assert [one.defense for one in contests(*words)] == ["kgw(delta=1)", "kgw(delta=3)", "temperature(tau=1.4)", "none"]


def test_an_experiment_says_defenses_attacks_and_seeds():
    cells, seeds = of_experiment(["+experiment=decoding", "attack=imitate,clean", "seed=3,1"])
    assert seeds == (1, 3)
    found = contests_of(cells, seeds)
    assert len(found) == 10
    assert {"none", "temperature(tau=1.1)", "permuted(lam=0.25)"} <= {one.defense for one in found}
    assert all({"imitate", "clean"} <= set(one.candidates) for one in found)
    assert of_experiment(["+experiment=decoding"], 2)[1] == (0, 1)
    assert of_experiment(["+experiment=decoding"])[1] == (0, 1, 2, 3, 4)
    with pytest.raises(ConfigError, match="said twice"):
        of_experiment(["+experiment=decoding", "seed=1"], 2)
    twice, _ = of_experiment(["+experiment=decoding", "defense=none", "attack=imitate", "student.recipe.steps=3,4"])
    with pytest.raises(ConfigError, match="one interface"):
        contests_of(twice, (0,))


def test_defenses_of_one_label_have_the_names_of_their_files():
    words = ["defense=suspects_hidden,suspects_skeleton,none", "budget=sybil", "attack=imitate"]
    assert [one.defense for one in contests(*words)] == ["suspects_hidden", "suspects_skeleton", "none"]
    with pytest.raises(ConfigError, match="one budget"):
        contests("defense=none", "budget=small,sybil", "attack=imitate")


def test_input_that_cannot_be():
    with pytest.raises(ConfigError, match="there is no such attack; did you mean 'imitate'"):
        grids(own_words(["attack=imitat"]))
    with pytest.raises(ConfigError, match="is a stack"):
        own_words(["defense=[kgw,temperature]"])
    with pytest.raises(ConfigError, match="--seeds"):
        own_words([], 0)
    with pytest.raises(ConfigError, match="said twice"):
        own_words(["seed=1"], 2)
    with pytest.raises(ConfigError, match="one interface"):
        contests("attack=imitate", "budget.queries=50,60")
    with pytest.raises(MoatBenchError, match="no attack can be searched"):
        contests("attack=logprobs")


def test_from_search_to_report_and_again(tmp_path, capsys):
    words = [*TINY, f"store={tmp_path}/store", f"out={tmp_path}/out", "defense=trace_hidden"]
    line = ["worst-case", *words, "attack=imitate,clean,logprobs", "--seeds", "1", "--workers", "0"]
    assert main([*line, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "3 candidates; rounds: 3 in 1 seed" in told.out
    assert "left out on trace_hidden(fraction=1): logprobs" in told.err
    assert not (tmp_path / "out").exists()
    assert main(line) == 0
    capsys.readouterr()
    record = json.loads((tmp_path / "out" / "worst-case.json").read_text())
    strongest, searched = (table["rows"] for table in record["tables"])
    assert [row["what"] for row in strongest] == ["before refining", "all"]
    assert {row["passive"] for row in strongest} == {"imitate"}
    assert {(row["attack"], row["seeds"]) for row in searched if not row["why"]} == {
        ("imitate", 1),
        ("clean", 1),
        ("clean(verify_answers.keep_unknown=False)", 1),
    }
    assert main(line) == 0
    assert "0 stages to do" in capsys.readouterr().err, "a second run does nothing"
    game = ["game", *words[:-1], "defense=trace_hidden", "attack=imitate,clean", "seed=0", "price=0.5"]
    code = main(game)
    told = capsys.readouterr()
    assert code == 0 or "no game" in told.err, "a student of three steps may move nothing that can be told"
