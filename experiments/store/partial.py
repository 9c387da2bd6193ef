"""What a stage that takes long has done so far, kept beside the entries of a store until the stage itself is stored. A
killed process leaves it behind, and whoever does the stage next goes on from there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.store.layout import PARTIAL, draft

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.store.stage import Stage
    from experiments.store.store import Store


class Partial:
    """The parts of one stage, each a file that is there whole or not at all. Whoever uses it holds the stage
    (`Store.claim`).

    Args:
        store: where the stage will be stored.
        stage: whose parts.
    """

    def __init__(self, store: Store, stage: Stage) -> None:
        self._store, self.folder = store, store.root / PARTIAL / f"{stage.name}-{stage.key}"

    def get(self, name: str) -> dict[str, Tensor] | None:
        """See `lm.underway.Keep`; a file that cannot be read counts as none."""
        path = self._path(name)
        if not path.is_file():
            return None
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError):
            return None
        return found

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """See `lm.underway.Keep`.

        Raises:
            StoreFullError: no space.
        """
        from safetensors.torch import save_file

        with self._store.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            made = draft(self.folder, "part")
            try:
                save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, made)
                made.replace(self._path(name))
            finally:
                made.unlink(missing_ok=True)

    def remove(self) -> None:
        """The stage is stored: its parts are of no use any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.safetensors"
