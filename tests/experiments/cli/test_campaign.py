"""``moatbench campaign`` from the command line to the report, on a small campaign; what cannot be is said in one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from experiments.campaign.campaign_stage import TABLES, CampaignStage
from experiments.cli import main
from experiments.cli.campaign import POLICIES
from experiments.cli.completion import complete
from experiments.publish.made import made
from experiments.store.maintenance.kept import kept_named
from experiments.store.store import Store
from tests.experiments.report.page.parsed import Page

SMALL = (
    "campaign=small",
    "population=small",
    "population.accounts=500",
    "campaign.operations.lab.accounts=30",
    "campaign.operations.lab.exchanges=1000",
    "campaign.days=3",
    "campaign.release_days=[]",
    "campaign.operations.lab.days=3",
    "encoder=hashing",
)
ENDINGS = ("md", "csv", "tex", "json", "html")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def moatbench(*words: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words])
    return Ran(code, out.getvalue(), err.getvalue())


def command(folder: Path) -> list[str]:
    paths = [f"store={folder}/store", f"out={folder}/out"]
    return ["campaign", *SMALL, "policy=none,linking", *paths, "--workers", "0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("campaign")


@pytest.fixture(scope="module")
def ran(folder):
    return moatbench(*command(folder))


def test_it_ends_well_and_says_what_it_wrote(ran, folder):
    assert ran.code == 0
    assert "2 stages to do, 0 stored results reused" in ran.err
    assert "Under linking the campaign ends at" in " ".join(ran.out.split())
    assert {path.suffix[1:] for path in (folder / "out").iterdir() if path.stem == "small"} == {*ENDINGS}
    for plot in ("harvest", "roc", "cost", "graph"):
        for ending in ("png", "pdf"):
            assert (folder / "out" / f"small_{plot}.{ending}").stat().st_size > 1000


def test_tables_hold_both_policies_and_agree_with_each_other(ran, folder):
    told = json.loads((folder / "out" / "small.json").read_text())
    assert [one["policy"] for one in told["policies"]] == ["none", "linking"]
    with (folder / "out" / "small.csv").open() as file:
        rows = list(csv.DictReader(file))
    usable = {r["policy"]: float(r["value"]) for r in rows if r["measure"] == "usable" and not r["part"]}
    assert usable.keys() == {"none", "linking"}
    assert 0 < usable["linking"] < usable["none"]
    for one in told["policies"]:
        (measure,) = [m for m in one["measures"] if m["measure"] == "usable" and "part" not in m]
        assert measure["value"] == usable[one["policy"]]
    transfer = {(r["policy"], r["of"]): r for r in rows if r["measure"] == "transfer"}
    asked = {"agentic_reasoning", "tool_use", "coding"}
    assert transfer.keys() == {(policy, of) for policy in usable for of in asked}
    text = (folder / "out" / "small.md").read_text()
    assert all(f"| {name} " in text for name in ("undefended", "linking"))


def test_the_page_says_how_its_campaigns_were_made(ran, folder):
    page = Page.of((folder / "out" / "small.html").read_text())
    store = Store(folder / "store")
    assert made(store, kept_named(store.root, "small", "NAME")) in "".join(page.text)


def test_what_is_stored_is_what_was_reported(ran, folder):
    store, usable = Store(folder / "store"), {}
    for entry in store.entries(CampaignStage.name):
        assert {name for name in TABLES if entry.table(name) is not None} == set(TABLES)
        usable[entry.meta["facts"]["policy"]] = int(entry.table("harvest")["usable"].sum())
        accounts = entry.table("accounts")
        assert accounts.filter(accounts["operation"] == "").height == 500 + 2 * 50
        assert int(entry.table("epochs")["distil_usable"].sum()) == int(accounts["distil_usable"].sum())
    told = json.loads((folder / "out" / "small.json").read_text())
    for one in told["policies"]:
        assert usable[one["policy"]] == next(m["value"] for m in one["measures"] if m["measure"] == "usable")


def test_the_same_command_does_nothing_again_and_writes_the_same(ran, folder):
    before = {e: (folder / "out" / f"small.{e}").read_bytes() for e in ENDINGS}
    again = moatbench(*command(folder))
    assert again.code == 0
    assert "0 stages to do, 2 stored results reused" in again.err
    assert {e: (folder / "out" / f"small.{e}").read_bytes() for e in ENDINGS} == before


def test_its_table_is_exported_with_what_it_stands_on(ran, folder):
    archive = folder / "small.tar.gz"
    done = moatbench("store", "export", "small", str(archive), f"store={folder}/store")
    assert done.code == 0, done.err
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        table = packed.extractfile("small/table.csv").read().decode()
    assert table == (folder / "out" / "small.csv").read_text()
    for part in (*TABLES, "indicators"):
        assert sum(name.endswith(f"/{part}.parquet") for name in names) == 2


def test_show_prints_the_campaign_and_whether_it_is_stored(ran, folder):
    shown = moatbench("show", *SMALL, "policy=linking", f"store={folder}/store")
    assert shown.code == 0
    assert "\npolicy:\n" in shown.out
    assert "linker" in shown.out
    assert "stored  campaign" in shown.out
    other = moatbench("show", *SMALL, "policy=linking", "seed=1", f"store={folder}/store")
    assert "to do   campaign" in other.out


def test_without_policy_five_are_compared(tmp_path):
    asked = ["campaign", *SMALL, f"store={tmp_path}", "--dry-run"]
    dry = moatbench(*asked)
    assert dry.code == 0
    assert len(POLICIES.partition("=")[2].split(",")) == 5
    assert "5 stages to do" in dry.err
    assert "1 stage to do" in moatbench(*asked, "policy=linking").err
    assert "4 stages to do" in moatbench(*asked, "policy=linking", "seed=range(0,4)").err


def test_an_experiment_brings_its_own_policies(tmp_path):
    dry = moatbench("campaign", "+experiment=campaign/bans", f"store={tmp_path}", "--dry-run")
    assert dry.code == 0
    assert "7 stages to do" in dry.err


LAB = "campaign.operations.lab"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["campaign=smal"], "campaign = 'smal': there is no such campaign; did you mean 'small'?"),
        (["policy=linkin"], "policy = 'linkin': there is no such policy; did you mean 'linking'?"),
        ([f"{LAB}.shar=0.5"], f"{LAB}.shar = '0.5': is not a field here; did you mean share?"),
        (["defense=none"], "defense = 'none': is not a field here"),
        ([f"{LAB}.exchanges=100000000", "policy=limits"], "anthropic_tiers.dollars_per_month binds at"),
        ([f"+{LAB}.capabilities.reasonin=1"], "is not a capability; did you mean 'reasoning'?"),
        (["population.requests_per_day=-1"], "population.requests_per_day = -1.0: must be more than 0"),
        ([f"{LAB}.days=4"], "ends after the 3 simulated days"),
        (["epoch_hours=5"], "epoch_hours = 5.0: must divide a day of 24 hours"),
        (["policy.ladder.rungs=[bann]"], "did you mean 'ban'?"),
        (["encoder=minilmm"], "did you mean 'minilm'?"),
        (["link.kind=ratio"], "link.ratio = None: must be stated"),
        (["threads=0"], "threads = 0: must be at least 1"),
        (["seed=-1"], "seed = -1: must be at least 0"),
        (["+experiment=quick"], "run it with moatbench sweep +experiment=quick"),
        (["+experiment=campaign/ban"], "no such"),
        (["store=a,b"], "must be the same for all cells"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_before_anything_runs(words, message, tmp_path):
    one = [] if any(word.startswith(("policy=", "+experiment")) for word in words) else ["policy=none"]
    said = moatbench(
        "campaign", *SMALL, *one, *([] if "store=a,b" in words else [f"store={tmp_path}"]), *words, "--dry-run"
    )
    assert said.code == 2
    assert said.err.startswith("moatbench: ")
    assert message in said.err
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_of_several_campaigns_the_one_that_cannot_be_is_named(tmp_path):
    said = moatbench(
        "campaign", *SMALL, f"{LAB}.exchanges=2000000", f"{LAB}.pace=100000", f"store={tmp_path}", "--dry-run"
    )
    assert said.code == 2
    assert "anthropic_tiers.dollars_per_month binds at" in said.err
    assert said.err.endswith("\n  in policy=limits\n")


def test_grids_of_campaigns_are_no_sweep_of_cells():
    said = moatbench("sweep", "+experiment=campaign/bans", "--dry-run")
    assert said.code == 2
    assert said.err == (
        "moatbench: experiment = 'campaign/bans': has grids of a campaign: run it with moatbench campaign "
        "+experiment=campaign/bans\n"
    )


def test_a_detector_that_saw_too_few_honest_windows_says_so(tmp_path):
    fewer = ["policy=watch", "policy.detectors.mmd_window.reference=200", "population.accounts=60"]
    said = moatbench("campaign", *SMALL, *fewer, f"store={tmp_path}/store", f"out={tmp_path}/out", "--workers", "0")
    assert said.code == 2
    text = " ".join(said.err.split())
    assert "windows of 1500 requests across accounts" in text
    assert "give more requests, or lower window, reference or quantile" in text
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("moatbench campaign ", ["campaign=", "policy=", "population=", "market=", "link="], ["defense=", "task="]),
        ("moatbench campaign policy=li", ["policy=limits", "policy=linking"], ["policy=none"]),
        ("moatbench campaign policy=none,li", ["policy=none,linking"], []),
        ("moatbench campaign campaign=small campaign.operations.lab.sh", [f"{LAB}.share="], [f"{LAB}.days="]),
        ("moatbench campaign policy=linking policy.detectors.linker.j", ["policy.detectors.linker.jaccard="], []),
        ("moatbench campaign +experiment=", ["+experiment=campaign/bans"], ["+experiment=quick"]),
        ("moatbench sweep +experiment=", ["+experiment=quick"], ["+experiment=campaign/bans"]),
        ("moatbench run p", ["prices="], ["policy=", "population="]),
        ("moatbench show p", ["prices=", "policy="], []),
        ("moatbench show teacher=mini p", ["prices="], ["policy="]),
        ("moatbench show campaign=small d", [], ["defense="]),
        ("moatbench campaign --", ["--dry-run ", "--workers "], []),
    ],
)
def test_completion_knows_what_the_command_takes(line, some, none):
    found = complete(line)
    assert set(some) <= set(found)
    assert not set(none) & set(found)


def test_list_shows_campaigns_as_they_are_typed():
    listed = moatbench("list", "campaigns", "policies", "experiments")
    assert listed.code == 0
    for name in ("aggregate_feb2026", "labs_small", "uneven", "linking", "campaign/bans", "quick"):
        assert f"\n{name} " in listed.out
    assert "Anthropic 2026-02-23 (P)" in " ".join(listed.out.split())
