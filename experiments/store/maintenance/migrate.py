"""Sets a store of an older format aside, so that a new one can begin in its place.

Nothing is carried over: before format 3 a result did not say by which version of a method it was made, so that it cannot be
told from one that a mended method would give.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from configs.errors import MoatBenchError
from experiments.store.entry import FORMAT
from experiments.store.layout import LOCKS, begin, check, format_of
from experiments.store.lease import held


def migrate(root: Path) -> Path | None:
    """Rename the folder of an older store and begin a new store in its place; where it lies now, None for a store of
    the present format, which is left as it is.

    Args:
        root: of the store.

    Raises:
        MoatBenchError: there is no store, a run is at work on it, or its folder cannot be renamed.
        StoreFormatError: it is of a newer format.
        NotAStoreError: the folder holds other things.
    """
    found = format_of(root)
    if found is None:
        raise MoatBenchError(f"store = {str(root)!r}: there is no store; name one with store=PATH")
    if found >= FORMAT:
        check(root)
        return None
    if any(held(place) for place in (root / LOCKS).glob("*.lease")):
        raise MoatBenchError(f"store = {str(root)!r}: a run of the older version is at work on it; let it end first")
    aside = next(place for n in count(1) if not (place := root.with_name(_named(root, found, n))).exists())
    try:
        root.rename(aside)
    except OSError as error:
        text = f"store = {str(root)!r}: cannot be renamed ({error.strerror}); take another folder with store=PATH"
        raise MoatBenchError(text) from error
    begin(root)
    return aside


def _named(root: Path, found: int, number: int) -> str:
    return f"{root.name}.format-{found}" + (f"-{number}" if number > 1 else "")
