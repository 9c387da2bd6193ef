"""Packages that are imported when something of them is first used.

Planning names every part of a cell and computes with none. Importing torch takes two seconds of CPU, so modules of parts
take it from here: ``from lm.later import torch``. Modules that are imported for computing alone import it as usual.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any


class Later(ModuleType):
    """Stands for a module, and imports it for the first attribute that is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by inspection and pickling, which want nothing of the module itself
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import torch as torch
else:
    torch = Later("torch")
