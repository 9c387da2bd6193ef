"""Refuses what takes a teacher that can be asked, where there are only stored answers, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from attacks.base import Harvest
from attacks.budget import Budget
from configs.errors import ConfigError, require
from defenses.base import Defense, hooks_of
from experiments.stages.offer import SAMPLING
from tasks.base import Task
from teacher.api.interface import Interface
from teacher.transcripts import Transcripts

ASKS = "takes a teacher that can be asked anew, and stored transcripts cannot"


def check_stored(
    teacher: Transcripts,
    defenses: Mapping[str, Defense],
    harvest: Harvest,
    budget: Budget,
    interface: Interface,
    task: Task,
) -> None:
    """Refuse defenses that act while the teacher samples or that run it, harvests that ask what is not stored or more often
    than it is stored, and logprobs beyond those that are stored.

    Raises:
        ConfigError: says which, and why.
    """
    for name, defense in defenses.items():
        acts = [hook for hook in SAMPLING if hook in hooks_of(defense)]
        reason = f"acts while the teacher samples ({', '.join(acts)}): it {ASKS}; what acts on finished text works"
        require(not acts, f"defense.{name}", type(defense).__name__, reason)
        require(not defense.asks_teacher(), f"defense.{name}", type(defense).__name__, f"runs the teacher: it {ASKS}")
        reads = defense.reads_logprobs
        if reads < 0 or reads > teacher.top_logprobs:
            wanted = "all logprobs of a token" if reads < 0 else f"{reads} logprobs a token"
            raise ConfigError(f"defense.{name}", wanted, f"are read, and {teacher.top_logprobs} are stored")
    require(not harvest.own_texts, "attack.harvest", harvest.name, f"asks texts of the attacker's own: it {ASKS}")
    for need in harvest.needs:
        raise ConfigError("attack.harvest", harvest.name, f"needs {need}: it {ASKS}")
    if interface.top_logprobs > teacher.top_logprobs:
        reason = f"sells more than the {teacher.top_logprobs} stored for a token (teacher.logprobs names the column)"
        raise ConfigError("api.top_logprobs", interface.top_logprobs, reason)
    times = 1 if interface.seed else harvest.draws_of_one(budget)
    for family in task.families if times > 1 else ():
        for item in task.items("train", family, task.size("train", family), 0):
            stored = teacher.stock[item.prompt.strip()]
            reason = f"asks a prompt up to {times} times, and {stored} response(s) to {item.prompt[:60]!r} are stored"
            require(stored >= times, "attack.harvest", harvest.name, reason)
