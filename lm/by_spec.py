"""Models that a part names in its fields (a rewriter, a judge): opened when they are first needed, once a process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lm.huggingface import Pretrained
    from lm.language_model import LanguageModel


def opened(spec: Pretrained) -> LanguageModel:
    """The model that a field names, on its device and in evaluation mode. Shared: do not train it in place.

    Raises:
        ConfigError: see `lm.huggingface.Pretrained.open`.
    """
    return _opened(spec, spec.content())


@lru_cache(maxsize=2)
def _opened(spec: Pretrained, content: str) -> LanguageModel:
    """``content`` sets models apart whose files were overwritten."""
    return spec.open()
