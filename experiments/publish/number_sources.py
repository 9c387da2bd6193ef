"""Reads the numbers that two sides of a comparison state: stores, exports, tables as CSV or JSON, pages of results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from configs.errors import ConfigError, MoatBenchError, require
from configs.text import one_line
from experiments.measure.row import flat
from experiments.publish.opened_archive import opened
from experiments.publish.page_numbers import page_numbers
from experiments.publish.paper_artifact import rows_of, tables_of
from experiments.publish.stated import COUNTED, Form, Made, Place, StatedNumber, StatedNumbers, made_of_origins
from experiments.report import write_report
from experiments.stages.row import newest
from experiments.store.maintenance.kept import kept, kept_named
from experiments.store.maintenance.lineage import COLUMNS, SHORT, Lineages, Origin, origin_of
from experiments.store.store import Store

TABLES = (".csv", ".json", ".md")
ARCHIVES = (".tar.gz", ".zip")
LARGEST = 200_000_000
"""Bytes of a table that is read."""
ABOUT = ("value", "low", "high", "seeds", "p", "freedom", "mark", "reason", "extrapolated", *COLUMNS)
"""Columns of a CSV that say something of a number, not which it is."""
PARTS = ("value", "low", "high")


def form_of(field: str, text: str) -> Form | None:
    """How the numbers of what is named are called; None where both can be had.

    Raises:
        ConfigError: there is no such thing, or it is none of these.
    """
    path = Path(text).expanduser()
    if path.is_dir() or (path.is_file() and path.name.endswith(ARCHIVES)):
        return None
    require(path.is_file(), field, one_line(text), "is not there: name a store, an export, or a table")
    if path.suffix not in TABLES:
        reason = "is neither a store nor a file with numbers"
        raise ConfigError(field, one_line(text), reason, (*TABLES, *ARCHIVES))
    return "page" if path.suffix == ".md" else "measures"


def numbers_in(field: str, text: str, form: Form, name: str | None) -> StatedNumbers:
    """The numbers of one side.

    Args:
        field: that named it, for messages.
        text: path of a store, an export, a table or a page.
        form: how numbers are to be called; one that `form_of` allows.
        name: kept table of a store; None for that of the page's name, or else for all newest rows.

    Raises:
        MoatBenchError: it cannot be read, or states no numbers.
    """
    path = Path(text).expanduser()
    label = one_line(text)
    if path.is_dir():
        found = _of_store(Store(path), label, form, name)
    elif path.name.endswith(ARCHIVES):
        files = opened(
            field, path, lambda file: file.rpartition("/")[2] in ("table.csv", "table.md", "provenance.json")
        )
        found = _of_files(files, label, form, _origins(files.get("provenance.json", b"[]")))
    else:
        require(path.stat().st_size <= LARGEST, field, label, f"is larger than {LARGEST:,} bytes")
        content = _decoded(path.read_bytes(), field, label)
        if path.suffix == ".md":
            found = page_numbers(content, label)
        else:
            found = _of_csv(content, label) if path.suffix == ".csv" else _of_json(content, field, label)
    if not found.numbers:
        raise MoatBenchError(f"{label} states no numbers that could be compared")
    return found


def _of_store(store: Store, label: str, form: Form, name: str | None) -> StatedNumbers:
    lineages = Lineages(store.root)
    if name is None:
        results = list(newest(store))
        if not results:
            raise MoatBenchError(f"the store {label} has no rows")
        origins = {origin for result in results for origin in result.lineage.origins}
        with TemporaryDirectory() as folder:
            written = write_report(results, Path(folder), "all").files
            texts = {f"table.{kind}": written[kind].read_bytes() for kind in ("csv", "md")}
        seeds = _seeds(result.seed for result in results)
    else:
        table = kept_named(store.root, name, "--kept")
        rows = rows_of(store, table)
        texts = tables_of(store, rows, table)
        origins = {origin for ref in rows for origin in lineages.of(ref).origins}
        seeds = _seeds(
            row.manifest["config"]["cell"]["seed"] for row in rows.values() if "cell" in row.manifest["config"]
        )
    return _of_files(texts, label, form, origins, seeds)


def kept_name(text: str, page: str) -> str | None:
    """The kept table of a store that is called as a page is; None where there is none."""
    path, stem = Path(text).expanduser(), Path(page).stem
    known = [table.name for table in kept(path)] if path.is_dir() else []
    return stem if stem in known else None


def _of_files(
    files: Mapping[str, bytes], label: str, form: Form, origins: Iterable[Origin], seeds: str = ""
) -> StatedNumbers:
    name = "table.md" if form == "page" else "table.csv"
    if name not in files:
        raise MoatBenchError(f"{label} holds no {name}: it is no export of this version")
    text = _decoded(files[name], "ARCHIVE", label)
    found = page_numbers(text, label) if form == "page" else _of_csv(text, label)
    made = made_of_origins(origins, seeds or found.made.seeds)
    return StatedNumbers(label, form, found.numbers, made)


def _of_csv(text: str, label: str) -> StatedNumbers:
    """Any CSV of this project: a line for each number, or several as NAME_value, NAME_low and NAME_high."""
    reader = csv.DictReader(io.StringIO(text))
    columns = list(reader.fieldnames or ())
    wide = [name.removesuffix("_value") for name in columns if name.endswith("_value")]
    triples = {f"{name}_{part}" for name in wide for part in PARTS}
    keys = [name for name in columns if name not in ABOUT and name not in triples]
    numbers: dict[Place, StatedNumber] = {}
    told: dict[str, set[str]] = {name: set() for name in (*COLUMNS, "seeds")}
    for line in reader:
        place = tuple((name, one_line(line[name])) for name in keys if line.get(name))
        rows = tuple(sorted((line.get("rows") or "").split()))
        freedom = _number(line.get("freedom"))
        for name in told:
            parts = (line.get(name) or "").split("; " if name == "cpu" else None)
            told[name].update(one_line(part) for part in parts)
        for name, columns_of in (("", PARTS), *((name, tuple(f"{name}_{part}" for part in PARTS)) for name in wide)):
            value, low, high = (_number(line.get(column)) for column in columns_of)
            if value is not None:
                own = (*place, ("column", name)) if name else place
                numbers[own] = StatedNumber(value, low, high, freedom, rows=rows)
    several = {name: tuple(sorted(found)) for name, found in told.items()}
    seeds = f"{' or '.join(several['seeds'])} {COUNTED}s" if several["seeds"] else ""
    made = Made(several["revision"], several["lock"], several["cpu"], {}, seeds)
    return StatedNumbers(label, "measures", numbers, made)


def _of_json(text: str, field: str, label: str) -> StatedNumbers:
    """The JSON of a report on cells: the measures of each."""
    try:
        document = json.loads(text)
        numbers: dict[Place, StatedNumber] = {}
        seeds = set[int]()
        for cell in document["cells"]:
            names = {name: flat(value) for name, value in cell["configuration"].items() if name != "settings"}
            names |= {"defense": cell["defense"], "attack": cell["attack"]}
            head = [(name, one_line(_text(names[name]))) for name in sorted(names) if _text(names[name])]
            rows = tuple(sorted(str(key)[:SHORT] for key in cell.get("made", {}).get("rows", ())))
            seeds.update(int(seed) for seed in cell["seeds"])
            for measure, told in cell["measures"].items():
                value, low, high, freedom = (_number(told.get(part)) for part in (*PARTS, "freedom"))
                if value is not None:
                    name, _, rest = measure.partition("/")
                    place = (*head, *_measure(name, rest.split("/") if rest else []))
                    numbers[place] = StatedNumber(value, low, high, freedom, rows=rows)
        origins = [origin_of(one) for one in document.get("origins", ())]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"is no report of cells ({type(error).__name__}): name the CSV, or the JSON that `sweep` wrote"
        raise ConfigError(field, label, reason) from error
    return StatedNumbers(label, "measures", numbers, made_of_origins(origins, _seeds(seeds)))


def _measure(name: str, rest: list[str]) -> list[tuple[str, str]]:
    """What `experiments.measure.row.column_name` joined, as the columns of a CSV: only graders and decodings repeat."""
    found = [("measure", name)]
    if rest and rest[-1] in ("strict", "lenient"):
        grader: list[tuple[str, str]] = [("grader", rest.pop())]
    else:
        grader = []
    decoding = [("decoding", rest.pop())] if rest and rest[-1] in ("greedy", "sampled") else []
    family = [("family", "/".join(rest))] if rest else []
    return [*found, *family, *decoding, *grader]


def _seeds(numbers: Iterable[Any]) -> str:
    return ", ".join(str(seed) for seed in sorted({int(number) for number in numbers}))


def _origins(content: bytes) -> list[Origin]:
    try:
        found = json.loads(content)
        return [origin_of(one) for one in found]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)


def _number(text: object) -> float | None:
    try:
        return None if text in (None, "") else float(str(text))
    except ValueError:
        return None


def _decoded(content: bytes, field: str, label: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(field, label, "is no text") from error
