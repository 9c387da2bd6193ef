"""Input that Hydra parses and that cannot be: one line that names the field, code 2, before anything runs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from configs.build import build, from_mapping
from configs.errors import ConfigError
from configs.groups import choices
from configs.trust import _installed, require_trusted, trust, trusted
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.compose.compose import compose_cells, compose_one
from experiments.engine import memory
from experiments.engine.memory import Memory
from lm.from_words import fresh_model
from lm.mini.size import weight_count
from student.base import StudentSpec
from student.mini import MiniStudent

ROOT = Path(__file__).resolve().parents[3]
TAU = "defense.temperature.tau"

OF_CELLS = {
    "task=null": "task = None: must be one of the choices (choices: dataset, gsm8k, math500,",
    "attack=null": "attack = None: must be one of the choices",
    "tracking=null": "tracking = None",
    "task=1": "task = 1: must be one of the choices",
    "defense=1": "defense = 1: must be one of the choices",
    "=1": "has no name before the equals sign",
    "~task": "task = None: must be chosen (choices: dataset, gsm8k, math500,",
    "~launcher": "launcher = None: must be chosen",
    "~seed": "seed = None: must be a whole number",
    "seed=99999999999999999999": "seed = 99999999999999999999: must be at most",
    "max_tokens=1000000000000": "max_tokens = 1000000000000: must be at most",
    f"defense=temperature {TAU}=inf": f"{TAU} = inf: must be finite",
    f"defense=temperature {TAU}=1e400": f"{TAU} = inf: must be finite",
    f"defense=temperature {TAU}=nan": f"{TAU} = nan: must be a number",
    "budget.hours=inf": "budget.hours = inf: must be finite",
    "budget.rate=inf": "budget.rate = inf: must be finite",
    "++budget.mix={chain:inf}": "budget.mix.chain = inf: must be finite",
    "++budget.mix={_target_:attacks.budget.Budget}": "budget.mix._target_ = 'attacks.budget.Budget': must be nested",
    "student.recipe.lr=inf": "student.recipe.lr = inf: must be finite",
    "student.heads=0": "student.heads = 0: must be at least 1",
    "student.width=0": "student.width = 0: must be at least 1",
    "student.width=-64": "student.width = -64: must be at least 1",
    "student.layers=0": "student.layers = 0: must be at least 1",
    "student.base_rows=[1]": "student.base_rows = [1]: must be a list of 4",
    "student.base_rows=[1,2,3,-4]": "student.base_rows[3] = -4: must be at least 0",
    "student.base_rows=[0,0,0,0]": "student.base_rows = (0, 0, 0, 0): must hold a row",
    "teacher.curriculum.code=[]": "teacher.curriculum.code = []: must be a list of 3",
    "teacher.curriculum.short=2": "teacher.curriculum.short = 2.0: must be between 0 and 1",
    "store=null": "store = None: must be a folder",
    "out=null": "out = None: must be a folder",
    "++defense.x=1": "defense.x = 1: must be a mapping",
    "attack.recover=1": "attack.recover = 1: must be a mapping of names to parts",
    "attack.harvest=null": "attack.harvest = None: must be chosen (choices: approved, coverage, ",
    "attack.name=null": "attack.name = None: must be a name",
    "task=[mini,mini]": "takes one choice; to compare several, write task=mini,mini",
    "++student.recipe._target_=this.s": "student.recipe._target_ = 'this.s': is of a package that is not imported",
    "attack.name=é": "cannot be read: quote it, for the shell and for Hydra: \"attack.name='é'\"",
    "attack.name=x(y": "quote it",
    "seed=interval(0,1)": "continuous interval",
}

OF_CAMPAIGNS = {
    "campaign=null": "campaign = None: must be one of the choices",
    "~past": "past = None: must be a mapping of fields",
    "campaign.release_days=5": "campaign.release_days = 5: is not a valid tuple",
    "campaign.release_days=[99]": "campaign.release_days = 99.0: must be from 0 to the 10 simulated days",
    "campaign.days=x": "campaign.days = 'x': is not a valid float",
    "campaign.operations=1": "campaign.operations = 1: is not a valid Mapping",
    "campaign.operations.lab.pivot=2": "campaign.operations.lab.pivot = 2.0: must be between 0 and 1",
    "campaign.operations.lab.replacement_hours=-1": "replacement_hours = -1.0: must be at least 0",
    "epoch_hours=null": "epoch_hours = None: is not a valid float",
    "threads=100000": "threads = 100000: must be at most 1,024",
    "curves=/etc/passwd": "curves = '/etc/passwd': is not a table of curves",
    "policy=[full,none]": "takes one choice; to compare several, write policy=full,none",
}


@pytest.mark.parametrize("words", OF_CELLS)
def test_a_cell_that_cannot_be_is_refused_in_one_line(words, capsys):
    assert main(["show", *words.split()]) == 2
    said = capsys.readouterr().err
    assert OF_CELLS[words] in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", OF_CAMPAIGNS)
def test_a_campaign_that_cannot_be_is_refused_in_one_line(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [word for word in ("campaign=small", "policy=none") if not words.startswith(word.partition("=")[0] + "=")]
    assert main(["campaign", "--dry-run", *given, words]) == 2
    said = capsys.readouterr().err
    assert OF_CAMPAIGNS[words] in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", ["defense=[]", "defense=null", "attack/recover=null"])
def test_nothing_chosen_of_a_stack_is_none_of_it(words):
    chosen = cell_from(compose_one([words]).plain)
    assert chosen.row_stage().key == cell_from(compose_one([]).plain).row_stage().key


TOO_LARGE = {
    "student.width=100000000": "student",
    "student.layers=100000": "student",
    "student.base_rows=[100000000,1,1,1]": "student",
    "teacher.layers=100000": "teacher",
    "measure.population.accounts=100000000": "stage honest",
    "budget.accounts=1000000000": "stage harvest",
}


@pytest.mark.parametrize("words", TOO_LARGE)
def test_what_does_not_fit_into_memory_is_refused(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: Memory(64 * 10**9, -1))
    assert main(["sweep", "--dry-run", words]) == 2
    assert f"of memory, most of it for the {TOO_LARGE[words]}, and 64.0 GB are free" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["population.accounts=999999999999", "campaign.days=1e9", "policy=full past.days=1e7", ""]
)
def test_a_campaign_that_does_not_fit_into_memory_is_refused(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: Memory(64 * 10**9, -1))
    code = main(
        ["campaign", "--dry-run", "campaign=small", *words.split(), *([] if "policy" in words else ["policy=none"])]
    )
    assert code == (2 if words else 0)
    assert ("most of it for the stage campaign" in capsys.readouterr().err) == bool(words)


def test_weights_are_counted_without_building_a_model():
    for width, layers in ((16, 1), (64, 2), (96, 3)):
        built = sum(p.numel() for p in fresh_model(width, layers, 4, 0).parameters())
        assert weight_count(width, layers) == built


def test_a_long_sweep_is_counted_and_not_written_out(capsys):
    assert main(["sweep", "--dry-run", "seed=range(0,100000)"]) == 2
    assert "describes 100,000 cells, and at most 20,000 are planned at a time" in capsys.readouterr().err
    assert main(["sweep", "--dry-run", "seed=range(0,1000000000000000)", "attack=imitate,clean"]) == 2
    with pytest.raises(ConfigError, match="at most 20,000"):
        compose_cells(["+experiment=quick", "seed=range(0,5000)"])


@pytest.mark.parametrize(("command", "near"), [("campaign", "campaign/bans"), ("sweep", "quick")])
def test_an_experiment_that_is_not_there_lists_those_of_the_command(command, near, capsys):
    assert main([command, "--dry-run", "+experiment=campaign/nope"]) == 2
    said = capsys.readouterr().err
    assert "experiment = 'campaign/nope': there is no such experiment" in said
    assert near in said
    assert ("campaign/bans" in said) == (command == "campaign")


def test_parts_of_attacks_are_listed_and_overrides_of_lists_refused(capsys):
    for kind, name in (("recover", "as_prefix"), ("harvest", "uncertainty"), ("objective", "topk_kl")):
        assert main(["list", kind]) == 0
        assert name in capsys.readouterr().out
    assert main(["list", "x=1"]) == 2
    assert "list = 'x=1': changes nothing in a list" in capsys.readouterr().err


def test_choices_are_those_of_the_folder():
    assert choices("api") == ["full", "logprobs", "scoring", "summary", "text", "trace"]
    assert choices("nope") == []


BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
)
"""Eleven lines that come to 10^10 values."""
BROKEN = {
    "syntax": (b"a: [1, 2\nb: 3", "is not valid YAML (line 2"),
    "tab": (b"a:\n\tb: 1", "is not valid YAML (line 2"),
    "twice": (b"a: 1\na: 2\n", "is not valid YAML (line 2: found duplicate key a)"),
    "list": (b"- 1\n- 2\n", "must be a mapping"),
    "bytes": (b"a: \xff\xfe\n", "is not UTF-8 at byte 3"),
    "zero": (b"a: \x00\n", "is not valid YAML"),
    "tag": (b'a: !!python/object/apply:os.system ["x"]\n', "is not valid YAML"),
    "bomb": (BOMB, "with its aliases"),
    "itself": (b"a: &a [*a]\n", "with its aliases"),
    "defaults": (b"defaults: 3\n", "does not compose"),
    "flat": (b"_target_: defenses.decoding.temperature.Temperature\ntau: 1.3\n", "must be nested under a name of its own"),
    "outside": (b"x: {_target_: antigravity.fly}\n", "is of a package that is not imported"),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The present folder with a package in it, as a user has it; modules of it are forgotten afterwards."""
    for folder in ("here", "here/configs", "here/configs/defense", "here/configs/attack/recover"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("here", "here/configs"):
        (tmp_path / folder / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield tmp_path / "here"
    for name in [name for name in sys.modules if name.split(".")[0] == "here"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_is_named(here, name, capsys):
    text, message = BROKEN[name]
    (here / "configs" / "defense" / f"{name}.yaml").write_bytes(text)
    assert main(["show", "hydra.searchpath=[pkg://here.configs]", f"defense={name}"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("init", [True, False])
def test_a_package_in_the_place_of_its_configs_is_pointed_out(here, init):
    if not init:
        (here / "configs" / "__init__.py").unlink()
    with pytest.raises(ConfigError, match=r"holds no configurations; did you mean 'pkg://here\.configs'\?") as caught:
        compose_one(["hydra.searchpath=[pkg://here]", "defense=mine"])
    assert ("has no __init__.py" in str(caught.value)) is not init


def test_configs_without_an_init_are_pointed_out(here):
    (here / "configs" / "__init__.py").unlink()
    with pytest.raises(ConfigError, match=r"has no __init__.py: write an empty file of that name into .*here/configs"):
        compose_one(["hydra.searchpath=[pkg://here.configs]", "defense=mine"])


@pytest.mark.parametrize("words", [["defense=mine"], ["+experiment=mine"], ["attack/objective=mine"]])
def test_a_forgotten_search_path_is_thought_of(here, words):
    note = "(own packages: hydra.searchpath=[pkg://PACKAGE.configs])"
    for path, told in (([], True), (["hydra.searchpath=[pkg://here.configs]"], False)):
        with pytest.raises(ConfigError, match="there is no such") as caught:
            compose_cells([*path, *words])
        assert str(caught.value).endswith(note) is told


def test_a_step_that_is_not_nested_is_refused(here):
    text = "_target_: attacks.recover.dedup.Dedup\n"
    (here / "configs" / "attack" / "recover" / "flat.yaml").write_text(text)
    composed = compose_one(["hydra.searchpath=[pkg://here.configs]", "attack/recover=[flat]"])
    with pytest.raises(ConfigError, match=r"attack\.recover\._target_ = .* must be nested under a name of its own"):
        cell_from(composed.plain)


def test_a_package_of_the_present_folder_is_found(here):
    source = (ROOT / "defenses" / "decoding" / "temperature.py").read_text()
    (here / "mine.py").write_text(source.replace('name: ClassVar[str] = "temperature"', 'name: ClassVar[str] = "mine"'))
    (here / "configs" / "defense" / "mine.yaml").write_text("mine: {_target_: here.mine.Temperature, tau: 1.5}\n")
    command = [sys.executable, "-m", "experiments", "show", "hydra.searchpath=[pkg://here.configs]", "defense=mine"]
    code = "import sys; from experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [command[0], "-c", f"import sys; sys.path[0] = {str(ROOT)!r}; {code}", *command[3:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tau: 1.5" in done.stdout


def test_only_trusted_packages_are_imported(here, monkeypatch):
    (here / "loud.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(here.parent))
    monkeypatch.setattr("configs.trust._named", set())
    node = {"_target_": "here.loud.Thing"}
    with pytest.raises(ConfigError, match="is of a package that is not imported"):
        build(node, object, "defense.x")
    assert "here.loud" not in sys.modules
    trust("here.configs")
    assert "here" in trusted()
    with pytest.raises(ConfigError, match="cannot be imported"):
        build(node, object, "defense.x")
    (here / "configs" / "experiment").mkdir()
    (here / "configs" / "experiment" / "sly.yaml").write_text(
        "grids: ['seed=1 hydra.searchpath=[pkg://other.configs]']\n"
    )
    with pytest.raises(ConfigError, match=r"experiment\.sly\.grids = .* is for the user's own command line only"):
        compose_cells(["hydra.searchpath=[pkg://here.configs]", "+experiment=sly"])
    assert "other" not in trusted()


def test_packages_with_an_entry_point_are_trusted(monkeypatch):
    mine = EntryPoint("mine", "mine_installed.parts", "moatbench")
    monkeypatch.setattr("configs.trust.entry_points", lambda group: [mine] if group == "moatbench" else [])
    _installed.cache_clear()
    try:
        require_trusted("mine_installed.steps.Half", "x")
        assert "mine_installed" in trusted()
        with pytest.raises(ConfigError, match="is of a package that is not imported"):
            require_trusted("another_installed.steps.Half", "x")
    finally:
        _installed.cache_clear()


def test_a_class_is_built_only_where_one_is_wanted():
    with pytest.raises(ConfigError, match=r"init = .* is not allowed"):
        from_mapping(MiniStudent, {"init": {"_target_": "attacks.budget.Budget"}}, "student")
    with pytest.raises(ConfigError, match="is not a StudentSpec"):
        build({"_target_": "attacks.budget.Budget"}, StudentSpec, "student")  # type: ignore[type-abstract]
