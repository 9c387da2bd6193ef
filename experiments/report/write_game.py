"""The report of a game from the cells of a sweep: solved once, written in every format."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.errors import MoatBenchError, require
from experiments.measure.cell_result import CellResult, by_configuration
from experiments.measure.estimate import Estimate
from experiments.measure.summary import estimated, summarise
from experiments.measure.transfer import POOLED
from experiments.report import latex, markdown
from experiments.report.cells import PlainWriter
from experiments.report.equilibrium import DRAWS, Equilibrium, equilibrium
from experiments.report.file_names import require_name
from experiments.report.game_table import BY_VALUES, SHOWN, method_table, payoff_table, sentence
from experiments.report.payoffs import payoffs
from experiments.report.write import Report
from experiments.store.maintenance.lineage import COLUMNS as MADE
from experiments.store.maintenance.lineage import joined

COLUMNS = ("threat", "what", "defense", "attack", "value", "low", "high", *MADE)


def write_game(
    results: Sequence[CellResult], out: Path, name: str, price: float = 1.0, family: str = POOLED, draws: int = DRAWS
) -> Report:
    """Solve the game of every threat model and write NAME.md, .csv, .tex, NAME_page.tex, .png, .pdf and .json.

    The picture is of the first game, that with most cells.

    Args:
        results: one per cell and seed.
        out: folder, created if need be.
        name: stem of the files.
        price: see `payoffs`.
        family: the same.
        draws: of the bootstrap.

    Raises:
        ConfigError: a price below 0, or a family that no cell has.
        MoatBenchError: no results, or no pair of methods with a known payoff.
        OSError: the folder cannot be written.
    """
    if not results:
        raise MoatBenchError("a game needs at least one result")
    require_name("name", name)
    summaries = estimated([summarise(group) for group in by_configuration(results)])
    families = sorted({known for s in summaries for known in s.families})
    require(0 <= price < float("inf"), "price", price, "must be a number, at least 0")
    require(family in (POOLED, *families), "family", family, f"is none of the cells': {', '.join((POOLED, *families))}")
    matrices = payoffs(summaries, price, family)
    games = [equilibrium(matrix, draws) for matrix in matrices if matrix.defenses and matrix.attacks]
    if not games:
        why = " ".join(sentence for matrix in matrices for sentence in matrix.left_out)
        raise MoatBenchError(f"these cells make no game: no pair of methods has a known payoff. {why}".rstrip())
    tables = tuple(table for game in games for table in (payoff_table(game, price, family), method_table(game)))
    words = tuple(sentence(game) for game in games)
    files = {kind: out / f"{name}.{kind}" for kind in ("md", "csv", "tex", "png", "pdf", "json")}
    files["page"] = out / f"{name}_page.tex"
    title = f"MoatBench: {name}"
    made = joined(one for matrix in matrices for row in matrix.lineage for one in row)
    record = {"name": name, "price": price, "family": family, "words": words, "games": [_record(g) for g in games]}
    record["origins"] = [origin.record() for origin in made.origins]
    texts = {
        "md": markdown.render(tables, words, title),
        "csv": _csv(games),
        "tex": latex.fragment(tables),
        "page": latex.page(files["tex"].name, title, words),
        "json": json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n",
    }
    out.mkdir(parents=True, exist_ok=True)
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    from matplotlib import rc_context

    from experiments.report.game_plot import draw

    with rc_context({"text.parse_math": False}):
        draw(games[0], files["png"], files["pdf"])
    return Report(name, tables, words, files)


def _record(game: Equilibrium) -> dict[str, Any]:
    """JSON-able."""
    matrix = game.payoffs
    sides = {
        "defenses": (matrix.defenses, game.provider, game.defenses),
        "attacks": (matrix.attacks, game.attacker, game.attacks),
    }
    return {
        "threat": matrix.setting,
        "seeds": list(matrix.seeds),
        "made": joined(one for row in matrix.lineage for one in row).record(),
        "value": _numbers(game.value),
        "pure": {
            "maxmin": _short(game.alone.maxmin),
            "minmax": _short(game.alone.minmax),
            "attack": matrix.attacks[game.alone.column],
            "defense": matrix.defenses[game.alone.row],
        },
        "loss": [[_numbers(e) for e in row] for row in game.losses],
        "left_out": list(matrix.left_out),
        **{
            side: {
                "names": list(names),
                "played": [_numbers(e) for e in played],
                "dominated": {
                    names[one.method]: {"by": names[one.by], "shown": SHOWN if one.shown else BY_VALUES}
                    for one in beaten
                },
            }
            for side, (names, played, beaten) in sides.items()
        },
    }


def _csv(games: Sequence[Equilibrium]) -> str:
    """A line per number: the loss of each pair, the probability of each method, the value."""
    out = io.StringIO()
    writer = PlainWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for game in games:
        matrix, every = game.payoffs, joined(one for row in game.payoffs.lineage for one in row)
        head = {"threat": game.payoffs.setting, **every.told()}
        for r, defense in enumerate(matrix.defenses):
            for c, attack in enumerate(matrix.attacks):
                pair = {"what": "loss", "defense": defense, "attack": attack}
                own = matrix.lineage[r][c].told() if matrix.lineage else {}
                writer.writerow(head | own | pair | _texts(game.losses[r][c]))
        for defense, played in zip(matrix.defenses, game.provider, strict=True):
            writer.writerow(head | {"what": "played", "defense": defense} | _texts(played))
        for attack, played in zip(matrix.attacks, game.attacker, strict=True):
            writer.writerow(head | {"what": "played", "attack": attack} | _texts(played))
        writer.writerow(head | {"what": "value"} | _texts(game.value))
    return out.getvalue()


def _numbers(estimate: Estimate) -> dict[str, float]:
    parts = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    return {name: _short(number) for name, number in parts.items() if number is not None}


def _texts(estimate: Estimate) -> dict[str, str]:
    return {name: f"{number:.12g}" for name, number in _numbers(estimate).items()}


def _short(number: float) -> float:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    return float(f"{number:.12g}")
