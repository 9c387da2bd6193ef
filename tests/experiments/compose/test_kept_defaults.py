"""What one session has read serves the next, until a file is edited, added or removed."""

from __future__ import annotations

import pytest

from experiments.compose.config_files import ConfigFiles, place_at
from experiments.compose.hydra_session import session
from experiments.compose.kept_defaults import kept


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "defense").mkdir()
    (tmp_path / "defense" / "echo.yaml").write_text("echo: {volume: 3}\n")
    return tmp_path


def opened(folder):
    """The files and defaults that a new session gets."""
    return kept(ConfigFiles([place_at("test", f"file://{folder}")]))


def test_sessions_share_what_they_read():
    with session() as first, session() as second:
        assert first.files() is second.files()
        assert first.plain("cell", ()) is not second.plain("cell", ())
        assert first.plain("cell", ())["teacher"] is second.plain("cell", ())["teacher"]


def test_an_edited_file_is_read_again(folder):
    files, defaults = opened(folder)
    assert defaults.content("defense/echo")[0] == {"echo": {"volume": 3}}
    assert opened(folder)[1] is defaults
    (folder / "defense" / "echo.yaml").write_text("echo: {volume: 44}\n")
    again = opened(folder)
    assert again[0] is not files
    assert again[1].content("defense/echo")[0] == {"echo": {"volume": 44}}


def test_a_file_that_is_added_or_removed_is_seen(folder):
    assert opened(folder)[0].options("defense") == ["echo"]
    (folder / "defense" / "shout.yaml").write_text("shout: {}\n")
    assert opened(folder)[0].options("defense") == ["echo", "shout"]
    (folder / "defense" / "echo.yaml").unlink()
    assert opened(folder)[0].options("defense") == ["shout"]
