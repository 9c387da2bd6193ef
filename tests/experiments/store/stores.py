"""Stores with whole graphs of cheap stages in them, and a store as version 1 wrote it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from experiments.store.artifact import Artifact
from experiments.store.entry import MANIFEST, signed
from experiments.store.layout import MARK, Ref, refs
from experiments.store.stage import Context
from experiments.store.store import Store
from tests.experiments.fakes import Fake


def do(store: Store, stage: Fake, memos: Iterable[int] = ()) -> None:
    """Make a stage and all it needs, each with some shared work; what is there is not made again."""
    for needed in stage.inputs().values():
        do(store, needed, memos)
    with store.claim(stage):
        if store.get(stage) is None:
            for number in memos:
                store.memo("generations", {"n": number}, lambda: Artifact(meta={}))
            inputs = {name: store.get(needed) for name, needed in stage.inputs().items()}
            store.put(stage, stage.run(Context(inputs, store, lambda *_: None)))


def put_plain(store: Store, stage: Fake, memos: Iterable[int] = ()) -> None:
    """Store a stage without running it."""
    with store.claim(stage):
        for number in memos:
            store.memo("generations", {"n": number}, Artifact)
        store.put(stage, Artifact(meta={"label": stage.label}))


def age(store: Store, seconds: float, kept: Iterable[Ref] = ()) -> None:
    """Let all entries have been of use a while ago, but for some."""
    then = time.time() - seconds
    for ref in set(refs(store.root)) - set(kept):
        place = store.root / ref.stage / ref.key
        for path in (place / MANIFEST, place):
            os.utime(path, (then, then))


def all_refs(store: Store) -> set[Ref]:
    """Everything that is there."""
    return set(refs(store.root))


def ref(stage: Fake) -> Ref:
    """The name of a stage's entry."""
    return Ref(stage.name, stage.key)


def make_old(root: Path, old: int = 1) -> None:
    """Turn a store into what an older version wrote. 1: no mark, no names of shared work, locks that are files. 2: no code
    of parts."""
    (root / MARK).unlink()
    if old > 1:
        (root / MARK).write_text(json.dumps({"format": old}))
    for one in refs(root):
        path = root / one.stage / one.key / MANIFEST
        manifest = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("sources", "sha256")}
        if old == 1:
            del manifest["memos"]
        path.write_text(json.dumps(signed({**manifest, "format": old})))
    shutil.rmtree(root / "sources", ignore_errors=True)
    (root / ".locks").mkdir(exist_ok=True)
    (root / ".locks" / "fake-0123").touch()
