"""How methods are called in a paper: words in the place of the names that are typed. A name that is not listed follows the
rule, so that a method of somebody's own package needs no entry: ``trace_budget`` is "Trace budget"."""

from __future__ import annotations

import csv
import re
from importlib import resources
from typing import NamedTuple

from experiments.report import latex
from experiments.report.names import FAMILIES, family_name
from experiments.report.paper.table_spec import TableSpec

WORDS = {
    row["name"]: row["words"]
    for row in csv.DictReader((resources.files(__package__) / "display_names.csv").read_text("utf-8").splitlines())
}
"""Where the rule is wrong: acronyms, authors' own spelling, order of words. In a table of their own: no code of reports
names a method."""


GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "lambda", "sigma", "tau", "rho", "mu", "kappa", "theta", "eta")
LETTERS = dict(zip(GREEK, "αβγδελστρμκθη", strict=True))
SHORT = {"lam": "lambda", "eps": "epsilon"}
STATED = re.compile(r"(?P<name>[^()]+)\((?P<field>\w+)=(?P<value>[^()=]+)\)")


class Called(NamedTuple):
    """A name in plain text, and as LaTeX."""

    plain: str
    tex: str


def called(name: str, spec: TableSpec) -> Called:
    """What a table calls a method or a family."""
    plain = spec.names.get(name) or WORDS.get(name) or (family_name(name) if name in FAMILIES else "")
    plain = plain or name.replace("_", " ")
    plain = plain[:1].upper() + plain[1:]
    return Called(plain, spec.names_tex.get(name) or latex.escape(plain))


def defense_called(label: str, names: tuple[str, ...], spec: TableSpec, strengths: bool = True) -> Called:
    """What a table calls a defense or a stack with its strengths.

    Args:
        label: as `experiments.measure.summary.Summary.defense` has it: ``kgw(delta=2)``, ``a + b(x=1)``, with settings in
            which it differs from others in parentheses at the end.
        names: of its defenses, in order.
        spec: of the table.
        strengths: whether to say them.
    """
    whole = "+".join(names) or "none"
    if whole in spec.names or whole in spec.names_tex:
        told = called(whole, spec)
    else:
        parts = [called(name, spec) for name in names or ("none",)]
        told = Called(" + ".join(p.plain for p in parts), " + ".join(p.tex for p in parts))
    if not strengths:
        return told
    stated = [_stated(m["field"], m["value"]) for m in STATED.finditer(label)]
    # what tells cells apart that have one name and strength (`experiments.report.names.told_apart`)
    more = STATED.sub("", label).partition(" (")[2].removesuffix(")") if " (" in label else ""
    if "=" in more and not stated:
        stated = [Called(more.replace("_", " "), latex.escape(more.replace("_", " ")))]
    said = ", ".join(s.plain for s in stated), ", ".join(s.tex for s in stated)
    return Called(f"{told.plain} ({said[0]})", f"{told.tex} ({said[1]})") if stated else told


def _stated(name: str, value: str) -> Called:
    greek = SHORT.get(name, name)
    value = value.replace("-", "−")
    if greek in LETTERS:
        return Called(f"{LETTERS[greek]} = {value}", f"$\\{greek} = {latex.escape(value).replace('$', '')}$")
    plain = f"{name.replace('_', ' ')} = {value}"
    return Called(plain, latex.escape(plain))
