"""The README of a dataset: YAML that tells `datasets` what to load, and words that tell a reader what it is. All text of
models, names and configurations is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from configs.errors import require
from configs.text import one_line, printable
from experiments.publish.dataset_tables import DatasetPart
from experiments.publish.origin import without_paths
from experiments.report.markdown import escape
from experiments.store.maintenance.lineage import Lineage

UNKNOWN = "unknown"
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
DTYPES = {pl.String(): "string", pl.Boolean(): "bool", pl.Int64(): "int64", pl.Float64(): "float64"}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
FACTS = {
    "defense": "defense",
    "attack": "attack",
    "seed": "seed",
    "task": "task",
    "teacher": "teacher",
    "student": "student",
    "api": "interface",
    "queries": "queries",
    "data": "prompts",
    "accounts": "accounts",
}


def dataset_card(
    parts: Sequence[DatasetPart],
    cell: Mapping[str, Any],
    key: str,
    lineage: Lineage,
    command: Sequence[str],
    licence: str,
    remarks: Sequence[str],
) -> str:
    """Markdown with YAML before it.

    Args:
        parts: of the dataset; the first is loaded where none is named.
        cell: facts that name the cell in tables.
        key: of its row.
        lineage: where it was made.
        command: lines of a shell that make the row again.
        licence: an identifier, as in ``apache-2.0``.
        remarks: on what is missing.

    Raises:
        ConfigError: the licence is no identifier.
    """
    require(LICENCE.fullmatch(licence) is not None, "--licence", licence, "must be an identifier, such as apache-2.0")
    facts = {
        title: without_paths(one_line(str(cell[name]))) for name, title in FACTS.items() if cell.get(name) is not None
    }
    defense, attack = facts.get("defense", UNKNOWN), facts.get("attack", UNKNOWN)
    head = {
        "pretty_name": f"MoatBench {key[:12]}: {defense} against {attack}",
        "license": licence,
        "tags": ["moatbench", "model-distillation", "synthetic"],
        "size_categories": [_size(sum(table.height for part in parts for table in part.splits.values()))],
        "configs": [_config(part, part is parts[0]) for part in parts],
        "dataset_info": [_info(part) for part in parts],
    }
    made = [f"revision {escape(o.revision)}, versions `{o.lock}`, {escape(o.machine)}" for o in lineage.origins]
    what = (
        "One cell of MoatBench, a simulator of distillation attacks and defenses: a student model asked a teacher through a "
        "simulated API, which a defense protects. The texts were made by models and by a generator of prompts; nobody "
        "wrote them, and nobody checked what they claim."
    )
    lines = [
        f"# {escape(str(head['pretty_name']))}",
        what,
        _grid(("", ""), list(facts.items())),
        *(_section(part) for part in parts),
        "## How it was made",
        f"Row `{key}`; {'; '.join(made) or 'where is not known'}. `config.yaml` is the resolved configuration, "
        "`provenance.json` has all versions.",
        _fenced(command) if command else "",
        "\n".join(f"- {escape(remark)}" for remark in remarks),
        "## Licence",
        _licensed(licence),
    ]
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=False, width=120)
    return f"---\n{front}---\n\n" + "\n\n".join(line for line in lines if line) + "\n"


def path_of(part: str, split: str) -> str:
    """Where a table lies, below the dataset's folder."""
    return f"data/{part}/{split}.parquet"


def _config(part: DatasetPart, default: bool) -> dict[str, Any]:
    files = [{"split": split, "path": path_of(part.name, split)} for split in part.splits]
    return {"config_name": part.name, **({"default": True} if default else {}), "data_files": files}


def _info(part: DatasetPart) -> dict[str, Any]:
    schema = next(iter(part.splits.values())).schema
    features = [{"name": name, "dtype": DTYPES[kind]} for name, kind in schema.items()]
    splits = [
        {"name": name, "num_bytes": int(table.estimated_size()), "num_examples": table.height}
        for name, table in part.splits.items()
    ]
    return {"config_name": part.name, "features": features, "splits": splits}


def _section(part: DatasetPart) -> str:
    counts = ", ".join(f"`{name}` ({table.height:,})" for name, table in part.splits.items())
    told = [(f"`{name}`", escape(text)) for name, text in part.columns.items()]
    columns = _grid(("column", "what"), told, ready=True)
    load = f'```python\nfrom datasets import load_dataset\n\nload_dataset("PATH", "{part.name}")\n```'
    return f"## {part.name}\n\n{escape(part.about)} Splits: {counts}.\n\n{load}\n\n{columns}"


def _grid(head: tuple[str, str], rows: Sequence[tuple[str, str]], ready: bool = False) -> str:
    body = [f"| {a if ready else escape(a)} | {b if ready else escape(b)} |" for a, b in rows]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *body])


def _fenced(command: Sequence[str]) -> str:
    """Lines of a shell in a fence that nothing in them closes."""
    text = "\n".join(one_line(printable(line)) for line in command)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}bash\n{text}\n{fence}"


def _licensed(licence: str) -> str:
    if licence == UNKNOWN:
        return (
            "Not stated. Texts of a task's own data, and of pretrained models, are under the terms of these; say a licence "
            "with `--licence` once you know that you may."
        )
    return f"`{licence}`, as stated by whoever made this dataset."


def _size(rows: int) -> str:
    return next((name for most, name in SIZES if rows < most), "n>1M")
