"""Writes the parts of the documentation that the code knows best: ``python docs/generate.py``.

``docs/methods.md`` comes from the YAML files and the classes that they name; the samples in ``docs/mini-world.md`` come from
the task itself, the recipes in ``docs/published.md`` from their files, ``docs/leaderboard.md`` from the pages of results, in
``docs/results/index.md`` the list of HTML pages from these. A test checks that the committed files are what this writes.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from configs.build import build
from defenses.base import Defense, hooks_of
from experiments.cli.choices import items
from experiments.compose.compose import compose_one
from experiments.compose.grids import EXPERIMENT, notes_of
from experiments.compose.hydra_session import session
from experiments.publish.leaderboard import leaderboard
from tasks.mini import MiniTask, Wording
from tasks.mini.world import SPLITS

DOCS = Path(__file__).resolve().parent

GROUPS = {
    "defense": ("Defenses", "Chosen as `defense=NAME`, stacked as `defense=[NAME,NAME]`, applied in order."),
    "attack": ("Attacks", "Chosen as `attack=NAME`: a harvest, recover steps and an objective under one name."),
    "attack/harvest": ("Harvests", "Which prompts are asked: `attack/harvest=NAME`."),
    "attack/recover": ("Recover steps", "How the answers are cleaned, in order: `attack/recover=[NAME,NAME]`."),
    "attack/objective": ("Objectives", "What the student minimises: `attack/objective=NAME`."),
    "attack/refine": (
        "Refine",
        "What he does afterwards, without the teacher, in order: `attack/refine=[NAME,NAME]`.",
    ),
    "api": ("Interface profiles", "What the API sells: `api=NAME`."),
    "budget": ("Budgets", "What the attacker may spend: `budget=NAME`."),
    "claim": (
        "Claims",
        "What the literature predicts, judged by every report whose cells allow it; `moatbench claim NAME` runs the "
        "claim's own grid, see [add-a-claim.md](add-a-claim.md).",
    ),
    "task": ("Tasks", "`task=NAME`."),
    "teacher": ("Teachers", "`teacher=NAME`."),
    "student": ("Students", "`student=NAME`."),
    "proxy": ("Proxies", "Which base model the provider takes students to start from: `proxy=NAME`."),
    "judge": (
        "Judges",
        "Who rates released texts and students' answers besides: `judge=NAME`, `judge=[NAME,NAME]`, see "
        "[language-models.md](language-models.md#judges).",
    ),
    "table": (
        "Tables",
        "Tables and figures of a paper from stored rows: `moatbench table +table=NAME`, see [tables.md](tables.md).",
    ),
    "campaign": (
        "Campaigns",
        "`moatbench campaign campaign=NAME`, see [campaigns.md](campaigns.md). Sources: who reported it; P primary text, S "
        "secondary reports. Those without stand for no report.",
    ),
    "operation": (
        "Operations",
        "Put into a campaign under a name of your own: `+operation@campaign.operations.OWN_NAME=NAME`.",
    ),
    "population": ("Populations", "Honest accounts of a campaign: `population=NAME`."),
    "market": ("Markets", "Providers of a campaign: `market=NAME`."),
    "policy": (
        "Policies",
        "What providers do in a campaign: `policy=NAME`. Source: the defenses it is made of, listed above.",
    ),
    "link": ("Links", "How exchanges of a campaign stand for queries of the lab: `link=NAME`."),
}

METHODS = """\
# Methods

Everything that can be chosen, with its source. Written by `python docs/generate.py` from the YAML files in `configs/` and
the docstrings of the classes that they name; `moatbench list` prints the same. Formulas and what each field means are in the
class's docstring, in the file that the YAML's `_target_` names.
"""

BEGIN, END = "<!-- generated: samples -->", "<!-- end of generated -->"
RECIPES = "<!-- generated: recipes -->"
HTML = "<!-- generated: html pages -->"
PUBLISHED = "published"


INDEX = """
How they work: at which points of the API each acts, what makes it stronger (from harmless to strongest), what has to be
sold for it, which models it uses besides the teacher, how many of their forward passes a drawn token takes, and what its
numbers were checked against. What each costs, measured: `moatbench costs` and [results/index.md](results/index.md).

