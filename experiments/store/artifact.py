"""What a stage leaves behind, before it is stored. Knows nothing of stages or of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Artifact:
    """What a stage leaves behind: tensors as safetensors, tables as parquet, the rest as JSON.

    Args:
        tensors: named groups of tensors or arrays, one file each.
        tables: named tables, one file each.
        meta: JSON-able facts.
    """

    tensors: Mapping[str, Mapping[str, Tensor | NDArray[Any]]] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
