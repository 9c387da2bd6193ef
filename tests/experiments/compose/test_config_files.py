"""Files of a user's own search path: found last, read once, looked at before Hydra reads them."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from experiments.compose.compose import compose_one
from experiments.compose.config_files import CheckedSource, place_at
from experiments.compose.hydra_session import session


def test_ours_come_before_those_of_others(elsewhere, tmp_path):
    folder = tmp_path / "elsewhere" / "configs" / "defense"
    (folder / "temperature.yaml").write_text("temperature: {tau: 77}\n")
    with session([elsewhere]) as hydra:
        files = hydra.files([elsewhere])
        assert files.read("defense/temperature").config.temperature.tau == 1.2
        assert files.read("defense/shout").config.shout.volume == 2.0
        assert "shout" in files.options("defense")
        assert "shout" not in hydra.files().options("defense")
        assert files.options("defense").count("temperature") == 1
        assert files.read("defense/nowhere") is None
        assert files.text("defense/nowhere") == ""
        assert files.text("defense/shout").startswith("# A defense from another package.")
        assert {"defense", "attack"} <= set(files.groups())
        assert "hydra" not in files.groups()


def test_a_file_is_read_once(elsewhere, tmp_path):
    with session([elsewhere]) as hydra:
        files = hydra.files([elsewhere])
        first = files.read("defense/shout")
        (tmp_path / "elsewhere" / "configs" / "defense" / "shout.yaml").unlink()
        assert files.read("defense/shout") is first
        assert hydra.files([elsewhere, "seed=1"]) is files


@pytest.mark.parametrize("header", ["", "# @package _global_\n"], ids=["short way", "by Hydra"])
def test_a_broken_file_is_named_whoever_reads_it(elsewhere, tmp_path, header):
    folder = tmp_path / "elsewhere" / "configs" / "defense"
    (folder / "broken.yaml").write_text("a: 1\na: 2\n")
    (folder / "asks.yaml").write_text(f"{header}defaults: [/defense/broken, _self_]\nasks: {{}}\n")
    with pytest.raises(ConfigError, match=r"defense/broken\.yaml = .*is not valid YAML"):
        compose_one([elsewhere, "defense=asks"])


@pytest.mark.parametrize("path", ["pkg://nowhere", "file:///nowhere/at/all", "/nowhere/at/all", "sftp://somewhere"])
def test_a_place_that_is_none_is_named(path):
    with pytest.raises(ConfigError, match=r"hydra\.searchpath = .*; write pkg|hydra\.searchpath = .*: write pkg"):
        compose_one([f"hydra.searchpath=['{path}']"])


@pytest.mark.parametrize("value", ["nowhere", "[1]", "[[a]]"])
def test_hydra_says_what_a_search_path_is(value):
    with pytest.raises(ConfigError, match="must be a list of strings"):
        compose_one([f"hydra.searchpath={value}"])


def test_folders_with_spaces_and_quotes_are_places(tmp_path):
    folder = tmp_path / "it's mine" / "defense"
    folder.mkdir(parents=True)
    (folder / "echo.yaml").write_text("# @package _global_\ndefense: {echo: {volume: 3}}\n")
    place = str(folder.parent).replace("'", "\\'")
    assert compose_one([f"hydra.searchpath=['{place}']", "defense=echo"]).plain["defense"] == {"echo": {"volume": 3}}


def test_a_checked_place_is_called_as_the_place_itself(tmp_path):
    checked = CheckedSource("p", CheckedSource.around(f"file://{tmp_path}"))
    assert repr(checked) == repr(place_at("p", f"file://{tmp_path}"))
    assert checked.available()
    assert not CheckedSource("p", CheckedSource.around(f"{tmp_path}/x")).available()
