"""What a provider makes of the texts of prompts: a vector and a sketch of each. Knows nothing of who sent them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.api.schema import Prompts


def embedding_of(prompts: Prompts, memory: dict[str, Any]) -> NDArray[np.float32]:
    """(P, d) unit rows: `Prompts.embedding`, or a hashing vectoriser's, made once for these prompts and kept in ``memory``."""
    raise NotImplementedError


def sketch_of(prompts: Prompts, memory: dict[str, Any]) -> NDArray[np.int32]:
    """(P,) MinHash buckets: `Prompts.sketch`, or made once from the texts and kept in ``memory``."""
    raise NotImplementedError