| name | acts at | strength | needs | uses | passes | checked against |
|---|---|---|---|---|--:|---|
"""


def methods() -> str:
    """The text of ``docs/methods.md``."""
    parts = [METHODS]
    with session() as hydra:
        for group, (title, how) in GROUPS.items():
            found = items(group, hydra)
            parts.append(f"\n## {title}\n\n{how}\n\n| name | what it is | source |\n|---|---|---|\n")
            parts += [f"| `{i.name}` | {_cell(i.line)} | {linked(_cell(i.source))} |\n" for i in found]
            if group == "defense":
                parts += [INDEX, *(_indexed(i.name) for i in found)]
    return "".join(parts)


def linked(source: str) -> str:
    """A source with its papers as links."""
    source = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", source)
    return re.sub(r"doi (10\.\S+?)(?=[,;)]|$)", r"[doi \1](https://doi.org/\1)", source)


def _indexed(name: str) -> str:
    """Lines of the defenses that a choice is made of; none for the undefended API."""
    lines = []
    for part, node in compose_one([f"defense={name}"]).plain["defense"].items():
        defense = build(node, Defense, f"defense.{part}")
        s = defense.strength
        told = (
            f"`{name}`" + (f": {part}" if part != name else ""),
            ", ".join(hooks_of(defense)),
            f"`{s.field}` {s.harmless:g} to {s.strongest:g}" if s else "",
            ", ".join(defense.needs),
            ", ".join((*_used(defense), *(["trains students"] if defense.trains else []))),
            f"{defense.passes:g}",
            _cell(defense.checked),
        )
        lines.append("| " + " | ".join(cell or "–" for cell in told) + " |\n")
    return "".join(lines)


def _used(defense: Defense) -> tuple[str, ...]:
    """Models besides the teacher that it runs; what it may run by default counts where it acts while the API serves."""
    hooks = set(hooks_of(defense))
    return defense.uses if {"prepare", "decode", "serve"} & hooks and "admit" not in hooks else ()


def samples() -> str:
    """One item of each family, some of its right responses, and how many prompts there are."""
    task = MiniTask()
    lines = []
    for family in task.families:
        item = task.items("train", family, 2, 0)[1]
        wordings = (Wording(merge=0.4, restate=0.3), Wording(merge=0.0, restate=0.5, check=0.3), Wording())
        said = {task.seeded_response(item, np.random.default_rng(s), w): None for s, w in enumerate(wordings)}
        lines += [f"`{family}`, level {item.level}", "", "```text", f"prompt     {item.prompt}"]
        lines += [f"reference  {item.reference}", *(f"also right {text}" for text in said if text != item.reference)]
        lines += ["```", ""]
    lines += ["| prompts in split | " + " | ".join(task.families) + " |", "|---|" + "--:|" * len(task.families)]
    lines += [f"| `{s}` | " + " | ".join(f"{task.size(s, f):,}" for f in task.families) + " |" for s in SPLITS]
    return "\n".join(lines)


def mini_world() -> str:
    """The text of ``docs/mini-world.md`` with its samples brought up to date."""
    text = (DOCS / "mini-world.md").read_text()
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{samples()}\n\n{END}{rest.partition(END)[2]}"


def recipes() -> str:
    """Every recipe: what it is and takes in a table, and below it its source, where it departs from that, what to expect."""
    with session() as hydra:
        names = [f"{PUBLISHED}/{name}" for name in hydra.files([]).options(f"{EXPERIMENT}/{PUBLISHED}")]
    found = {name: notes_of([f"+{EXPERIMENT}={name}"])[name] for name in names}
    lines = ["| `+experiment=` | what | hours on one H200 | memory |", "|---|---|---|---|"]
    lines += [f"| `{n}` | {_cell(r.description)} | {_size(r.hours)} | {_size(r.memory)} |" for n, r in found.items()]
    for name, recipe in found.items():
        lines += ["", f"### {name}", "", linked(recipe.source) + ".", "", "Expected:", ""]
        lines += [f"- {text}" for text in recipe.expected]
        lines += ["", "Not as there:", "", *(f"- {text}" for text in recipe.differs)]
        lines += ["", f"Hours: {recipe.hours}", "", f"Memory: {recipe.memory}"]
    return "\n".join(lines)


def published() -> str:
    """The text of ``docs/published.md`` with its recipes brought up to date."""
    text = (DOCS / "published.md").read_text()
    head, _, rest = text.partition(RECIPES)
    return f"{head}{RECIPES}\n\n{recipes()}\n\n{END}{rest.partition(END)[2]}"


def _size(text: str) -> str:
    """What a text on hours or memory begins with: about how much."""
    return text.partition(" on one ")[0].partition(", estimated")[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "–"


def board() -> str:
    """The text of ``docs/leaderboard.md``."""
    return leaderboard(DOCS / "results")


def results_index() -> str:
    """The text of ``docs/results/index.md`` with the reports that are there as HTML pages."""
    text = (DOCS / "results" / "index.md").read_text()
    head, _, rest = text.partition(HTML)
    return f"{head}{HTML}\n\n{html_pages()}\n\n{END}{rest.partition(END)[2]}"


def html_pages() -> str:
    """A line each: where it is, how large, and what its campaign or its experiment says of itself."""
    with session() as hydra:
        campaigns = {item.name: item.line for item in items("campaign", hydra)}
    lines = []
    for path in sorted((DOCS / "results").glob("*.html")):
        about = campaigns.get(path.stem) or notes_of([f"+{EXPERIMENT}={path.stem}"])[path.stem].description
        made = (path.with_suffix(".md")).read_text().split("\n")[2]
        when, revision = made.lstrip("*").split("; ")[:2]
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        lines.append(
            f"- [{path.name}]({path.name}) ({size}): {about[0].upper()}{about[1:].rstrip('.')}. Made {when}, {revision}."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    (DOCS / "leaderboard.md").write_text(board())
    (DOCS / "methods.md").write_text(methods())
    (DOCS / "mini-world.md").write_text(mini_world())
    (DOCS / "published.md").write_text(published())
    (DOCS / "results" / "index.md").write_text(results_index())
