"""How the project's compiled kernels are compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

kernel = njit(fastmath={"reassoc", "nsz"}, error_model="numpy", nogil=True, cache=True, boundscheck=False)
"""Compiled for this machine and kept on disk until the file that it is in changes. So what a kernel calls has to be in its
own file, and who changes these settings has to change those files too.

The compiler makes two versions of a loop where it cannot know whether arrays overlap, and which one runs depends on where in
memory they happen to lie. Both must round alike, or results would differ from run to run. So sums over a loop are taken in
loops that write nothing (their order may be changed to fill vector registers, always in the same way), a quotient is a
product with a reciprocal that is taken once, and products are fused with additions only where that is written out.
"""

f32 = np.float32
