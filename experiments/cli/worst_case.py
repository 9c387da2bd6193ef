"""``moatbench worst-case``: the strongest attack on each defense within equal budgets, and how much it gains by adapting."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from configs.errors import ConfigError, MoatBenchError, require
from experiments.cli.arguments import CommandLine
from experiments.cli.consoles import count, remarks, results
from experiments.cli.settling import calibrated
from experiments.compose.compose import Composed, compose_sweep
from experiments.compose.grids import experiment_names
from experiments.compose.hydra_session import session
from experiments.compose.search_path import SEARCH_PATH, forgotten
from experiments.report.file_names import stem
from lm.timing import collecting, timed

if TYPE_CHECKING:
    from experiments.adversary.contest import Contest
    from experiments.engine.base import RunOutcome
    from experiments.engine.graph import StageGraph, Wanted
    from experiments.store.stage import Stage
    from experiments.store.store import Store

COMMAND, GROUPS = "worst-case", ("defense", "attack")
SEEDS = 5
KEPT = "searches"
"""The kept table that has the students of all searches of a store."""

Failed = dict[str, dict[str, str]]
"""By defense and candidate, why it cannot be measured."""


def main(asked: CommandLine) -> int:
    """Search, run the cells of what was found, and report them."""
    options, command = asked.options, (asked.command, *asked.words)
    experiments = experiment_names(asked.words)
    name = stem(options.name, [f"{COMMAND}_{one.replace('/', '_')}" for one in experiments], COMMAND)
    with collecting():
        with timed("planning"):
            asked_for, seeds = (
                of_experiment(asked.words, options.seeds) if experiments else of_words(asked.words, options.seeds)
            )
        cells, code = calibrated(asked_for, options.workers, options.dry_run, command)
        if not cells:  # a calibration failed; or of a plan, all of whose cells wait
            return code
        from experiments.cli.execute import carry_out
        from experiments.cli.stored_rows import store_of
        from experiments.cli.strongest import Strongest

        contests, store = contests_of(cells, seeds), store_of(cells)
        for contest in contests:
            for attack, why in contest.left_out.items():
                print(f"moatbench: left out on {contest.defense}: {attack} ({why})", file=sys.stderr)
        if options.dry_run:
            foretell(contests, cells[0], store, options.workers)
            return 0
        failed: Failed = {contest.defense: {} for contest in contests}
        code = search(contests, cells[0], store, options.workers, command, failed)
        if code:
            return code
        kind = Strongest(contests, store, failed)
        return carry_out(kind.cells(), name, options.workers, False, options.profile, command, kind)


def of_words(words: Sequence[str], seeds: int | None = None) -> tuple[list[Composed], tuple[int, ...]]:
    """The cells of `own_words`, each attack on each defense in the first seed, and all seeds."""
    own = own_words(words, seeds)
    return compose_sweep(own.overrides, lines=grids(own)).cells, own.seeds


def of_experiment(words: Sequence[str], seeds: int | None = None) -> tuple[list[Composed], tuple[int, ...]]:
    """The cells of an experiment's grids, each once whatever its seed, and all their seeds.

    Args:
        words: that were typed, ``+experiment=NAME`` among them; other overrides win over the file's, as in a sweep.
        seeds: how many; None for those of the cells.

    Raises:
        ConfigError: seeds that are said twice, or none.
    """
    typed = any(word.startswith("seed=") for word in words)
    require(seeds is None or not typed, "--seeds", seeds, "is said twice: seed= names them")
    require(seeds is None or seeds >= 1, "--seeds", seeds, "must be at least 1")
    found: dict[str, Composed] = {}
    cells = compose_sweep(words).cells
    for cell in cells:
        found.setdefault(json.dumps({part: value for part, value in cell.content().items() if part != "seed"}), cell)
    named = sorted({int(cell.plain["seed"]) for cell in cells}) if seeds is None else range(seeds)
    return list(found.values()), tuple(named)


class SearchWords(NamedTuple):
    """What the words say.

    Args:
        overrides: of every cell, without a seed.
        fields: of each defense, those that were set for it alone (``defense.NAME.FIELD=``).
        defenses: to be attacked.
        attacks: to be searched; () for all.
        seeds: ascending.
    """

    overrides: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]
    defenses: tuple[str, ...]
    attacks: tuple[str, ...]
    seeds: tuple[int, ...]


def own_words(words: Sequence[str], seeds: int | None = None) -> SearchWords:
    """Take ``defense=``, ``attack=`` and ``seed=`` out of the words, and the fields of a defense that is named.

    Args:
        words: that were typed.
        seeds: how many, where the words name none; None for `SEEDS`.

    Raises:
        ConfigError: a seed that is none, or seeds that are said twice.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    rest = tuple(word for word in words if word.partition("=")[0] not in (*GROUPS, "seed"))
    if "seed" in given:
        require(seeds is None, "--seeds", seeds, "is said twice: seed= names them")
        texts = given["seed"].split(",")
        require(all(text.isdecimal() for text in texts), "seed", given["seed"], "must be whole numbers with commas")
        chosen = tuple(sorted(set(map(int, texts))))
    else:
        number = SEEDS if seeds is None else seeds
        require(number >= 1, "--seeds", number, "must be at least 1")
        chosen = tuple(range(number))
    for group in GROUPS:
        if given.get(group, "").startswith("["):
            raise ConfigError(group, given[group], "is a stack: name single ones with commas")
    named = {group: tuple(dict.fromkeys(filter(None, given.get(group, "").split(",")))) for group in GROUPS}
    defenses = named["defense"] or ("none",)
    own = {d: tuple(word for word in rest if word.lstrip("+~").startswith(f"defense.{d}.")) for d in defenses}
    common = tuple(word for word in rest if not any(word in words for words in own.values()))
    return SearchWords(common, own, defenses, named["attack"], chosen)


