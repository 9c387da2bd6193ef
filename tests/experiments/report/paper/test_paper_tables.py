"""Tables of a paper: what stands in them, what is marked, that LaTeX takes them as they are."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from configs.errors import ConfigError
from experiments.compose.table_files import table_specs, table_words
from experiments.report import write_report
from experiments.report.paper.build_table import build_table
from experiments.report.paper.table_spec import SpecColumn, TableSpec
from experiments.report.paper.write_paper import write_paper
from experiments.report.write import summaries_of
from tests.experiments.report.cells import grid, one

pytestmark = pytest.mark.usefixtures("without_plots")

NASTY = "50% of a_b & {c} $d$ #1 ~e^2 \\input{x} <f> | g"
CELLS = [
    *grid(),
    *(one(name, None, chain, 0.99, seed, "rl", refine="grpo") for seed in (1, 2)
      for name, chain in (("none", 0.95), ("trace_hidden", 0.6))),
]  # fmt: skip
CALIBRATED = [
    *(one(name, ("x", x), chain, 0.95, seed, calibrated_drop=drop)
      for seed in (1, 2) for name, lift in (("temperature", 0.0), ("permuted", 0.02))
      for x, drop, chain in ((1.0, 0.01, 0.9 + lift), (2.0, 0.05, 0.5 + lift))),
    *(one("none", None, 0.95, 0.99, seed) for seed in (1, 2)),
]  # fmt: skip
SPECS = sorted(path.stem for path in (Path(__file__).parents[4] / "configs" / "table").glob("*.yaml"))
PDFLATEX = shutil.which("pdflatex")
TECTONIC = shutil.which("tectonic")


@pytest.fixture(scope="module")
def summaries():
    return summaries_of(CELLS)


def spec(*columns: SpecColumn, **fields: object) -> TableSpec:
    return TableSpec(columns or (SpecColumn("transfer"),), **({"attack": "imitate"} | fields))


def column(table, key):
    at = [h.key for h in table.headings].index(key)
    return {row[0].key: row[at] for row in table.rows}


@pytest.fixture(scope="module")
def written(summaries, tmp_path_factory):
    """Every table that comes with the project, letters and a name full of markup in each."""
    out = tmp_path_factory.mktemp("papers")
    words = [f"+table={','.join(SPECS)}", "table.letters=true", "table.names.token_bucket='A_b & {c} $d$'"]
    cells = {"calibrated": summaries_of(CALIBRATED)}
    specs = table_specs(words)
    return {name: write_paper(name, own, cells.get(name, summaries), out, name) for name, own in specs.items()}


def test_numbers_are_those_of_the_report(written, tmp_path):
    report = write_report(CELLS, tmp_path, "r")
    of_report = pl.read_csv(report.files["csv"], infer_schema_length=None)
    found = pl.read_csv(written["main"].files["csv"], infer_schema_length=None)
    assert found.height == 10
    for row in found.iter_rows(named=True):
        wanted = of_report.filter(
            pl.col("defense") == row["defense"], pl.col("attack") == "imitate", pl.col("measure") == "transfer",
            pl.col("family") == "chain", pl.col("decoding") == "greedy", pl.col("grader") == "strict",
        ).row(0, named=True)  # fmt: skip
        assert [row[f"transfer_chain{end}"] for end in ("", "_low", "_high")] == [
            wanted[name] for name in ("value", "low", "high")
        ]


def test_names_are_words_and_the_reference_stands_first(written):
    table = written["main"].table
    names = [row[0].value for row in table.rows]
    assert names[0] == "No defense"
    assert names[1:3] == ["Antidistillation (λ = 0.2)", "Antidistillation (λ = 0.3)"]
    assert "Hidden trace" in names
    assert table.rows[1][0].tex == r"Antidistillation ($\lambda = 0.2$)"
    assert 1 in table.rules
    assert [h.title for h in table.headings if h.group] == ["Reasoning", "Coding", "Knowledge", "Tool use", "Pooled"]


def test_best_is_bold_only_where_it_is_told_apart(summaries):
    alone = column(build_table("t", spec(SpecColumn("transfer", family="chain")), summaries), "transfer_chain")
    assert [name for name, e in alone.items() if e.bold] == ["trace_hidden"]
    flat = spec(SpecColumn("transfer", family="facts"))  # no defense touches this family
    assert not any(e.bold for e in column(build_table("t", flat, summaries), "transfer_facts").values())
    tied = spec(SpecColumn("transfer", family="facts"), best="tied", letters=True)
    entries = column(build_table("t", tied, summaries), "transfer_facts")
    assert all(e.bold and e.letters == "a" for name, e in entries.items() if name != "none")
    assert not entries["none"].bold
    value = column(
        build_table("t", spec(SpecColumn("transfer", family="facts"), best="value"), summaries), "transfer_facts"
    )
    least = min((e.value.value for n, e in value.items() if n != "none"))
    assert {e.value.value for e in value.values() if e.bold} == {least}


def test_with_one_seed_nothing_is_marked():
    table = build_table("t", spec(SpecColumn("transfer", family="chain")), summaries_of(grid(seeds=(1,))))
    assert not any(entry.bold for row in table.rows for entry in row)
    assert "With one seed nothing is told apart." in table.caption


def test_letters_separate_what_the_data_do(summaries):
    found = column(
        build_table("t", spec(SpecColumn("transfer", family="chain"), letters=True), summaries), "transfer_chain"
    )
    hidden, strong = found["trace_hidden"].letters, found["antidistillation(lam=0.3)"].letters
    assert hidden == "a"
    assert not set(hidden) & set(strong)
    assert set(found["permuted(lam=0.2)"].letters) & set(found["temperature(tau=1.3)"].letters)


def test_the_subject_stands_last_as_ours(summaries):
    table = build_table("t", spec(subject="query_quota"), summaries)
    assert table.rows[-1][0].value == "Query quota (ours)"
    assert len(table.rows) - 1 in table.rules
    with pytest.raises(ConfigError, match=r"table\.subject = 'quota'.*did you mean 'query_quota'"):
        build_table("t", spec(subject="quota"), summaries)


def test_a_defense_that_the_project_does_not_know_is_a_subject_like_any_other():
    cells = [*grid(attacks=("imitate",)), *(one("trace_budget", ("tokens", 4.0), 0.4, 0.99, s) for s in (1, 2))]
    table = build_table("t", spec(subject="trace_budget"), summaries_of(cells))
    assert table.rows[-1][0].value == "Trace budget (tokens = 4) (ours)"
    assert table.rows[-1][1].value.value is not None


def test_differences_to_one_defense(summaries):
    own = spec(SpecColumn("transfer"), SpecColumn("transfer", less="trace_hidden"), strength="dearest")
    table = build_table("t", own, summaries)
    plain, less = column(table, "transfer"), column(table, "transfer_less_trace_hidden")
    gap = plain["permuted(lam=0.3)"].value.value - plain["trace_hidden"].value.value
    assert less["permuted(lam=0.3)"].value.value == pytest.approx(gap)
    assert less["permuted(lam=0.3)"].value.resolved
    assert less["trace_hidden"].value.value is None
    assert "Transfer less Hidden trace" in [h.title for h in table.headings]
    with pytest.raises(ConfigError, match=r"less = 'permuted': is to be one row, and is 2.*"):
        build_table("t", spec(SpecColumn("transfer", less="permuted")), summaries)


def test_the_caption_names_the_attack_and_what_is_subtracted(summaries):
    one = build_table("t", spec(SpecColumn("transfer"), attack="imitate"), summaries).caption
    assert "Attack: Imitation." in one
    both = (SpecColumn("transfer"), SpecColumn("transfer", attack="rl"), SpecColumn("transfer", less="none"))
    many = build_table("t", spec(*both, attack="imitate"), summaries).caption
    assert "Attack: Imitation, where a column names no other." in many
    assert "Differences to No defense are paired" in many
    assert "Attack:" not in build_table("t", spec(SpecColumn("transfer"), attack="worst"), summaries).caption


def test_one_strength_each(summaries):
    def shown(**fields: object) -> list[str]:
        return [row[0].key for row in build_table("t", spec(**fields), summaries).rows]

    dearest = shown(strength="dearest")
    assert {"antidistillation(lam=0.3)", "permuted(lam=0.3)", "temperature(tau=1.5)", "trace_hidden"} <= set(dearest)
    assert "permuted(lam=0.2)" not in dearest
    within = shown(strength="within", limit=0.025)
    assert "permuted(lam=0.2)" in within
    assert "permuted(lam=0.3)" not in within
    curves = spec(SpecColumn("student", drop=0.02), strength="curve")
    names = [row[0].key for row in build_table("t", curves, summaries).rows]
    assert names == ["none", "antidistillation", "permuted", "temperature"]


def test_matched_values_are_those_of_the_matched_table(written, tmp_path):
    matched = next(t for t in write_report(CELLS, tmp_path, "r").tables if t.name == "matched")
    row = next(r for r in matched.rows if r["drop"] == "2.0" and r["family"] == "pooled" and r["attack"] == "imitate")
    entries = column(written["matched"].table, "student_at_0.02")
    for name in ("antidistillation", "permuted", "temperature"):
        assert entries[name].value.value == pytest.approx(row[name].value)
        assert entries[name].value.mark == row[name].mark
    assert "Not shown, without such a number: Query quota" in written["matched"].table.caption


def test_worst_case_columns(written):
    table = written["worst"].table
    assert column(table, "transfer_attack_distilled")["antidistillation(lam=0.2)"].value == "Adaptive"
    assert column(table, "transfer_refined")["trace_hidden"].value.value > 0.8
    assert column(table, "transfer_refined")["permuted(lam=0.2)"].value.value is None
    assert "intervals take it as given" in table.caption


def test_calibrated_cells_are_found_by_what_they_cost():
    own = table_specs(["+table=calibrated"])["calibrated"]
    table = build_table("calibrated", own, summaries_of(CALIBRATED))
    assert [h.title for h in table.headings] == ["Defense", "1 point", "5 points"]
    assert (
        column(table, "transfer_at_0.01")["temperature"].value.value
        > column(table, "transfer_at_0.05")["temperature"].value.value
    )


def test_columns_in_which_all_rows_agree_are_said_in_the_caption(summaries):
    columns = (SpecColumn("transfer"), SpecColumn("distinct_prompts"))
    table = build_table("t", spec(*columns), summaries)
    assert [h.key for h in table.headings] == ["defense", "transfer"]
    assert "The same in all rows: distinct prompts 990." in table.caption
    assert len(build_table("t", spec(*columns, constant=True), summaries).headings) == 3


def test_what_cannot_be_is_refused(summaries):
    with pytest.raises(ConfigError, match=r"table\.attack = '': is to be said.*adaptive, imitate, rl"):
        build_table("t", spec(attack=""), summaries)
    with pytest.raises(ConfigError, match=r"measure = 'transfr'.*did you mean 'transfer'"):
        SpecColumn("transfr")
    with pytest.raises(ConfigError, match=r"table\.defenses = 'kgw'"):
        build_table("t", spec(defenses=("kgw",)), summaries)
    with pytest.raises(ConfigError, match=r"table\.attack = 'imitat': is in none .*did you mean 'imitate'"):
        build_table("t", spec(attack="imitat"), summaries)
    with pytest.raises(ConfigError, match=r"table\.columns\.attack = 'clean': is in none of the stored cells"):
        build_table("t", spec(SpecColumn("transfer", attack="clean")), summaries)
    with pytest.raises(ConfigError, match=r"family = 'reasoning': is no family .*chain is reasoning"):
        build_table("t", spec(SpecColumn("transfer", family="reasoning")), summaries)
    with pytest.raises(ConfigError, match=r"table = 'mian'.*did you mean 'main'"):
        table_specs(["+table=mian"])
    with pytest.raises(ConfigError, match=r"table\.wdth"):
        table_specs(["+table=main", "table.wdth=single"])
    with pytest.raises(ConfigError, match="several values"):
        table_specs(["+table=main", "table.width=single,double"])
    with pytest.raises(ConfigError, match="control characters"):
        spec(caption="a\x1b[31mb")
    with pytest.raises(ConfigError, match=r"say which with \+table=NAME"):
        table_words(["table.width=single"])
    assert table_words(["+table=main,worst", "seed=1", "table.width=single"]) == (
        ("main", "worst"), ("table.width=single",), ("seed=1",),
    )  # fmt: skip


def test_names_and_captions_are_escaped_in_every_format(summaries, tmp_path):
    own = spec(
        SpecColumn("transfer", title=NASTY),
        caption=NASTY,
        names={"trace_hidden": NASTY},
        subject="trace_hidden",
        ours=NASTY,
    )
    found = write_paper("t", own, summaries, tmp_path, "t")
    tex = found.files["tex"].read_text()
    assert (
        tex.count(r"50\% of a\_b \& \{c\} \$d\$ \#1 \textasciitilde{}e\textasciicircum{}2 \textbackslash{}input\{x\}")
        >= 3
    )
    assert r"\input{x}" not in tex
    page = found.files["md"].read_text()
    assert "\\<f\\> \\| g" in page
    assert {line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")} == {3}
    out = StringIO()
    found.terminal(Console(file=out, width=200))
    assert NASTY[:10] in out.getvalue()
    raw = write_paper("t", spec(names_tex={"trace_hidden": r"\textsc{Hidden}"}), summaries, tmp_path, "raw")
    assert r"\textsc{Hidden} & " in raw.files["tex"].read_text()


@pytest.mark.skipif(PDFLATEX is None and TECTONIC is None, reason="neither pdflatex nor tectonic here")
def test_latex_of_every_table_compiles_as_it_is(written, tmp_path):
    """Those of one shape in one document, which is the page of any of them with all their fragments."""
    assert {"main", "calibrated"} <= set(written)
    pages = defaultdict[str, list[str]](list)
    for found in written.values():
        fragment = found.files["tex"]
        shutil.copy(fragment, tmp_path)
        text, line = found.files["page"].read_text(), f"\\input{{{fragment.name}}}"
        assert text.count(line) == 1
        pages[text.replace(line, "HERE")].append(line)
    assert len(pages) == 2, "a column wide, and two"
    for name, (text, lines) in zip(("one", "two"), pages.items(), strict=True):
        page = f"{name}.tex"
        (tmp_path / page).write_text(text.replace("HERE", "\n".join(lines)))
        command = (
            [PDFLATEX, "-halt-on-error", "-interaction=nonstopmode", page]
            if PDFLATEX
            else [TECTONIC, "-k", "--keep-logs", page]
        )
        done = subprocess.run(
            [str(word) for word in command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, (name, said[-2000:])
        assert "Overfull" not in said, name


def test_a_table_of_somebody_elses_package(elsewhere, tmp_path):
    folder = tmp_path / "elsewhere" / "configs" / "table"
    folder.mkdir()
    target = "experiments.report.paper.table_spec.TableSpec"
    (folder / "mine.yaml").write_text(f"_target_: {target}\ncolumns: [{{measure: transfer}}]\nattack: imitate\n")
    found = table_specs([elsewhere, "+table=mine", "table.names.shout='Shout & {x}'", "table.width=single"])["mine"]
    assert (found.names, found.width, found.attack) == ({"shout": "Shout & {x}"}, "single", "imitate")
