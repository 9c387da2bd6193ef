"""From a command line to frozen cell configurations, by Hydra's own grammar and compose API. Builds and runs nothing.

All cells of a sweep are composed and resolved here before the first one runs: a YAML edited later changes none of them.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from configs.errors import ConfigError, require
from configs.groups import chosen
from experiments.compose.asked import Unit
from experiments.compose.assembly import Assembly, Plain
from experiments.compose.grids import CLAIM, EXPERIMENT, grids_of
from experiments.compose.hydra_errors import in_words
from experiments.compose.hydra_session import HydraSession, session
from experiments.compose.whole import whole

ROOT = "cell"
PATHS = ("store", "out", "tracking", "launcher")
"""Parts of a configuration that say where and how a cell runs, not what it is."""
REPORT = "report"
"""Part of a configuration that says what a report compares, not what a cell is."""
DEFENSE = "defense"
"""Group of which a grid may name several choices and set fields of each."""
MOST_CELLS, MANY_CELLS = 20_000, 2_000


@dataclass(frozen=True)
class Composed:
    """One cell, resolved and read-only.

    Args:
        overrides: the overrides it was composed from.
        plain: the whole configuration in plain containers, parts of which it shares with other cells.
        label: how it is called in messages: what sets it apart from the other cells of its sweep.
        calibrated: what its defense's strength was calibrated to (`experiments.compose.asked`); None where it was stated.
    """

    overrides: tuple[str, ...]
    plain: Plain
    label: str = ""
    calibrated: tuple[Unit, float] | None = None

    @cached_property
    def config(self) -> DictConfig:
        """The whole configuration, read-only."""
        return OmegaConf.create(dict(self.plain), flags={"struct": True, "readonly": True})

    @cached_property
    def identity(self) -> str:
        """Equal for cells that are the same cell."""
        return json.dumps(self.content())  # unsorted: the order of a stack matters

    def content(self) -> dict[str, Any]:
        """The plain configuration without where and how it runs, and what a report of it compares."""
        return {name: part for name, part in self.plain.items() if name not in (*PATHS, REPORT)}


class Sweep(NamedTuple):
    """The cells of a command line.

    Args:
        cells: each once, in the order of the grids.
        repeated: cells that one grid names more than once, by label, with how often: most likely a slip.
        overlapping: how many cells a later grid of an experiment named again, as unions of grids do.
    """

    cells: list[Composed]
    repeated: Mapping[str, int] = MappingProxyType({})
    overlapping: int = 0


def compose_one(arguments: Sequence[str], root: str = ROOT) -> Composed:
    """The one cell that these overrides describe.

    Raises:
        ConfigError: unknown names, a sweep, an experiment.
    """
    cells = compose_cells(arguments, root)
    if len(cells) != 1:
        raise ConfigError("command line", " ".join(arguments), f"describes {len(cells)} cells, not one: use sweep")
    return cells[0]


def compose_cells(arguments: Sequence[str], root: str = ROOT) -> list[Composed]:
    """The cells of `compose_sweep`."""
    return compose_sweep(arguments, root).cells


def compose_sweep(arguments: Sequence[str], root: str = ROOT, lines: Sequence[Sequence[str]] = ()) -> Sweep:
    """All cells of a sweep, each once, in the order of the grid (the last sweep varies fastest).

    Args:
        arguments: Hydra overrides, with commas, ``range`` and ``choice`` for sweeps; ``+experiment=NAME`` takes the union of
            that file's grids, to each of which the other overrides are applied last; so does ``+claim=NAME``.
        root: configuration that is composed: a ``cell``, or a ``campaign``.
        lines: grids in words, to take the union of as of an experiment's.

    Raises:
        ConfigError: anything that does not compose, in words, with the nearest match.
    """
    with session(arguments) as hydra:
        assembly = Assembly(hydra, root)
        grids = [
            [Composed(o, _composed(o, hydra, assembly, root)) for o in grid]
            for grid in expand(arguments, hydra, root, lines)
        ]
    for cell in (cell for grid in grids for cell in grid):
        _require_paths(cell.plain)
    for part in (*PATHS, REPORT):
        ways = {str(cell.plain.get(part)) for grid in grids for cell in grid}
        if len(ways) > 1:
            raise ConfigError(part, ", ".join(sorted(ways)), "must be the same for all cells of a sweep")
    cells: dict[str, Composed] = {}
    repeated: dict[str, int] = {}
    overlapping = 0
    for grid in grids:
        times = Counter(cell.identity for cell in grid)
        overlapping += len(times.keys() & cells.keys())
        repeated |= {identity: n for identity, n in times.items() if n > 1}
        for cell in grid:
            cells.setdefault(cell.identity, cell)
    labelled = dict(zip(cells, _labelled(list(cells.values())), strict=True))
    return Sweep(list(labelled.values()), {labelled[i].label: n for i, n in repeated.items()}, overlapping)


def expand(
    arguments: Sequence[str], hydra: HydraSession, root: str = ROOT, lines: Sequence[Sequence[str]] = ()
) -> list[list[tuple[str, ...]]]:
    """The overrides of each cell of each grid."""
    names, rest, own = [], [], []
    for override in _parsed(arguments, hydra):
        group, _, field = str(override.key_or_group).partition(".")
        if group in (EXPERIMENT, CLAIM) and not field:
            names += [(group, value.partition("=")[2]) for value in _choices(override)]
        elif group == CLAIM:
            own.append(str(override.input_line))
        else:
            rest.append(override)
    search = [o.input_line for o in rest if o.is_hydra_override()] + own
    lines = [*lines, *(line for group, name in names for line in grids_of(group, name, hydra, search, root))]
    merged = [_merged(_parsed(line, hydra), rest) for line in lines] if names or lines else [rest]
    grids = [part for grid in merged for part in _by_defense(grid, hydra)]
    _require_few(sum(math.prod(_count(o) for o in _last(grid).values()) for grid in grids), arguments)
    return [_product(grid) for grid in grids]


def _by_defense(grid: list[Override], hydra: HydraSession) -> list[list[Override]]:
    """A grid of several defenses, some of whose fields are set: one grid each, with the fields of its own defenses alone.
    Else the grid itself. A field of what is no choice of the grid (a part of a stack) stays in all."""
    last = list(_last(grid).values())
    defense = next((o for o in last if o.key_or_group == DEFENSE and o.is_sweep_override()), None)
    if defense is None:
        return [grid]
    words = _choices(defense)
    named = {word: set(word.partition("=")[2].strip("[]").split(",")) for word in words}
    every = set.union(*named.values())
    others = [(o, _part_of(o)) for o in last if o is not defense]
    if not any(part in every for _, part in others):
        return [grid]
    return [
        [*_parsed([word], hydra), *(o for o, part in others if part not in every - names)]
        for word, names in named.items()
    ]


def _part_of(override: Override) -> str:
    """The defense of which an override sets a field; "" for other overrides."""
    group, _, below = str(override.key_or_group).partition(".")
    return below.partition(".")[0] if group == DEFENSE else ""


def _composed(overrides: Sequence[str], hydra: HydraSession, assembly: Assembly, root: str) -> Plain:
    config = assembly.config(overrides)
    return config if config is not None else whole(overrides, hydra, root)


def _require_paths(plain: Plain) -> None:
    """Refuse a configuration that does not say where and how it runs."""
    for part in ("store", "out"):
        name = plain.get(part)
        if not isinstance(name, str) or not name:
            raise ConfigError(part, name, f"must be a folder: {part}=PATH")
    for part in ("tracking", "launcher"):
        chosen(plain, part)
    said = plain.get(REPORT)
    for field, value in said.items() if isinstance(said, Mapping) else ():
        reason = f"is not a setting of reports: {REPORT}.reference=DEFENSE, or all"
        require(field == "reference" and isinstance(value, str | None), f"{REPORT}.{field}", value, reason)


def _labelled(cells: Sequence[Composed]) -> list[Composed]:
    """Give each cell the overrides that the others do not have too; all of them where there is but one."""
    told = [[o for o in c.overrides if not o.lstrip("+~").startswith((*PATHS, REPORT, "hydra."))] for c in cells]
    common = set.intersection(*map(set, told)) if len(cells) > 1 else set()
    names = [" ".join(o for o in own if o not in common) for own in told]
    return [replace(cell, label=name or "defaults") for cell, name in zip(cells, names, strict=True)]


def _parsed(arguments: Sequence[str], hydra: HydraSession) -> list[Override]:
    try:
        return hydra.parse(arguments)
    except (OverrideParseException, ConfigCompositionException) as error:
        raise in_words(error, arguments) from error


def _choices(override: Override) -> list[str]:
    """All values of an override, each as an override of its own."""
    key = override.get_key_element()
    if override.is_delete() and override.value_type is None:
        return [override.input_line]
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigError(key, override.input_line, "is a continuous interval: use choice or range")
    try:
        found = [f"{key}={value}" for value in override.sweep_string_iterator()]
    except (HydraException, ValueError) as error:
        raise ConfigError(key, override.input_line, str(error)) from error
    if not found:
        raise ConfigError(key, override.input_line, "is an empty sweep: there would be 0 cells")
    return found


def _product(overrides: Sequence[Override]) -> list[tuple[str, ...]]:
    """Cartesian product of all sweeps; of two overrides of the same thing, the last counts."""
    return list(itertools.product(*(_choices(o) for o in _last(overrides).values())))


def _last(overrides: Sequence[Override]) -> dict[tuple[Any, ...], Override]:
    return {(o.key_or_group, o.package): o for o in overrides}


def _count(override: Override) -> int:
    """How many values a sweep has, none of them written out: a range may be longer than memory."""
    sweep = override.value() if override.is_sweep_override() else None
    if isinstance(sweep, RangeSweep) and sweep.start is not None and sweep.stop is not None and sweep.step:
        steps: float = (sweep.stop - sweep.start) / sweep.step
        return max(math.ceil(steps), 0)
    return len(sweep.list) if isinstance(sweep, ChoiceSweep) else 1


def _require_few(cells: int, arguments: Sequence[str]) -> None:
    """Refuse what would take minutes to compose and months to run; announce what takes a while to compose."""
    reason = f"describes {cells:,} cells, and at most {MOST_CELLS:,} are planned at a time: split it"
    require(cells <= MOST_CELLS, "command line", " ".join(arguments), reason)
    if cells >= MANY_CELLS:
        print(f"moatbench: composing {cells:,} cells", file=sys.stderr)


def _merged(line: Sequence[Override], extra: Sequence[Override]) -> list[Override]:
    """A grid's line with the user's own overrides, which win: another choice of a group also drops the line's settings of
    the old choice."""
    replaced = tuple(o.key_or_group for o in extra if not o.is_hydra_override())
    below = tuple(f"{key}{mark}" for key in replaced for mark in "./")
    kept = [o for o in line if o.key_or_group not in replaced and not o.key_or_group.startswith(below)]
    return [*kept, *extra]