def grids(own: SearchWords) -> list[list[str]]:
    """A grid in words for each defense and attack.

    Raises:
        ConfigError: a name that is none.
    """
    search_path = [word for word in own.overrides if word.startswith(f"{SEARCH_PATH}=")]
    with session(own.overrides) as hydra:
        known = {group: hydra.files(search_path).options(group) for group in GROUPS}
    for group, names in (("defense", own.defenses), ("attack", own.attacks)):
        for name in names:
            if name not in known[group]:
                raise ConfigError(group, name, f"there is no such {group}", known[group], note=forgotten(own.overrides))
    return [
        [f"defense={d}", *own.fields[d], f"attack={a}", f"seed={own.seeds[0]}"]
        for d in own.defenses
        for a in own.attacks or known["attack"]
    ]


def contests_of(cells: Sequence[Composed], seeds: tuple[int, ...]) -> list[Contest]:
    """A search for each defense.

    Raises:
        ConfigError: a sweep over anything but defenses and attacks: budgets and interface are the same for all.
        MoatBenchError: no attack can be run on a defense.
    """
    from experiments.adversary.candidates import candidates
    from experiments.adversary.contest import Contest
    from experiments.cell_from import cell_from
    from experiments.compose.interning import Interning

    groups: dict[str, list[Composed]] = {}
    for cell in cells:
        rest = {part: value for part, value in cell.content().items() if part not in ("attack", "seed")}
        groups.setdefault(json.dumps(rest), []).append(cell)  # unsorted: the order of a stack matters
    interning, searched = Interning(), []
    for group in groups.values():
        attacks = Counter(str(cell.plain["attack"]["name"]) for cell in group)
        for attack, times_named in attacks.items():
            require(
                times_named == 1, "attack", attack, f"has {times_named} settings here: a search changes them itself"
            )
        named, left_out = candidates(group, interning)
        if not named:
            why = "; ".join(f"{attack}: {reason}" for attack, reason in left_out.items())
            raise MoatBenchError(f"no attack can be searched: {why}")
        label = str(cell_from(named[0].composed.plain, interning).facts()["defense"])
        searched.append((label, _typed(named[0].composed), named, left_out))
    times, found = Counter(label for label, *_ in searched), dict[str, Contest]()
    for label, typed, named, left_out in searched:
        own = label if times[label] == 1 else typed
        if own in found:
            reason = "stands for several cells of one attack: a search has one interface, one budget, one of everything"
            raise ConfigError("defense", own, reason)
        found[own] = Contest(own, {one.name: one for one in named}, left_out, seeds, interning)
    return list(found.values())


def _typed(cell: Composed) -> str:
    """A defense as it was typed: the name of its file, and the fields that were set."""
    words = [word for word in cell.overrides if word.startswith("defense")]
    return " ".join(word.removeprefix("defense=") for word in words)


