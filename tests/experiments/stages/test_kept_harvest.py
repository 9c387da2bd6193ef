"""What a stored harvest keeps besides answers, and that most keep nothing more than they did."""

from types import SimpleNamespace

import numpy as np

from attacks.client import Harvested
from attacks.examples import to_examples
from experiments.stages.harvest import _kept_besides, harvested_of
from lm.examples import to_arrays
from lm.ragged import Ragged
from teacher.api.interface import Interface
from tests.attacks.world import Format, client, pool

OWNED = pool({"chain": 20})
PROMPTS = Ragged.of([[i] for i in range(20)])


def stored(got: Harvested, accounts: int):
    item = {"item": got.item, **_kept_besides(got, accounts)}
    groups = {"item": item, "responses": to_arrays(got.responses)}
    return item, harvested_of(SimpleNamespace(arrays=groups.get, meta={"asked": got.asked}))


def test_prefills_and_accounts_come_back():
    got = client(OWNED, 20, Interface(prefill=True), accounts=3).ask(np.arange(6), prefill=["5", "", "6 7"] * 2)
    _, back = stored(got, 3)
    assert [row.tolist() for row in back.prefill] == [[5], [], [6, 7]] * 2
    assert back.account.tolist() == [0, 1, 2, 0, 1, 2]
    for one, other in zip(to_arrays(to_examples(got, PROMPTS, Format())).items(),
                          to_arrays(to_examples(back, PROMPTS, Format())).items(), strict=True):  # fmt: skip
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])


def test_of_one_account_without_prefill_nothing_more_is_kept():
    item, back = stored(client(OWNED, 20).ask(np.arange(6)), 1)
    assert list(item) == ["item"]
    assert back.prefill is None
    assert back.account is None
    assert to_examples(back, PROMPTS).account is None
