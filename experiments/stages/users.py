"""The honest users of a lab cell: who they are, what they send when, and what the gateway makes of it.

They are drawn from the fitted distributions of campaigns (`experiments.campaign.world.people`): kinds of users, heavy-tailed
rates, schedules, lengths of prompts and answers, networks. All of their requests are judged. The held-out items are asked in
a random sample of the requests, so that heavy users weigh in it as they do in the load, and only these are answered in text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import require
from experiments.campaign.config.population import Population
from experiments.campaign.world.making import lengths, mean_dollars
from experiments.campaign.world.people import Drawn, draw, profiles
from experiments.measure.honest_load import load_table, nobody, percentiles
from experiments.stages.settings import Measure
from lm.examples import from_arrays, to_arrays
from lm.seeds import derived_seed, generator
from tasks.base import Item
from teacher.api.client import Patience
from teacher.api.clock import DAY
from teacher.api.crowd import Crowd
from teacher.api.gateway import Gateway
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts, Requests, Responses
from teacher.api.traffic import PromptLists, Sent, Streams

LOTS = 1 << 32
"""Random draws about honest accounts depend on numbers from here on, so that they are the same with and without others."""


class Everything(NamedTuple):
    """Prompts of a lab cell: users of every kind ask the same items, each account mostly some of its own."""

    prompts: int

    def rows(self, group: str) -> NDArray[np.int32]:
        """See `experiments.campaign.world.people.Shelf`."""
        return np.arange(self.prompts, dtype=np.int32)


class Users(NamedTuple):
    """Honest accounts and their B requests, in order of time.

    Args:
        people: the accounts, A of them.
        requests: ``account`` is a row of ``people``, ``prompt`` a row of the items; lengths are the population's.
        output_tokens: (B,) int32 that a full answer takes, which is what a request reserves.
        sampled: (B,) bool whose answers are generated and scored; each held-out item is asked by one of these.
    """

    people: Drawn
    requests: Requests
    output_tokens: NDArray[np.int32]
    sampled: NDArray[np.bool_]


def drawn_users(items: Sequence[Item], measure: Measure, prices: Prices, seed: int) -> Users:
    """The honest population of a cell; the same for every defense and attack.

    Raises:
        ConfigError: nobody sends anything.
    """
    window = 3600.0 * measure.hours
    population = measure.population
    drawn = derived_seed(seed, "population")
    people, sent = sent_by(population, population.accounts, len(items), prices, drawn, window)
    count = len(sent.time)
    require(count > 0, "measure.population.accounts", measure.population.accounts, "send no request in measure.hours")
    order = np.argsort(sent.time, kind="stable")
    prompt, seeds = sent.prompt[order].astype(np.int64), np.zeros(count, np.int64)
    rng = generator(seed, "honest")
    chosen = rng.choice(count, min(count, len(items)), replace=False)
    prompt[chosen] = rng.permutation(len(items))[: len(chosen)]
    seeds[chosen] = [derived_seed(seed, "honest", items[row].id) for row in prompt[chosen]]
    sampled = np.zeros(count, np.bool_)
    sampled[chosen] = True
    requests = Requests(
        sent.time[order], sent.account[order], prompt, sent.input_tokens[order], seeds, sent.network[order]
    )
    return Users(people, requests, sent.output_tokens[order], sampled)


def sent_by(
    population: Population, accounts: int, prompts: int, prices: Prices, seed: int, window: float
) -> tuple[Drawn, Sent]:
    """So many accounts of a population with ``prompts`` items to ask, and what they send in ``window`` virtual seconds, by
    account, then time."""
    lists, typical = PromptLists(), mean_dollars(lengths("chat_large"), prices)
    people = draw(replace(population, accounts=accounts), Everything(prompts), lists, window / DAY, typical, seed)
    streams = Streams(profiles(population), lists)
    streams.add(people.senders)
    return people, streams.until(window)


def honest_params(measure: Measure, interface: Interface, max_tokens: int) -> Params:
    """What honest users ask for: an answer, with its own probabilities where they are sold."""
    return Params(measure.temperature, max_tokens, top_logprobs=min(1, interface.top_logprobs))


class Served(NamedTuple):
    """What became of the users' requests.

    Args:
        sample: one row a request of the sample: item (its row), account, kind, percentile of its volume, status, waited,
            input_tokens, dollars.
        responses: to admitted ones; ``request`` is a row of ``sample``.
        load: `experiments.measure.honest_load.load_table` of all requests; empty where none is judged.
        accounts: one row an account, from which that was made.
    """

    sample: pl.DataFrame
    responses: Responses
    load: pl.DataFrame
    accounts: pl.DataFrame

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """To be stored; see `stored`."""
        return {"sample": self.sample, "load": self.load, "accounts": self.accounts}

    @property
    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """To be stored as one group."""
        return to_arrays(self.responses)


class Visit:
    """Honest users at a gateway.

    Args:
        gateway: where they open their accounts.
        users: who they are.
        prompts: what is asked at this gateway, by whomever.
        first: row of ``prompts`` at which the users' items begin.
        params: of requests of the sample.
        patience: seconds they wait for one answer.
    """

    def __init__(
        self, gateway: Gateway, users: Users, prompts: Prompts, first: int, params: Params, patience: float
    ) -> None:
        self._gateway, self._users, self._first = gateway, users, first
        self._ids = users.people.register(gateway.accounts, LOTS + np.arange(len(users.people.senders)))
        asked = users.requests
        sent = replace(asked, account=self._ids[asked.account], prompt=asked.prompt + first)
        self.crowd = Crowd(
            gateway, sent, prompts, params, users.output_tokens, users.sampled, Patience(max_wait=patience)
        )

    def finish(self) -> Served:
        """Let the rest of the window pass, and fetch the sample's answers."""
        self.crowd.advance()
        gateway, users, outcome = self._gateway, self._users, self.crowd.outcome()
        responses, booked = self.crowd.answers()
        rows = np.flatnonzero(users.sampled)
        answered = outcome.verdicts.ok[rows]
        tokens, dollars = np.zeros(len(rows), np.int64), np.zeros(len(rows))
        tokens[answered] = gateway.ledger.column("input_tokens")[booked]
        dollars[answered] = gateway.ledger.column("dollars")[booked]
        account, people = users.requests.account, users.people
        count, kinds = len(self._ids), np.array(people.kinds, object)[people.kind]
        refused = ~outcome.verdicts.ok
        spent = np.bincount(gateway.ledger.column("account"), gateway.ledger.column("dollars"), len(gateway.accounts))
        accounts = pl.DataFrame(
            {
                "account": np.arange(count, dtype=np.int32),
                "kind": kinds.tolist(),
                "hard": people.hard,
                "requests": np.bincount(account, minlength=count),
                "refused": np.bincount(account[refused], minlength=count),
                "waited": np.bincount(account, outcome.waited, count),
                "puzzle_seconds": gateway.accounts.work[self._ids],
                "shut_out": gateway.shut_out[self._ids],
                "banned": gateway.accounts.banned[self._ids],
                "dollars": spent[self._ids],
            }
        )
        sample = pl.DataFrame(
            {
                "item": users.requests.prompt[rows],
                "account": account[rows],
                "kind": kinds[account[rows]].tolist(),
                "percentile": percentiles(accounts["requests"])[account[rows]],
                "status": outcome.verdicts.status[rows].astype(np.int32),
                "waited": outcome.waited[rows],
                "input_tokens": tokens,
                "dollars": dollars,
            }
        )
        judged = pl.DataFrame({"account": account, "waited": outcome.waited})
        load = load_table(accounts, judged) if gateway.limited else nobody()
        return Served(sample, _renumbered(responses, rows), load, accounts)


def _renumbered(responses: Responses, rows: NDArray[np.int64]) -> Responses:
    """The same responses with ``request`` a place in ``rows``, which are in order."""
    return replace(responses, request=np.searchsorted(rows, responses.request))


def served_from(tables: dict[str, pl.DataFrame], tensors: dict[str, NDArray[np.generic]]) -> Served:
    """What `Served.tables` and `Served.tensors` were made of."""
    return Served(tables["sample"], from_arrays(Responses, tensors), tables["load"], tables["accounts"])
