"""The documentation is followed to the letter: its files are written and used, its commands composed, its links resolved."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from configs.build import build
from experiments.calibration.calibration import calibration_of
from experiments.campaign.from_config import stage_from
from experiments.cell_from import cell_from
from experiments.claims.reporting import reporting_of
from experiments.cli import frontier, game, transcripts_of, validate, worst_case
from experiments.cli.arguments import read
from experiments.cli.calibrate import own_words
from experiments.cli.campaign import POLICIES
from experiments.cli.choices import GROUPS
from experiments.cli.commands import COMMANDS
from experiments.cli.roots import CAMPAIGN, root_of
from experiments.cli.subcommand import CARE, KINDS, SHELLS
from experiments.compose.asked import asked_of
from experiments.compose.compose import ROOT as CELL
from experiments.compose.compose import compose_cells, compose_one
from experiments.compose.table_files import table_words
from experiments.report import write_report
from lm.batch import collate
from lm.types import Channel
from student.objectives.sft import SFT
from tests.attacks.world import V, client, examples, harvest_context, pool, recover_context
from tests.defenses.release.responses import assert_aligned, make
from tests.experiments.report.cells import one

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if p.name != "CHANGELOG.md")
FILE = re.compile(r"^`([\w./]+\.(?:py|yaml))`[^\n]*:\n\n```(?:python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?:bash|console|text|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)[^)]*\)")

OWN = "hydra.searchpath=[pkg://mine.configs]"  # what the variable ``own`` of the pages' shell holds
MOVED = {
    "defenses.release.trace_budget": "mine.defenses",
    "attacks.harvest.stratified": "mine.stratified",
    "attacks.recover.shortest": "mine.shortest",
    "student.objectives.smoothed": "mine.smoothed",
    "defenses.admission.windows.round_the_clock": "mine.round_the_clock",
    "experiments.claims.cheap_noise": "mine.cheap_noise",
}
"""Module in the tree -> module in a package of one's own."""
TEACHING = ("add-a-claim.md", "add-a-defense.md", "add-an-attack.md", "campaigns.md", "experiments.md", "tables.md")
"""Pages that say which files to write."""


def files_of(page: str) -> dict[str, str]:
    """The files that a page says to write."""
    return dict(FILE.findall((ROOT / "docs" / page).read_text()))