def search(
    contests: Sequence[Contest],
    cell: Composed,
    store: Store,
    workers: int | None,
    command: Sequence[str],
    failed: Failed,
) -> int:
    """Run rounds until every search is over; those of several defenses run side by side.

    A candidate whose attack fails for a reason that it gives itself (it asked for what is not sold, or for more compute than
    there is) is out, and ``failed`` says so; any other failure ends the search.

    Returns:
        exit code, see `experiments.cli.failures.conclude`.
    """
    from experiments.cli.failures import conclude
    from experiments.cli.one_round import run_round

    while wanted := _next(contests, store, failed):
        stages = [one for one, _, _ in wanted]
        said = _rounds_said(contests, store, failed)
        outcome = run_round(stages, cell, workers, command, KEPT, partial(_saying, said))
        missing = [one for one in wanted if not store.has(one[0].stage)]
        if outcome.full or (missing and not _set_aside(missing, outcome, failed)):
            return conclude(outcome, len(wanted), len(missing), store.root, remarks())
        for contest in contests:
            if len(failed[contest.defense]) == len(contest.candidates):
                return conclude(outcome, len(wanted), len(missing), store.root, remarks())
    return 0


def _set_aside(missing: Sequence[tuple[Wanted, str, str]], outcome: RunOutcome, failed: Failed) -> bool:
    """Note why candidates cannot be measured; False where one of them is not to blame for it itself."""
    errors = {failure.key: failure for failure in outcome.failures}
    for wanted, defense, candidate in missing:
        own = [errors[key] for key in _behind(wanted.stage) if key in errors]
        if not own or not all(failure.user for failure in own):
            return False
        if candidate not in failed[defense]:
            failed[defense][candidate] = own[0].error
            print(f"moatbench: left out on {defense}: {candidate} ({own[0].error})", file=sys.stderr)
    return True


def _behind(stage: Stage) -> set[str]:
    """Keys of a stage and of all that it is made from."""
    found, open_stages = set[str](), [stage]
    while open_stages:
        one = open_stages.pop()
        if one.key not in found:
            found.add(one.key)
            open_stages += one.inputs().values()
    return found


def foretell(contests: Sequence[Contest], cell: Composed, store: Store, workers: int | None) -> None:
    """Say what the next round would take, and how many students the others have; runs nothing."""
    from experiments.cli.execute import engine_of
    from experiments.cli.plan import plan_table
    from experiments.engine.graph import plan

    failed: Failed = {contest.defense: {} for contest in contests}
    wanted = [one for one, _, _ in _next(contests, store, failed)]
    graph, out = plan(wanted, store), results()
    said = _rounds_said(contests, store, failed) if wanted else "nothing to search: all rounds are stored"
    told = _saying(said, graph, engine_of(cell, workers).width()) if wanted else said
    remarks().print(told, markup=False, highlight=False, soft_wrap=True)
    out.print(plan_table(graph))
    for contest in contests:
        parts = [f"{left} in {count(seeds, 'seed')}" for seeds, left in contest.most_students()]
        students = sum(seeds * left for seeds, left in contest.most_students())
        out.print(
            f"{contest.defense}: {count(len(contest.candidates), 'candidate')}; rounds: {', '.join(parts)} (at most "
            f"{students} students, fewer as rounds share seeds; the best of each kind stay beyond that), then the held-out "
            "rows of at most 4.",
            highlight=False,
            markup=False,
        )


def _next(
    contests: Sequence[Contest], store: Store, failed: Mapping[str, Mapping[str, str]]
) -> list[tuple[Wanted, str, str]]:
    """What the present round of every search lacks, with defense and candidate."""
    from experiments.engine.graph import Wanted

    return [
        (Wanted(stage, f"{contest.defense} {name}"), contest.defense, name)
        for contest in contests
        for stage, name in contest.standing(store, failed[contest.defense]).missing
    ]


def _rounds_said(contests: Sequence[Contest], store: Store, failed: Mapping[str, Mapping[str, str]]) -> str:
    standings = [(contest.defense, contest.standing(store, failed[contest.defense])) for contest in contests]
    return "; ".join(
        f"{defense}: {count(len(standing.left), 'attack')} in {count(standing.seeds, 'seed')}"
        for defense, standing in standings
        if standing.missing
    )


def _saying(said: str, graph: StageGraph, width: int) -> str:
    from experiments.cli.one_round import to_do

    return f"worst case of {said}: {to_do(graph, width)}"
