"""The words that go with an archived table: what is what, and how to get it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.markdown import escape
from experiments.store.layout import Ref
from experiments.store.maintenance.kept import Kept

FILES = """\
| file | what |
|---|---|
| `table.md`, `table.csv`, `table.tex` (`table_page.tex` compiles it), `table.json` | the table; measures and intervals |
| `rows/KEY/row.parquet` | one cell and seed: its line before seeds are averaged |
| `rows/KEY/items.parquet` | every answer of every model of the cell: item, family, split, decoding, score |
| `rows/KEY/honest.parquet` | every request of honest users, with and without the defense |
| `rows/KEY/{epochs,harvest,accounts,clusters,edges,indicators}.parquet` | one campaign, see `docs/campaigns.md` |
| `rows/KEY/config.yaml` | the resolved configuration |
| `manifests/STAGE/KEY.json` | how each result was made: configuration, inputs, time, source, machine, hashes |
| `rows/KEY/meta.json`, `export.json` | what `moatbench store import` needs besides |
| `provenance.json` | source revision, package versions and hardware, each once, with what was made there |
"""
MODELS = "| `models/KEY/` | the weights of the student of that row, as safetensors |\n"


def readme(
    table: Kept, command: str, origins: Sequence[Mapping[str, Any]], rows: Sequence[Ref], with_models: bool
) -> str:
    """Markdown.

    Args:
        table: the kept table.
        command: that made it, without paths; "" where not known.
        origins: what `provenance.json` holds.
        rows: in order.
        with_models: whether weights are in the archive.
    """
    revisions = sorted({str(origin["git"]) for origin in origins if origin["git"]})
    dirty = any(origin["dirty"] for origin in origins)
    source = f"git checkout {revisions[0]}\n" if len(revisions) == 1 else ""
    again = f"{command} --name {table.name}" if command else "moatbench run ...   # as in rows/*/config.yaml"
    notes = [
        f"Made from {len(revisions)} revisions of the source; `provenance.json` says which made what."
        if len(revisions) > 1
        else "",
        "Some of it was made from a source with changes that were not committed." if dirty else "",
        _own_packages(command),
        "Paths are cut to `LOCAL/` and their last part, or to `LOCAL`. Hashes in manifests are those of the original files.",
    ]
    return (
        f"# {escape(table.name)}\n\n"
        f"A table of MoatBench from {len(rows)} row{'' if len(rows) == 1 else 's'}, written {table.written}.\n\n"
        f"{FILES}{MODELS if with_models else ''}\n"
        "`moatbench store import ARCHIVE` puts the rows into a store.\n"
        "`SHA256SUMS` covers all of these: `sha256sum -c SHA256SUMS`.\n\n"
        f"## Again\n\n```bash\n{source}{again}\n```\n\n"
        "Keys are hashes of configuration and code version: the same rows have the same keys. Numbers are the same bit for\n"
        "bit on one machine with one thread and the same packages; elsewhere floating-point sums differ.\n\n"
        + "\n".join(note for note in notes if note)
        + "\n\n## Rows\n\n"
        + "".join(f"- `{ref.key}`\n" for ref in rows)
    )


def _own_packages(command: str) -> str:
    """What is said of packages that the command looked into."""
    names = sorted({name.partition(".")[0] for name in re.findall(r"pkg://([\w.]+)", command)})
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return f"Rows of methods from {listed} need that code too: it is neither in this archive nor in the revision above."
