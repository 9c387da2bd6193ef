"""``python -m experiments.cli.ratings``: stored texts for people to rate, and a look at what they send back.

``export STORE FILE`` writes every stored text that judges read, a JSON object a line: ``key`` of the texts, ``item``,
``question``, ``reference``, ``text`` and an empty ``rating`` to be filled in. It says neither which defense or student a
text is of nor what the program found, and the lines are in random order, so that nobody rates what they know. ``check STORE
FILE`` looks whether all lines are ratings of texts that are stored, as is done before every run that imports them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from configs.errors import MoatBenchError
from experiments.stages.judged_texts import KINDS
from experiments.stages.row import RowStage
from experiments.store.stage import Stage
from experiments.store.store import Store
from lm.model_spec import field_of
from lm.seeds import generator
from tasks.imported_ratings import ImportedRatings
from tasks.text_judge import FIVE

SHOWN = ("item", "question", "reference", "text")


def require_known_ratings(rows: Iterable[Stage], root: str) -> None:
    """Refuse imported ratings of texts that neither these rows have nor the store in this folder.

    Raises:
        ConfigError: naming the first line that rates others.
    """
    judged = [
        (name, own)
        for row in rows
        if isinstance(row, RowStage)
        for name, stages in row.judgements.items()
        for own in stages.values()
    ]
    imported = {name: own.judge for name, own in judged if isinstance(own.judge, ImportedRatings)}
    if imported:
        known = {own.texts.key for _, own in judged} | stored_keys(Store(root))
        for name, judge in imported.items():
            with field_of(judge, f"judge.{name}"):
                judge.require_keys(known)


def stored_keys(store: Store) -> set[str]:
    """Keys of all stored texts."""
    return {str(manifest["key"]) for kind in KINDS for manifest in store.manifests(kind.name)}


def exported(store: Store) -> list[dict[str, str | None]]:
    """Every stored text, in an order that says nothing."""
    found: list[dict[str, str | None]] = []
    for kind in KINDS:
        for entry in store.entries(kind.name):
            found += [
                {"key": entry.key, **row, "rating": None} for row in entry.table("texts").select(SHOWN).to_dicts()
            ]
    found.sort(key=lambda row: (str(row["key"]), str(row["item"])))
    return [found[place] for place in generator(0, "ratings", "order").permutation(len(found))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the texts, or look at the ratings."""
    parser = argparse.ArgumentParser("python -m experiments.cli.ratings", description=__doc__)
    parser.add_argument("what", choices=("export", "check"))
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument("file", type=Path, help="texts to be written, or ratings to be looked at")
    parser.add_argument("--scale", nargs="+", default=FIVE, help="values of a rating, the worst first")
    asked = parser.parse_args(arguments)
    try:
        store = Store(asked.store)
        if asked.what == "export":
            rows = exported(store)
            asked.file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            print(f"{len(rows)} texts: {asked.file}")
        else:
            judge = ImportedRatings(path=str(asked.file), scale=tuple(asked.scale))
            judge.check()
            judge.require_keys(stored_keys(store))
            print(f"{asked.file} can be imported")
    except (MoatBenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