class Written(NamedTuple):
    """Overrides that make the documented files known: as part of the tree, and as somebody's package."""

    tree: str
    package: str


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every file of these pages, once in the places that the pages name (those folders are joined to the project's own), and
    once as the package ``mine``."""
    tree, other = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(other))
        for name, text in {n: t for page in TEACHING for n, t in files_of(page).items()}.items():
            if name.startswith("mine/"):  # shown as it is in a package
                place = other / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
                continue
            place = tree / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            moved = other / "mine" / _in_package(name)
            moved.parent.mkdir(parents=True, exist_ok=True)
            for module, own in MOVED.items():
                text = text.replace(f"_target_: {module}.", f"_target_: {own}.")
            moved.write_text(text)
            if name.endswith(".py"):
                package = importlib.import_module(".".join(Path(name).parent.parts))
                patch.setattr(package, "__path__", [*package.__path__, str(place.parent)])
        for folder in ("mine", "mine/configs"):
            (other / folder / "__init__.py").touch()
        importlib.invalidate_caches()
        yield Written(f"hydra.searchpath=[file://{tree}/configs]", OWN)
    for module in [m for m in sys.modules if m.split(".")[0] == "mine" or m in MOVED]:
        del sys.modules[module]


def _in_package(name: str) -> str:
    module = name.removesuffix(".py").replace("/", ".")
    return MOVED[module].removeprefix("mine.") + ".py" if module in MOVED else name


def test_pages_show_whole_files():
    assert set(files_of("add-a-defense.md")) == {
        "defenses/release/trace_budget.py",
        "configs/defense/trace_budget.yaml",
        "mine/hooks.py",
        "mine/rounded.py",
        "mine/configs/defense/rounded.yaml",
        "mine/configs/defense/toys.yaml",
        "mine/configs/experiment/budgets.yaml",
    }
    assert len(files_of("add-an-attack.md")) == 11
    assert len(files_of("add-a-claim.md")) == 2
    assert len(files_of("campaigns.md")) == 4


@pytest.mark.parametrize("form", ["tree", "package"])
def test_the_defense_becomes_part_of_a_cell_and_works(written, form):
    search = getattr(written, form)
    cell = cell_from(compose_one([search, "defense=trace_budget", "defense.trace_budget.tokens=2"]).config)
    assert cell.row_stage().key
    assert cell.facts()["defense"] == "trace_budget(tokens=2)"
    defense = cell.offer.defenses["trace_budget"]
    assert type(defense).__module__ == ("defenses.release.trace_budget" if form == "tree" else "mine.defenses")
    responses, context = make(k=3)
    for tokens, most in ((defense.tokens, 2), (0, 0), (10**6, None)):
        released = type(defense)(tokens=tokens).release(responses, context())
        assert_aligned(released)
        for before, after in zip(_rows(responses), _rows(released), strict=True):
            shown = [t for t, c in after if c == Channel.TRACE]
            assert shown == [t for t, c in before if c == Channel.TRACE][:most]
            assert [p for p in after if p[1] != Channel.TRACE] == [p for p in before if p[1] != Channel.TRACE]


def _rows(responses):
    ends = zip(responses.tokens.offsets[:-1], responses.tokens.offsets[1:], strict=True)
    return [list(zip(responses.tokens.values[a:b], responses.channel[a:b], strict=True)) for a, b in ends]


def test_the_defense_handles_nothing(written):
    compose_one([written.tree, "defense=trace_budget"])
    kind = importlib.import_module("defenses.release.trace_budget").TraceBudget
    responses, context = make(k=0)
    assert len(kind().release(responses.take(np.zeros(0, np.int64)), context())) == 0
    with pytest.raises(Exception, match="tokens = -1: must be at least 0"):
        kind(tokens=-1)


def test_the_defense_is_listed(written):
    from experiments.cli.choices import items
    from experiments.compose.hydra_session import session

    with session() as hydra:
        for search in written:
            found = {item.name: item for item in items("defense", hydra, [search])}["trace_budget"]
            assert "fixed number of tokens" in found.line
            assert found.source == "an example"


@pytest.mark.parametrize("form", ["tree", "package"])
def test_the_attack_becomes_part_of_a_cell(written, form):
    cell = cell_from(compose_one([getattr(written, form), "attack=brief", "attack.harvest.batch=50"]).config)
    assert cell.row_stage().key
    assert cell.attack == "brief"
    assert type(cell.harvest).__name__ == "Stratified"
    assert cell.facts()["adaptive"] is False, "it asks the same whatever comes back"
    assert cell.harvest.batch == 50
    assert list(cell.recover) == ["shortest"]
    assert type(cell.objective).__name__ == "Smoothed"


def test_the_harvest_asks_families_alike_within_its_budget(written):
    cell = cell_from(compose_one([written.tree, "attack=brief", "attack.harvest.batch=7"]).config)
    owned = pool({"chain": 60, "code": 20})
    api = client(owned, 40)
    got = cell.harvest.run(api, owned, harvest_context())
    assert got.asked == 40
    assert api.remaining == 0
    assert len(set(got.item.tolist())) == 40
    assert {f: int((owned.family[got.item] == f).sum()) for f in ("chain", "code")} == {"chain": 20, "code": 20}


def test_the_recover_step_keeps_the_shortest(written):
    cell = cell_from(compose_one([written.package, "attack/recover=[shortest]"]).config)
    a, t = int(Channel.ANSWER), int(Channel.TRACE)
    rows = [[(1, t), (2, a)], [(3, a)], [(4, t), (5, t), (6, a)], [(7, t), (8, a)]]
    got = cell.recover["shortest"].apply(examples(rows, item=[0, 0, 1, -1]), recover_context())
    assert got.item.tolist() == [0, 1, -1]
    assert got.completions.lengths.tolist() == [1, 3, 2]


def test_the_objective_is_cross_entropy_when_nothing_is_smoothed(written):
    kind = type(cell_from(compose_one([written.tree, "attack/objective=smoothed"]).config).objective)
    rows = examples([[(1, int(Channel.TRACE)), (2, int(Channel.ANSWER))], [(4, int(Channel.ANSWER))]])
    batch = collate(rows, np.arange(2), 0, torch.device("cpu"))
    logits = torch.randn((2, batch.input_BT.shape[1], V), generator=torch.Generator().manual_seed(0))
    plain = SFT().loss(logits, batch)
    torch.testing.assert_close(kind(smoothing=0.0).loss(logits, batch), plain)
    uniform = -(logits.log_softmax(-1).mean(-1) * batch.weight_BT).sum() / batch.weight_BT.sum()
    torch.testing.assert_close(kind(smoothing=0.1).loss(logits, batch), 0.9 * plain + 0.1 * uniform)


@pytest.mark.parametrize("form", ["tree", "package"])
def test_the_claim_is_judged_by_a_report(written, form, tmp_path):
    cells = [
        one(name, None, 0.95, users, s) for s in (1, 2, 3) for name, users in (("none", 0.99), ("gaussian_noise", 0.4))
    ]
    made = write_report(cells, tmp_path, "r", *reporting_of({}, [getattr(written, form)]))
    assert made.findings["cheap_noise"].verdict == "fails", made.findings["cheap_noise"].evidence
    same = [one(name, None, 0.95, 0.99, s) for s in (1, 2, 3) for name in ("none", "gaussian_noise")]
    made = write_report(same, tmp_path, "r", *reporting_of({}, [getattr(written, form)]))
    assert made.findings["cheap_noise"].verdict == "holds", made.findings["cheap_noise"].evidence


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_resolve(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_on_the_map():
    listed = set(LINK.findall((ROOT / "docs" / "index.md").read_text()))
    assert {p.name for p in (ROOT / "docs").glob("*.md")} - {"index.md"} <= listed


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        if page.name == "published.md":  # its commands need the hub: `tests.test_docs_published`
            continue
        for block in FENCE.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.strip().removeprefix("$ ").partition("  #")[0]
                line = line.removeprefix('eval "$(').removesuffix(')"').removeprefix("PYTHONPATH=/path/to/my/code ")
                if line.startswith(("moatbench ", "python -m experiments.cli.hydra_app ")):
                    found.append((page.name, " ".join(line.replace("$own", OWN).split())))
    helped = [(f"{name} --help", line) for name, command in COMMANDS.items() for line, _ in command.examples]
    return list(dict.fromkeys(found + [(page, _in_a_shell(line)) for page, line in helped]))


def _in_a_shell(line: str) -> str:
    return line.removeprefix('eval "$(').removesuffix(')"').partition(" | ")[0]


@cache
def composed(overrides: tuple[str, ...], root: str = CELL):
    return compose_cells(overrides, root)


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: text[:60])
def test_commands_compose(page, line, written):
    words = [w for w in shlex.split(line.partition(" | ")[0]) if w != ">"]
    if words[0] == "python":
        arguments, command = [w for w in words[3:] if w != "--multirun"], "sweep"
    elif "--help" in words:
        return
    else:
        asked = read(words[1:])
        arguments, command = list(asked.words), asked.command
    if command == "completion":
        assert arguments[0] in SHELLS
        return
    if command == "claim":
        arguments = [f"+claim={w}" if "=" not in w else w for w in arguments]
    if command == "validate":
        claims = validate.chosen([w for w in arguments if "=" not in w], ())
        arguments = [f"+claim={claims[0].name}", *(w for w in arguments if "=" in w)]
    if command == "calibrate":
        arguments = own_words(arguments).overrides
    if command == "frontier":
        own = frontier.own_words(arguments)
        assert not own.defenses or len(frontier.grids(own)) == 1 + len(own.defenses)
        arguments = list(own.overrides)
    if command in ("game", "transcripts"):
        taking = {"game": game, "transcripts": transcripts_of}[command]
        arguments = list(taking.own_words(arguments).overrides)
    if command == "table":
        arguments = list(table_words(arguments).others)
    if command == "worst-case":
        own = worst_case.own_words(arguments, asked.options.seeds)
        arguments = [*own.overrides, *worst_case.grids(own)[0]]
    overrides = [w for w in arguments if "=" in w]
    if page in TEACHING and not any("searchpath" in w for w in overrides):
        overrides.append(written.tree)
    if command == "list":
        assert set(arguments) - set(overrides) <= set(KINDS)
        return
    if command == "store":
        assert arguments[0] in CARE
        arguments = overrides
    if command == "compare":
        assert len(arguments) == 2, line
        return
    if command in ("trace", "dataset"):  # a row's key, and where to
        assert len(arguments) > len(overrides) or overrides, line
        arguments = overrides
    assert arguments == [w for w in arguments if "=" in w], line
    root = CAMPAIGN if command == CAMPAIGN or (command == "show" and root_of(overrides) == CAMPAIGN) else CELL
    if command == CAMPAIGN and not any("policy=" in w or "experiment=" in w for w in overrides):
        overrides = [POLICIES, *overrides]
    one = command in ("run", "show", "store")
    cells = [compose_one(overrides, root)] if one else composed(tuple(overrides), root)
    for cell in {id(cell): cell for cell in (cells[0], cells[-1])}.values():
        if asked_of(cell.plain) is not None:
            assert calibration_of(cell.plain, asked_of(cell.plain)).key
            continue
        assert (stage_from(cell.plain) if root == CAMPAIGN else cell_from(cell.config).row_stage()).key


def test_there_are_commands_of_each_kind():
    found = {line.split()[1] for _, line in commands() if line.startswith("moatbench ")}
    assert found == set(COMMANDS)


def test_every_group_that_is_listed_is_on_the_page_of_methods():
    text = (ROOT / "docs" / "methods.md").read_text()
    from experiments.cli.choices import items
    from experiments.compose.hydra_session import session

    with session() as hydra:
        for group in (g for kind in KINDS if kind != "experiments" for g in GROUPS[kind]):
            for item in items(group, hydra):
                assert f"| `{item.name}` |" in text, f"{group}={item.name}: GROUPS in docs/generate.py"


def test_every_measure_is_explained():
    from experiments.measure.cell_result import FACTS
    from experiments.measure.summary import HONEST, SYMBOLS

    text = (ROOT / "docs" / "measures.md").read_text()
    for name in (*SYMBOLS.values(), *(n for n in HONEST if not n.endswith("_share")), *FACTS):
        assert f"`{name}`" in text, name


def test_build_is_what_the_pages_say(written):
    """A recover step's YAML nests under its own name; a harvest's and an objective's do not."""
    config = compose_one([written.tree, "attack=brief"]).config.attack
    assert list(config.recover) == ["shortest"]
    assert build(config.harvest, object, "attack.harvest").batch == 100
