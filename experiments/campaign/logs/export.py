"""Request logs of simulated campaigns, in the form that `request_log` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from configs.errors import require
from experiments.campaign.campaign_result import HONEST as NOBODY
from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.logs.log_columns import HONEST
from experiments.campaign.world.provider import Provider, Watched
from experiments.campaign.world.simulation import Simulation
from teacher.api.schema import FORBIDDEN, OK, RATE_LIMITED

BEGIN = 1_767_225_600.0
"""Unix seconds of 2026-01-01T00:00:00Z, the first midnight of every simulated log."""


def export(campaign: Campaign, path: Path, threads: int = 1) -> tuple[CampaignResult, dict[str, Path]]:
    """Simulate a campaign and write what its providers' logs would hold.

    Args:
        campaign: simulated here, whether or not it is in a store: a store holds no single requests.
        path: a ``.parquet`` file; of several providers each gets its own, with its name before the ending.
        threads: see `Simulation`.

    Returns:
        what the simulation found, and the files by provider.
    """
    import pyarrow as pa
    from pyarrow import parquet

    require(path.suffix == ".parquet", "--write-logs", path.name, "must end in .parquet")
    world = Simulation(campaign, threads)
    names = [p.name for p in world.providers]
    files = {name: path if len(names) == 1 else path.with_stem(f"{path.stem}_{name}") for name in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Any] = {}

    def listen(provider: Provider, seen: Watched) -> None:
        table = _rows(world, provider, seen).to_arrow()
        if provider.name not in writers:
            writers[provider.name] = parquet.ParquetWriter(files[provider.name], table.schema, compression="zstd")
        writers[provider.name].write_table(pa.table(table).cast(writers[provider.name].schema))

    try:
        result = world.run(listen=listen)
    finally:
        for writer in writers.values():
            writer.close()
    return result, files


def _rows(world: Simulation, provider: Provider, seen: Watched) -> pl.DataFrame:
    requests, accounts = seen.requests, provider.accounts
    who = requests.account
    label = world.records.labels(provider, world.mimics)
    population = provider.population
    kind = np.full(len(accounts), None, object)
    kind[: provider.honest] = np.array(population.kinds, object)[population.kind]
    kind[label != NOBODY] = None
    status = np.select([seen.served, seen.refused], [OK, RATE_LIMITED], FORBIDDEN).astype(np.int16)
    network = accounts.network[who] if requests.network is None else requests.network
    texts = pl.Series(provider.prompts.texts, dtype=pl.String)
    times = {"time": BEGIN + requests.time, "opened": BEGIN + accounts.created[who]}
    return pl.DataFrame(
        {
            "time": times["time"],
            "account": pl.Series(who).cast(pl.String),
            "prompt": texts.gather(pl.Series(requests.prompt)),
            "input_tokens": requests.input_tokens,
            "output_tokens": seen.output_tokens,
            "network": pl.Series(network).cast(pl.String),
            "payment": pl.Series(accounts.payment[who]).cast(pl.String),
            "fingerprint": pl.Series(accounts.fingerprint[who]).cast(pl.String),
            "organisation": pl.Series(accounts.organisation[who]).cast(pl.String),
            "opened": times["opened"],
            "status": status,
            "label": pl.Series(np.where(label == NOBODY, HONEST, label)[who].tolist(), dtype=pl.String),
            "kind": pl.Series(kind[who].tolist(), dtype=pl.String),
        }
    )
