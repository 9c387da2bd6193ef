"""How the project's compiled loops are compiled, and where they are kept. The one place that calls numba's decorator.

What is compiled is kept on disk until the file that it is in changes. So what a compiled loop calls has to be in its own
file, and who changes these settings has to change those files too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit

from lm.home import private_folder

Loop = Callable[..., Any]


def _probe() -> None:
    """Nothing: numba is asked where it would keep it."""


def _kept_on_disk() -> bool:
    """Whether numba can keep what it compiles. By itself it does so beside the source or in the user's cache; where both
    are read-only it raises, so it is given a folder of the user's own."""
    try:
        njit(cache=True)(_probe)
    except RuntimeError:
        folder = private_folder()
        if folder is None:
            return False
        config.CACHE_DIR = str(folder / "numba")
    return True


KEPT = _kept_on_disk()


def _decorator(*signature: Any, **settings: Any) -> Callable[[Loop], Loop]:
    made: Callable[[Loop], Loop] = njit(
        *signature, error_model="numpy", nogil=True, cache=KEPT, boundscheck=False, **settings
    )
    return made


compiled = _decorator()
"""A loop that rounds as Python does, divides as numpy does and lets other threads run; compiled at its first call."""

compiled_for = _decorator
"""The same, compiled at once and for one numba signature alone."""

kernel = _decorator(fastmath={"reassoc", "nsz"})
"""A loop whose sums may be taken in another order.

The compiler makes two versions of a loop where it cannot know whether arrays overlap, and which one runs depends on where in
memory they happen to lie. Both must round alike, or results would differ from run to run. So sums over a loop are taken in
loops that write nothing (their order may be changed to fill vector registers, always in the same way), a quotient is a
product with a reciprocal that is taken once, and products are fused with additions only where that is written out.
"""

f32 = np.float32
