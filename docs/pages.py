"""Puts reports into ``docs/results`` with a line that says how they were made, and a CSV of their rows beside it:
``python docs/pages.py NAME...``.

A report is what `moatbench sweep` or `moatbench campaign` wrote under that name; the store beside it holds its origins. What
`moatbench report` wrote under the same name is put there too.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from markupsafe import escape as markup
from PIL import Image

from configs.errors import MoatBenchError
from configs.text import printable
from experiments.publish.made import made
from experiments.report.markdown import escape
from experiments.store.maintenance.kept import kept_named
from experiments.store.store import Store

PAGES = Path(__file__).resolve().parent / "results"


def page(text: str, sentence: str, command: str, beside: str = "") -> str:
    """The page of a report: its heading, how it was made, what is beside it, the rest."""
    head, _, rest = text.partition("\n")
    return f"{head}\n\n*{escape(sentence)}.* `{command}`\n{beside}{rest}"


def typed(word: str) -> str:
    """A word of a command as somebody else would type it: of a path on this machine the last part alone.

    >>> typed("teacher.path=/home/me/models/small"), typed("api=full")
    ('teacher.path=FOLDER/small', 'api=full')
    """
    field, equals, value = word.partition("=")
    return f"{field}=FOLDER/{Path(value).name}" if equals and Path(value).is_absolute() else word


def viewed(path: Path, sentence: str) -> str:
    """Where the report is as an HTML page.

    Raises:
        MoatBenchError: that page is of other rows.
    """
    if str(markup(printable(sentence))) not in path.read_text(encoding="utf-8"):
        raise MoatBenchError(f"{path} is of other rows than {path.stem}: write it again with moatbench report")
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    link = f"[{path.name}]({path.name})"
    return f"\n{link} shows the same rows with filters and plots ({size}; open it in a browser).\n"


MEASURES = ("transfer", "S_def", "S_undef", "T_def", "honest_drop", "trace_kept", "refusals")
OVERALL = ("pooled", "all")


def compact(text: str) -> str:
    """Of a report's CSV what a leaderboard and a comparison need: headline measures over all families, with their intervals
    and where they come from; of campaigns what is true of a policy as a whole, and of capabilities. Another CSV, of a line
    for each thing that was found, stays as it is."""
    lines = csv.DictReader(io.StringIO(text))
    columns = list(lines.fieldnames or ())
    if "measure" in columns and "grader" in columns:
        kept = [
            line
            for line in lines
            if line["measure"] in MEASURES
            and line["family"] in OVERALL
            and line["decoding"] in ("", "greedy")
            and line["grader"] in ("", "strict")
        ]
    elif "policy" in columns and "part" in columns:
        kept = [line for line in lines if line["part"] in ("", "capability")]
    else:
        return text
    out = io.StringIO()
    writer = csv.DictWriter(out, [name for name in columns if any(line[name] for line in kept)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: line[name] for name in writer.fieldnames} for line in kept)
    return out.getvalue()


HEAVIEST = 400_000
"""Bytes of a plot that is copied as it is; heavier ones keep 32 colours."""
LONGEST = 300
"""Lines of a table that a page shows; a longer one is in the report's CSV."""


def shortened(text: str, name: str) -> str:
    """A report without tables that nobody reads on a page, each of which says where it is."""
    found, rows = list[str](), list[str]()
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            rows.append(line)
            continue
        if len(rows) > LONGEST:
            found.append(f"{len(rows) - 2:,} rows: `{name}.csv`, which the command writes.")
        else:
            found += rows
        rows.clear()
        found.append(line)
    return "\n".join(found[:-1])


def plots_of(name: str, results: Path) -> list[Path]:
    """The plots of a report, and not those of another whose name goes on from its own."""
    others = [page.stem for page in results.glob(f"{name}_*.md")]
    return [
        plot
        for plot in sorted({*results.glob(f"{name}.png"), *results.glob(f"{name}_*.png")})
        if not any(f"{plot.stem}_".startswith(f"{other}_") for other in others)
    ]


def put(name: str, results: Path, pages: Path) -> list[Path]:
    """Write the page, a compact CSV of its rows, and copy its plots and its HTML page; the paths.

    Args:
        name: of the report.
        results: where it is, with its ``store``.
        pages: where it goes.

    Raises:
        MoatBenchError: no kept table has that name, not all its rows are stored, or its HTML page is of others.
        OSError: there is no such report.
    """
    store = Store(results / "store")
    table = kept_named(store.root, name, "NAME")
    words = (typed(word) for word in table.command if not word.startswith(("store=", "out=")))
    command = " ".join(("moatbench", *words))
    paths = [pages / f"{name}.md"]
    text = (results / f"{name}.md").read_text(encoding="utf-8")
    sentence, beside = made(store, table), ""
    if (html := results / f"{name}.html").is_file():
        beside = viewed(html, sentence)
        paths.append(pages / html.name)
        shutil.copy(html, paths[-1])
    paths[0].write_text(page(shortened(text, name), sentence, command, beside), encoding="utf-8")
    if (results / f"{name}.csv").is_file():
        paths.append(pages / f"{name}.csv")
        paths[-1].write_text(compact((results / f"{name}.csv").read_text(encoding="utf-8")), encoding="utf-8")
    for plot in plots_of(name, results):
        paths.append(pages / plot.name)
        if plot.stat().st_size <= HEAVIEST:
            shutil.copy(plot, paths[-1])
        else:
            with Image.open(plot) as picture:
                picture.convert("RGB").quantize(32).save(paths[-1], optimize=True)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages of the named reports."""
    parser = argparse.ArgumentParser("python docs/pages.py", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help="of a report")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of the reports and of their store"
    )
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder of the pages")
    asked = parser.parse_args(arguments)
    try:
        for name in asked.names:
            for path in put(name, asked.results, asked.pages):
                print(path)
    except (MoatBenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
