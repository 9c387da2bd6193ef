"""Detection of distillation traffic by `defenses.admission.windows.mmd_window` on the prompt library, as in its paper.

Windows of n prompts of all honest workloads together (the published protocol) hold a share of prompts of one distillation
group. A row gives the share of such windows that raise an alarm, averaged over the groups, with the least and the most
detected one. "one workload" is the alarms on windows of a single honest workload, which the published protocol never sees:
it is what an honest account with one use looks like.

    python -m benchmarks.detectability
    python -m benchmarks.detectability --encoder hashing --windows 100 500 --trials 100 --templates 1
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defenses.admission.windows.mmd_window import MMDWindow
from defenses.base import Prepared
from experiments.campaign.world.library import Library, library
from experiments.claims.window_detection import PUBLISHED
from experiments.claims.windows_stage import DISTIL, HONEST, pooled

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
TINY = ("--encoder", "hashing", "--windows", "20", "--trials", "4")
"""Arguments with which the tests see that it runs; the figures mean nothing."""


class WindowBench:
    """One window size, fitted; counts alarms."""

    def __init__(self, found: Library, window: int, trials: int, rng: np.random.Generator) -> None:
        self.found, self.window, self.trials, self.rng = found, window, trials, rng
        self.detector = MMDWindow(window=window)
        needed = self.detector.reference + self.detector.draws * window
        benign = pooled(found, min(needed, self.detector.benign_requests), rng)
        self.memory: dict[str, Any] = {}
        self.prepared: Prepared = self.detector.fit(benign, None, rng)

    def rate(self, rows: NDArray[np.integer], share: float) -> float:
        """Share of windows with an alarm that hold this share of prompts of ``rows``, the rest honest."""
        windows = pooled(self.found, self.trials * self.window, self.rng).requests.prompt.reshape(self.trials, -1)
        own = round(share * self.window)
        if own:
            windows[:, :own] = self.rng.choice(rows, (self.trials, own))
        score = self.detector.judge(windows.astype(np.int32), self.found.prompts, self.prepared, self.memory)
        return float(np.mean(score > float(self.prepared["threshold"])))


def few(found: Library, group: str, templates: int) -> NDArray[np.integer]:
    """Rows of the group's prompts that are made from its first ``templates`` wordings."""
    rows = found.rows(group)
    return rows[np.isin(found.template[rows], np.unique(found.template[rows])[:templates])]


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm", choices=("minilm", "hashing"))
    parser.add_argument("--windows", type=int, nargs="+", default=list(PUBLISHED))
    parser.add_argument("--trials", type=int, default=200, help="windows for each number")
    parser.add_argument("--templates", type=int, default=1000, help="wordings that an attacker uses")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    found, rng = library(given.encoder), np.random.default_rng(given.seed)
    groups = [name for name in found.groups if name.startswith(DISTIL)]
    attack = {name: few(found, name, given.templates) for name in groups}
    print(
        f"{len(found.prompts.texts)} prompts, encoder {found.encoder}, {len(groups)} distillation groups, "
        f"{given.templates} wordings, {given.trials} windows a number: share with an alarm, mean (least-most) of groups"
    )
    print(f"{'n':>5}  {'honest':>6}  " + "  ".join(f"{f'{share:.0%}':>15}" for share in SHARES) + "  one workload")
    for window in given.windows:
        start = time.perf_counter()
        bench = WindowBench(found, window, given.trials, rng)
        false = bench.rate(np.zeros(0, np.int32), 0.0)
        cells = []
        for share in SHARES:
            rates = [bench.rate(attack[name], share) for name in groups]
            cells.append(f"{np.mean(rates):>4.2f} ({min(rates):.2f}-{max(rates):.2f})")
        single = np.mean([bench.rate(found.rows(name), 1.0) for name in HONEST])
        took = time.perf_counter() - start
        print(
            f"{window:>5}  {false:>6.3f}  " + "  ".join(f"{c:>15}" for c in cells) + f"  {single:.2f}  [{took:.0f} s]"
        )
        if window in PUBLISHED:
            print(f"{'paper':>5}  {'':>6}  " + "  ".join(f"{f'{value:.2f}':>4}{'':>11}" for value in PUBLISHED[window]))


if __name__ == "__main__":
    main()
