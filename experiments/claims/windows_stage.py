"""What a window detector says of windows of honest prompts into which a share of a distiller's is mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.content import content_of
from configs.identity import identity
from defenses.admission.windows.window_detector import WindowDetector
from defenses.base import Traffic
from experiments.campaign.config import figures
from experiments.campaign.world.library import Library, library
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed
from teacher.api.accounts import Accounts
from teacher.api.schema import Requests

HONEST = ("chat", "code", "reasoning", "conversation", "long_context")
"""Groups of the prompt library that honest traffic is drawn from, each as often as the others."""
DISTIL = "distil."
"""What the names of a distiller's groups begin with."""
SCHEMA = {
    "seed": pl.Int64,
    "window": pl.Int64,
    "nominal": pl.Float64,
    "share": pl.Float64,
    "group": pl.String,
    "score": pl.Float64,
}


@dataclass(frozen=True)
class WindowsStage(Stage):
    """The detector is fitted on honest traffic of its own and judges windows of new traffic. Each window is honest prompts
    of all workloads and accounts together, a share of which is replaced by prompts of one distillation group; groups take
    turns.

    Args:
        detector: that is fitted. It is given as much honest traffic as its reference and all its draws take.
        encoder: of the prompt library.
        shares: of a window that are the distiller's; 0 for honest windows.
        trials: windows for each share.
        seed: of the cell: the detector's reference, its honest windows and those that it judges.
    """

    name: ClassVar[str] = "windows"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 2.0

    detector: WindowDetector
    encoder: str
    shares: tuple[float, ...]
    trials: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`; what prompts and embeddings are made of is part of it."""
        return {
            "detector": identity(self.detector),
            "encoder": self.encoder,
            "shares": identity(self.shares),
            "trials": self.trials,
            "seed": self.seed,
            "data": content_of(figures.files_read()),
        }

    def inputs(self) -> dict[str, Stage]:
        """None: no model takes part."""
        return {}

    def run(self, context: Context) -> Artifact:
        """Table ``measured``, a row a window: its ``share`` and ``group`` ("" where it is honest), and its ``score``, as a
        multiple of the threshold: over 1 is an alarm; ``nominal``: share of honest windows that should raise one."""
        found, detector = library(self.encoder), self.detector
        rng = np.random.default_rng(derived_seed(self.seed, self.name, str(detector.window)))
        benign = pooled(found, detector.reference + detector.draws * detector.window, rng)
        prepared = detector.fit(benign, None, rng)
        groups = [name for name in found.groups if name.startswith(DISTIL)]
        memory: dict[str, Any] = {}
        tables = []
        for done, share in enumerate(self.shares):
            turn = [groups[i % len(groups)] if share else "" for i in range(self.trials)]
            windows = mixed(found, turn, detector.window, share, rng)
            score = detector.judge(windows, found.prompts, prepared, memory) / float(prepared["threshold"])
            told = {"seed": self.seed, "window": detector.window, "nominal": 1 - detector.quantile, "share": share}
            columns = {name: [value] * self.trials for name, value in told.items()}
            tables.append(pl.DataFrame({**columns, "group": turn, "score": score}, schema=SCHEMA))
            context.progress(done + 1, len(self.shares), f"share {share:g}")
        return Artifact(tables={"measured": pl.concat(tables)})


def pooled(found: Library, count: int, rng: np.random.Generator) -> Traffic:
    """``count`` honest requests of all workloads, as of one account (who asks does not matter where all are one stream)."""
    accounts = Accounts()
    accounts.open(1)
    zeros = np.zeros(count, np.int32)
    asked = honest_prompts(found, count, rng)
    requests = Requests(np.arange(count, dtype=np.float64), zeros, asked, zeros, zeros.astype(np.int64))
    return Traffic(requests, found.prompts, accounts, zeros)


def honest_prompts(found: Library, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) rows of the library, drawn anew each time."""
    workload = rng.integers(len(HONEST), size=count)
    prompt = np.empty(count, np.int64)
    for number, name in enumerate(HONEST):
        here = workload == number
        prompt[here] = rng.choice(found.rows(name), int(here.sum()))
    return prompt


def mixed(found: Library, groups: list[str], size: int, share: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """(K, size) rows of the library: honest windows, the first ``share`` of each replaced by prompts of its group.

    Args:
        found: the library.
        groups: K of them, a window's own; not looked at where the share is 0.
        size: n.
        share: rounded to whole prompts.
        rng: of all draws.
    """
    windows = honest_prompts(found, len(groups) * size, rng).reshape(len(groups), size)
    own = round(share * size)
    if own:
        for name in dict.fromkeys(groups):
            here = [i for i, group in enumerate(groups) if group == name]
            windows[here, :own] = rng.choice(found.rows(name), (len(here), own))
    return windows.astype(np.int32)
