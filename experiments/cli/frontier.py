"""``moatbench frontier``: every defense where it costs honest users the same, and what a student learns there."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, cast

from configs.build import build
from configs.errors import ConfigError
from defenses.base import Defense, hooks_of
from experiments.cli.arguments import CommandLine
from experiments.cli.settling import calibrated
from experiments.compose.asked import UNITS, Unit, target
from experiments.compose.assembly import Plain
from experiments.compose.compose import compose_sweep
from experiments.compose.hydra_session import session
from experiments.compose.search_path import SEARCH_PATH, forgotten
from experiments.measure.matched import TARGETS
from experiments.report.file_names import stem
from lm.huggingface import Pretrained
from lm.timing import collecting, timed
from teacher.api.hooks import HOOKS

COMMAND, GROUP, NONE = "frontier", "defense", "none"
SEEDS = "seed=0,1,2,3,4"
USUAL: dict[Unit, tuple[float, ...]] = {"drop": TARGETS, "l1": (0.1, 0.2, 0.5)}
PROBABILITIES = "top_logprobs"
"""What an API sells where it sells probabilities."""


def main(asked: CommandLine) -> int:
    """Calibrate, run the cells at what was found, and report them."""
    own = own_words(asked.words)
    with collecting():
        with timed("planning"):
            lines = grids(own)
            sweep = compose_sweep(own.overrides, lines=lines)
            from experiments.claims.reporting import reporting_of
            from experiments.cli.execute import Cells, carry_out
        options, command = asked.options, (asked.command, *asked.words)
        cells, code = calibrated(sweep.cells, options.workers, options.dry_run, command, at_most=True)
        if not cells:  # a calibration failed; or of a plan, all of whose cells wait
            return code
        kind = Cells(reporting=reporting_of(cells[0].plain, own.overrides))
        name = stem(options.name, [], COMMAND)
        return carry_out(cells, name, options.workers, options.dry_run, options.profile, command, kind)


class FrontierWords(NamedTuple):
    """What the words say.

    Args:
        overrides: of every cell.
        targets: by what is held equal.
        defenses: to be compared; () for all.
    """

    overrides: tuple[str, ...]
    targets: Mapping[Unit, tuple[float, ...]]
    defenses: tuple[str, ...]


def own_words(words: Sequence[str]) -> FrontierWords:
    """Take ``drop=``, ``l1=`` and ``defense=`` out of the words; five seeds where none are named.

    Raises:
        ConfigError: a target that is none, or a stack.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    rest = [word for word in words if word.partition("=")[0] not in (*UNITS, GROUP)]
    asked = {
        unit: tuple(sorted({target(text, unit, unit) for text in given[unit].split(",")})) if unit in given else usual
        for unit, usual in USUAL.items()
    }
    if given.get(GROUP, "").startswith("["):
        raise ConfigError(GROUP, given[GROUP], "is a stack: a frontier is of single defenses, named with commas")
    names = [name for name in given.get(GROUP, "").split(",") if name]
    seeds = [] if "seed" in given else [SEEDS]
    return FrontierWords((*rest, *seeds), asked, tuple(dict.fromkeys(names)))


def grids(own: FrontierWords) -> list[list[str]]:
    """A grid for the undefended API and for each defense, in words: at the strengths that cost what is asked for; as it
    is where it has no strength.

    Of all defenses those are taken that change what an API answers and act on what it sells. Limits and detectors, whose
    price depends on the population, are compared by `moatbench calibrate` and in sweeps. A defense that brings a language
    model of its own is taken where it is named: the model has to be had, and can read text alone.
    """
    search = [word for word in own.overrides if word.startswith(f"{SEARCH_PATH}=")]
    with session(own.overrides) as hydra:
        known = hydra.files(search).options(GROUP)
    for name in own.defenses:
        if name not in known:
            raise ConfigError(GROUP, name, "there is no such defense", known, note=forgotten(own.overrides))
    names = [name for name in own.defenses or known if name != NONE]
    lines, left_out, unnamed = [[f"{GROUP}={NONE}"]], list[str](), list[str]()
    for name, plain in _composed(names, own.overrides).items():
        parts = {part: build(node, Defense, f"{GROUP}.{part}") for part, node in plain[GROUP].items()}
        models = [field for d in parts.values() for field in own_models(d)]
        unsold = [need for d in parts.values() for need in d.needs if plain["api"].get(need) in (0, False, "none")]
        if own.defenses or (len(parts) == 1 and _answers(parts) and not unsold and not models):
            lines.append([f"{GROUP}={name}", *_strengths(parts, own.targets)])
        elif unsold:
            left_out.append(f"{name} ({', '.join(unsold)})")
        elif models:
            unnamed.append(f"{name} ({', '.join(models)})")
    if unnamed:
        print(
            f"moatbench: left out, for they need a language model of their own: {', '.join(unnamed)}", file=sys.stderr
        )
    if left_out:
        print(f"moatbench: left out, for what they act on is not sold: {', '.join(left_out)}", file=sys.stderr)
    return lines


def _composed(names: Sequence[str], overrides: Sequence[str]) -> dict[str, Plain]:
    """By name of the defense, the configuration of one of its cells."""
    found: dict[str, Plain] = {}
    if names:
        for cell in compose_sweep(overrides, lines=[[f"{GROUP}={name}"] for name in names]).cells:
            said = next(line for line in cell.overrides if line.startswith(f"{GROUP}="))
            found.setdefault(said.partition("=")[2], cell.plain)
    return found


def own_models(defense: Defense) -> list[str]:
    """The fields of a defense that name a language model of its own."""
    return [f.name for f in fields(cast("Any", defense)) if isinstance(getattr(defense, f.name), Pretrained)]


def _answers(parts: Mapping[str, Defense]) -> bool:
    """Whether any of these changes what is answered."""
    return any((set(HOOKS) - {"admit"}) & set(hooks_of(defense)) for defense in parts.values())


def _strengths(parts: Mapping[str, Defense], targets: Mapping[Unit, Sequence[float]]) -> list[str]:
    """What changes sold probabilities costs honest users no accuracy: it is compared at equal distances."""
    strong = [(name, defense, defense.strength) for name, defense in parts.items() if defense.strength is not None]
    if len(strong) != 1:
        return []
    ((name, defense, strength),) = strong
    unit: Unit = "l1" if PROBABILITIES in defense.needs else "drop"
    return [f"{GROUP}.{name}.{strength.field}={','.join(f'{unit}:{value:g}' for value in targets[unit])}"]
