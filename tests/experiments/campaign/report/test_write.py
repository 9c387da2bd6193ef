import csv
import io
import json

import pytest
from rich.console import Console

from configs.errors import ConfigError
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import measures
from experiments.campaign.report.drawing import looks
from experiments.campaign.report.write import PLOTS, write_campaign_report
from experiments.report import latex
from tests.experiments.campaign.synthetic import campaign, transfers

NOTE = "A share of the plan stands for the same share of 2,128 queries."
TEXTS = ("md", "csv", "tex", "page", "json", "thresholds", "html")


def policies():
    common = {"operations": {"alpha": 40, "beta_two": 20}, "providers": ("north", "south"), "honest": 200}
    return [campaign("linking", seed, grip=0.7, **common) for seed in (0, 1)] + [
        campaign("none", detectors=(), **common)
    ]


@pytest.fixture(scope="module")
def results():
    return policies()


@pytest.fixture(scope="module")
def report(results, tmp_path_factory):
    return write_campaign_report(results, transfers(results, True), NOTE, tmp_path_factory.mktemp("full"), "demo")


@pytest.fixture
def undrawn(monkeypatch):
    """Plots are made but for the pictures themselves."""
    drawn = []
    for name in ("cost_plot", "graph_plot", "harvest_plot", "roc_plot"):
        monkeypatch.setattr(f"experiments.campaign.report.{name}.save", lambda figure, png, pdf: drawn.append(figure))
    return drawn


def test_every_file_is_there(report):
    assert set(report.files) == {*TEXTS, *(f"{plot}_{kind}" for plot in PLOTS for kind in ("png", "pdf"))}
    assert all(path.stat().st_size > 100 for path in report.files.values())
    assert report.files["harvest_png"].name == "demo_harvest.png"
    assert report.files["page"].read_text().count("\\input{demo.tex}") == 1


def test_same_input_same_bytes(report, tmp_path):
    again = write_campaign_report(policies(), transfers(policies(), True), NOTE, tmp_path, "demo")
    for kind, path in report.files.items():
        assert path.read_bytes() == again.files[kind].read_bytes(), kind


def test_the_undefended_run_comes_first_and_is_compared_with(report):
    main = report.tables[0]
    assert [row["policy"] for row in main.rows] == ["undefended", "linking"]
    assert [row["seeds"] for row in main.rows] == [1, 2]
    assert report.words[0].startswith("Undefended, ")
    assert "; undefended it ends at " in report.words[1]


def test_tables(report):
    assert [table.name for table in report.tables] == [
        "campaign", "ranking", "detectors", "alarms", "thresholds", "honest_kinds", "groups", "reviews", "containment",
        "operations", "providers",
    ]  # fmt: skip
    tables = {table.name: table for table in report.tables}
    assert {row["detector"] for row in tables["alarms"].rows} == {"linker", "window", "any of them"}
    assert {row["operation"] for row in tables["operations"].rows} == {"alpha", "beta two"}
    assert {row["operation"] for row in tables["containment"].rows} == {"all together", "alpha", "beta two"}


def test_every_column_of_a_table_is_filled_in_every_row(report):
    for table in report.tables:
        keys = {column.key for column in table.columns}
        for row in table.rows:
            assert keys == set(row), table.name


def test_extrapolated_transfer_has_a_star_and_the_mapping_is_printed(report):
    row = report.tables[0].rows[1]
    assert row["transfer_coding"].endswith("]*")
    text = report.files["md"].read_text()
    assert NOTE in text
    assert "an extrapolation of the fitted curve" in text


def test_csv_holds_every_number_of_every_seed(report, results):
    lines = list(csv.DictReader(io.StringIO(report.files["csv"].read_text())))
    assert {(line["policy"], line["seed"]) for line in lines} == {
        ("none", "0"), ("linking", "0"), ("linking", "1"), ("linking", "all"),
    }  # fmt: skip
    found = {(x["policy"], x["seed"], x["part"], x["of"], x["measure"]): x for x in lines}
    assert len(found) == len(lines)
    for key, estimate in measures(results[1]).items():
        line = found["linking", "1", key.part, key.of, key.measure]
        assert (line["value"] == "") == (estimate.value is None)
        if estimate.value is not None:
            assert float(line["value"]) == pytest.approx(estimate.value)
    both = [measures(r)[Key("usable")].value for r in results[:2]]
    assert float(found["linking", "all", "", "", "usable"]["value"]) == pytest.approx(sum(both) / 2)
    assert found["linking", "all", "capability", "coding", "transfer"]["extrapolated"] == "yes"


def test_json_holds_measures_by_seed_and_facts(report):
    document = json.loads(report.files["json"].read_text())
    linking = document["policies"][1]
    assert [one["seed"] for one in linking["by_seed"]] == [0, 1]
    assert linking["by_seed"][0]["facts"]["encoder"] == "hashing"
    assert {"measure": "planned", "part": "operation", "of": "alpha", "value": 8960.0} in linking["by_seed"][0][
        "measures"
    ]


@pytest.mark.parametrize("width", [100, 160])
def test_the_terminal_prints_every_policy_and_fits(report, width):
    out = io.StringIO()
    report.terminal(Console(file=out, width=width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for word in ("linking", "undefended", "hard negatives", "Transfer to the student"):
        assert word in text


def test_latex_sets_every_character(report):
    assert latex.escape("⊕") == "?"
    for kind in ("tex", "page"):
        assert "?" not in report.files[kind].read_text()


@pytest.mark.parametrize(
    ("given", "tables"),
    [
        ({"operations": {}, "grip": 0.6}, ["campaign", "detectors", "alarms", "thresholds", "honest_kinds"]),
        ({"detectors": ()}, ["campaign", "containment", "operations"]),
        ({"rate": 0.0}, ["campaign", "detectors", "alarms", "thresholds", "containment", "operations"]),
        (
            {"honest": 0, "grip": 0.5},
            ["campaign", "detectors", "alarms", "thresholds", "groups", "reviews", "containment", "operations"],
        ),
    ],
    ids=["nobody attacks", "no detector", "nothing usable", "nobody honest"],
)
def test_what_is_missing_is_left_out(given, tables, undrawn, tmp_path):
    one = [campaign("linking", **({"honest": 100} | given))]
    report = write_campaign_report(one, {}, "", tmp_path, "edge")
    assert [table.name for table in report.tables] == tables
    assert len(undrawn) == len(PLOTS)
    for figure in undrawn:
        figure.draw_without_rendering()
    if given.get("rate") == 0.0:
        assert report.tables[0].rows[0]["dollars_per_usable"].value is None
    assert "nan" not in report.files["csv"].read_text()


def test_nothing_is_written_of_campaigns_that_do_not_belong_together(results, tmp_path):
    with pytest.raises(ConfigError):
        write_campaign_report([*results, results[0]], {}, "", tmp_path / "no", "x")
    assert not (tmp_path / "no").exists()


def test_a_name_has_a_look_of_its_own():
    names = ["none", *(f"policy{i}" for i in range(20))]
    style = looks(names)
    assert len(set(style.values())) == len(names)
    assert style["none"].colour == "#000000"
