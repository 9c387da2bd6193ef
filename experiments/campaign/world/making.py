"""A world made from its configuration: providers with their honest accounts, operations with theirs, and networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attacks.accounts.operator import Market, Operator, Surroundings
from configs.errors import require
from experiments.campaign.config import figures
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from experiments.campaign.world.homes import CLOUD_NETWORKS, NETWORKS
from experiments.campaign.world.library import Library
from experiments.campaign.world.people import AMPLITUDES, ZONES, Drawn, draw, profiles
from experiments.campaign.world.provider import PAYMENTS, Provider
from lm.seeds import derived_seed, generator
from teacher.api.prices import Prices
from teacher.api.traffic import PromptLists

PROXIES = NETWORKS + CLOUD_NETWORKS
"""Networks from here on are data centres that only proxies use."""
RESIDENTIAL = 0.5
"""Share of proxy networks that are homes of honest users too (source: I)."""
COMMON, FEWEST_COMMON = 0.1, 20
"""Networks that several operations rent, as a share of all that they rent (source: I), and how many there are at least."""
MOST_PROXIES = 20_000
"""That operations can rent together, so that there are enough distinct ones."""
CUSTOMERS = ("chat", "code", "reasoning", "conversation")
"""Library groups that unrelated customers of a proxy ask from."""


def mean_dollars(sizes: tuple[float, float, float, float], prices: Prices) -> float:
    """Mean list price of requests of these lengths (see `PromptLists.add`), in dollars."""
    tokens = [np.exp(mu + sigma**2 / 2) for mu, sigma in (sizes[:2], sizes[2:])]
    return float((tokens[0] * prices.input + tokens[1] * prices.output) / 1e6)


def people(population: Population, campaign: Campaign, library: Library, lists: PromptLists, seed: int) -> Drawn:
    """A population whose prompts are added to ``lists``."""
    return draw(population, library, lists, campaign.days, mean_dollars(lengths("chat_large"), campaign.prices), seed)


def provider(
    campaign: Campaign,
    name: str,
    library: Library,
    lists: PromptLists,
    prepared: Mapping[str, Mapping[str, object]],
    threads: int,
) -> Provider:
    """The named provider of the market, before its first request."""
    place = campaign.market[name]
    population = replace(campaign.population, accounts=campaign.honest(name))
    return Provider(
        name,
        campaign.policy if place.guarded else Policy(),
        people(population, campaign, library, lists, derived_seed(campaign.seed, "population", name)),
        profiles(campaign.population),
        lists,
        library.prompts,
        campaign.prices,
        prepared if place.guarded else {},  # type: ignore[arg-type]
        derived_seed(campaign.seed, "provider", name),
        threads,
    )


def operators(
    campaign: Campaign, providers: list[Provider], library: Library, lists: PromptLists, purpose: str = "operations"
) -> dict[str, Operator]:
    """The operations that harvest, each with its own accounts and proxies; those that mimic honest accounts are not among
    them (see `mimics`)."""
    markets = [Market(p.accounts, p.attack_streams, p.honest, PAYMENTS) for p in providers]
    customers = np.array([lists.add(library.rows(group), lengths("chat_large")) for group in CUSTOMERS], np.int32)
    rented = sum(operation.networks for operation in campaign.operations.values() if not operation.mimic)
    require(rented <= MOST_PROXIES, "campaign.operations.networks", rented, f"must be at most {MOST_PROXIES} together")
    taken = shared = networks(max(round(COMMON * rented), FEWEST_COMMON), generator(campaign.seed, purpose, "shared"))
    found = {}
    for number, (name, operation) in enumerate(campaign.operations.items()):
        if operation.mimic:
            continue
        own = networks(operation.networks, generator(campaign.seed, purpose, name, "networks"), taken)
        taken = np.concatenate([taken, own])
        around = Surroundings(
            markets=markets,
            lists=lists,
            wordings=lambda capability: wordings(library, capability),
            lengths=asked,
            customers=customers,
            own_networks=own,
            shared_networks=shared,
            diurnal=np.arange(ZONES * AMPLITUDES, dtype=np.int16),
            flat=ZONES * AMPLITUDES,
            release_days=campaign.release_days,
        )
        found[name] = Operator(operation, number, around, generator(campaign.seed, purpose, name))
    return found


def mimics(campaign: Campaign, provider: Provider) -> dict[str, NDArray[np.int32]]:
    """Accounts of operations that do as honest ones do: drawn from the honest, told apart by nothing but this name."""
    rng = generator(campaign.seed, "mimics")
    order, found, taken = rng.permutation(provider.honest).astype(np.int32), {}, 0
    for name, operation in campaign.operations.items():
        if operation.mimic:
            found[name] = np.sort(order[taken : taken + operation.accounts])
            taken += operation.accounts
    return found


def wordings(library: Library, capability: str) -> list[NDArray[np.int32]]:
    """Rows that ask for a capability, by wording."""
    rows = library.rows(f"distil.{capability}")
    template = library.template[rows]  # in order
    return np.split(rows, np.flatnonzero(np.diff(template)) + 1)


def networks(count: int, rng: np.random.Generator, taken: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
    """(count,) proxy networks, each once and none of those that are taken: homes of honest users by their popularity, and
    data centres of the proxies' own."""
    found = np.zeros(0, np.int32)
    while len(found) < count:
        homes = (NETWORKS * rng.random(count) ** 1.3).astype(np.int32)
        centres = (PROXIES + rng.integers(0, 20_000, count)).astype(np.int32)
        drawn = np.concatenate([found, np.where(rng.random(count) < RESIDENTIAL, homes, centres).astype(np.int32)])
        first = np.sort(np.unique(drawn, return_index=True)[1])
        found = drawn[first] if taken is None else drawn[first][~np.isin(drawn[first], taken)]
    return found[:count]


def lengths(workload: str) -> tuple[float, float, float, float]:
    """Of a fitted workload, as `PromptLists.add` takes them."""
    row = figures.workload(workload)
    return row["input_ln_mu"], row["input_ln_sigma"], row["output_ln_mu"], row["output_ln_sigma"]


def asked(capability: str) -> tuple[float, float, float, float]:
    """Lengths of requests for distillation (source: I): questions as the workload's, answers in full, as of reasoning."""
    questions = "code" if capability in ("coding", "agentic_coding", "tool_use", "computer_use") else "reasoning"
    return (*lengths(questions)[:2], *lengths("reasoning")[2:])
