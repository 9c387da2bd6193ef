from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from experiments.campaign.report.graph_layout import layout
from experiments.campaign.report.graph_plot import MOST_ACCOUNTS, picture
from tests.experiments.campaign.synthetic import EDGES, campaign


def two_groups(size=12):
    ends = [(i, j) for g in (0, size) for i in range(g, g + size) for j in range(i + 1, g + size) if (i + j) % 2]
    a, b = (np.array(side) for side in zip(*ends, (0, size), strict=True))
    return 2 * size, a, b, np.ones(len(a))


def test_what_is_linked_lies_together():
    nodes, a, b, weight = two_groups()
    place = layout(nodes, a, b, weight)
    centre = place[:12].mean(0), place[12:].mean(0)
    spread = max(
        np.linalg.norm(place[:12] - centre[0], axis=1).max(), np.linalg.norm(place[12:] - centre[1], axis=1).max()
    )
    assert np.linalg.norm(centre[0] - centre[1]) > spread
    assert np.abs(place).max() == pytest.approx(1.0)


def test_the_same_graph_has_the_same_places():
    nodes, a, b, weight = two_groups()
    np.testing.assert_array_equal(layout(nodes, a, b, weight), layout(nodes, a, b, weight))


@pytest.mark.parametrize("nodes", [0, 1, 2, 5])
def test_without_links_places_are_finite_and_differ(nodes):
    none = np.zeros(0, np.int64)
    place = layout(nodes, none, none, np.zeros(0))
    assert place.shape == (nodes, 2)
    assert np.isfinite(place).all()
    assert len(np.unique(place.round(6), axis=0)) == nodes


@pytest.fixture(scope="module")
def result():
    return campaign("linking", operations={"alpha": 40, "beta": 20}, grip=1.0)


def test_all_of_a_small_group_is_drawn_with_its_owners(result):
    drawn = picture(result)
    assert drawn.accounts == len(drawn.owner) == len(set(result.edges["a"]) | set(result.edges["b"]))
    assert len(drawn.a) == drawn.links == result.edges.height
    owner = dict(zip(result.accounts["account"], result.accounts["operation"], strict=True))
    pairs = sorted(sorted((owner[a], owner[b])) for a, b in result.edges.select("a", "b").iter_rows())
    assert pairs == sorted(sorted((drawn.owner[a], drawn.owner[b])) for a, b in zip(drawn.a, drawn.b, strict=True))


def test_of_a_large_group_each_operation_keeps_its_share(result):
    size, n = 4 * MOST_ACCOUNTS, 5 * MOST_ACCOUNTS
    names = np.array(["alpha"] * (3 * size // 4) + ["beta"] * (size // 4 - 1) + ["rare"] + [""] * (n - size))
    accounts = pl.DataFrame({"provider": ["north"] * n, "account": np.arange(n), "operation": names})
    ring = np.arange(size)
    edges = pl.DataFrame({"provider": ["north"] * size, "a": ring, "b": (ring + 1) % size, "weight": np.ones(size)})
    drawn = picture(replace(result, accounts=accounts, edges=edges))
    counts = dict(zip(*np.unique(drawn.owner, return_counts=True), strict=True))
    assert counts == {"alpha": 225, "beta": 75, "rare": 1}
    assert (drawn.accounts, drawn.links) == (size, size)
    assert len(drawn.a) < size


def test_ids_of_different_providers_are_different_accounts(result):
    accounts = pl.DataFrame(
        {"provider": ["p", "p", "q", "q"], "account": [0, 1, 0, 1], "operation": ["x", "x", "", "y"]}
    )
    edges = pl.DataFrame({"provider": ["p", "q"], "a": [0, 0], "b": [1, 1], "weight": [1.0, 2.0]})
    drawn = picture(replace(result, accounts=accounts, edges=edges))
    assert sorted(drawn.owner) == ["", "x", "x", "y"]


def test_no_links_no_picture(result):
    assert picture(replace(result, edges=pl.DataFrame(schema=EDGES))) is None
    loop = pl.DataFrame({"provider": ["north"], "a": [3], "b": [3], "weight": [1.0]})
    assert picture(replace(result, edges=loop)) is None
