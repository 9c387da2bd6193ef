"""One entry of the store on disk: how it is written, checked and read. Knows nothing of where entries lie or who wants them.

A directory with one safetensors file per group of tensors, one parquet file per table, ``meta.json``, and
``manifest.json``, written last, with size and SHA-256 of all the others and of itself. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.store.manifest import FILE, META, wrong_with
from lm.timing import timed

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.store.artifact import Artifact

FORMAT = 3
"""Layout of a store and its entries; raised when an older one can no longer be read on (`maintenance.migrate`)."""

MANIFEST = "manifest.json"


class Corrupt(Exception):  # noqa: N818
    """An entry is not what its manifest says; the message says in words what is wrong."""


@dataclass(frozen=True)
class Entry:
    """A checked entry. Files are read when asked for.

    Args:
        path: its directory.
        manifest: stage, version, key, config, inputs, memos (shared work that was used), sources (code
            of the parts, see `experiments.store.sources`), files, seconds and provenance, as written.
    """

    path: Path
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def key(self) -> str:
        """Hash under which it is stored."""
        return str(self.manifest["key"])

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return float(self.manifest["seconds"])

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The JSON-able facts of the artifact."""
        facts = json.loads((self.path / META).read_text())
        if not isinstance(facts, dict):
            raise TypeError(f"{META} is no object")
        return facts

    @timed("reading")
    def tensors(self, name: str) -> dict[str, Tensor]:
        """The named group as torch tensors on the CPU; KeyError where there is no such group."""
        from safetensors.torch import load_file

        loaded: dict[str, Tensor] = load_file(self._file(name, "safetensors"))
        return loaded

    @timed("reading")
    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The named group as NumPy arrays (no bfloat16); KeyError where there is no such group."""
        from safetensors.numpy import load_file

        loaded: dict[str, NDArray[Any]] = load_file(self._file(name, "safetensors"))
        return loaded

    @timed("reading")
    def table(self, name: str) -> pl.DataFrame:
        """The named table; KeyError where there is none."""
        return pl.read_parquet(self._file(name, "parquet"))

    def _file(self, name: str, kind: str) -> Path:
        file = f"{name}.{kind}"
        if file not in self.manifest["files"]:
            raise KeyError(f"{self.path} holds no {file}, only {', '.join(sorted(self.manifest['files']))}")
        return self.path / file


@timed("writing")
def write_entry(folder: Path, artifact: Artifact, facts: Mapping[str, Any]) -> None:
    """Write an artifact into an existing empty folder and sync it to disk.

    Args:
        folder: where to; it is not renamed here.
        artifact: what to write.
        facts: JSON-able; become part of the manifest.

    Raises:
        OSError and others, as the libraries raise them, when the disk is full.
    """
    for name, group in artifact.tensors.items():
        _save_tensors(folder / f"{name}.safetensors", group)
    for name, table in artifact.tables.items():
        table.write_parquet(folder / f"{name}.parquet", compression="zstd")
    (folder / META).write_text(json.dumps(dict(artifact.meta), indent=1))
    files = {path.name: _fingerprint(path) for path in sorted(folder.iterdir())}
    for name in files:
        sync(folder / name)
    manifest = signed({"format": FORMAT, **facts, "files": files})
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    sync(folder / MANIFEST)
    sync(folder)


def write_foreign(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Write an entry that was made elsewhere into an existing empty folder and sync it to disk.

    Args:
        folder: where to; it is not renamed here.
        files: content by name; names are those of `experiments.store.manifest.FILE`.
        facts: the manifest, but for the sizes and sums of the files.
    """
    for name, content in files.items():
        assert FILE.fullmatch(name), name
        (folder / name).write_bytes(content)
        sync(folder / name)
    sums = {name: _fingerprint(folder / name) for name in sorted(files)}
    manifest = signed({**facts, "format": FORMAT, "files": sums})
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    sync(folder / MANIFEST)
    sync(folder)


@timed("reading")
def read_entry(folder: Path) -> Entry:
    """Check every file of an entry against its manifest.

    Raises:
        Corrupt: something is missing, cut, changed, or of another format.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if path.is_symlink():  # it may lead out of the store
            raise Corrupt(f"{name} is a link")
        if not path.is_file():
            raise Corrupt(f"{name} is missing")
        if path.stat().st_size != expected["size"]:
            raise Corrupt(f"{name} has {path.stat().st_size} bytes instead of {expected['size']}")
        if _fingerprint(path) != expected:
            raise Corrupt(f"the content of {name} has changed")
    return Entry(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, checked against its own hash; the other files are not looked at. Raises `Corrupt`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise Corrupt(f"{MANIFEST} is missing") from None
    except (ValueError, RecursionError):
        raise Corrupt(f"{MANIFEST} is cut or garbled") from None
    if not isinstance(manifest, dict) or manifest.get("sha256") != _self_hash(manifest):
        raise Corrupt(f"{MANIFEST} has changed")
    if manifest.get("format") != FORMAT:
        raise Corrupt(f"is of format {manifest.get('format')}, this version reads format {FORMAT}")
    if (manifest.get("stage"), manifest.get("key")) != (folder.parent.name, folder.name):
        raise Corrupt(f"belongs to {manifest.get('stage')}/{manifest.get('key')}")
    if wrong := wrong_with(manifest):
        raise Corrupt(f"{MANIFEST} {wrong}")
    return manifest


def sync(path: Path) -> None:
    """Force a file or a directory onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _save_tensors(path: Path, group: Mapping[str, Tensor | NDArray[Any]]) -> None:
    if all(isinstance(value, np.ndarray) for value in group.values()):
        from safetensors.numpy import save_file as save_arrays

        save_arrays({name: np.asarray(value, order="C") for name, value in group.items()}, path)
        return
    import torch
    from safetensors.torch import save_file as save_tensors

    seen: set[int] = set()
    ready: dict[str, torch.Tensor] = {}
    for name, value in group.items():
        tensor = torch.as_tensor(value).detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        ready[name] = tensor.clone() if storage in seen else tensor  # tied weights are written twice
        seen.add(storage)
    save_tensors(ready, path)


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def signed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with the hash of itself."""
    return {**manifest, "sha256": _self_hash(manifest)}


def _self_hash(manifest: Mapping[str, Any]) -> str:
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
