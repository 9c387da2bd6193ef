"""The attack on the API: which prompts were sent, what came back, what it cost; and where a defense looks across
accounts, what became of the honest users who called at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.budget import Budget, allocate
from attacks.client import Client, Harvested
from attacks.examples import to_examples
from attacks.knowledge import Knowledge
from configs.errors import ConfigError
from configs.identity import identity
from experiments.campaign.config.population import ACCOUNT
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import Offer, open_gateway
from experiments.stages.prepare import PrepareStage
from experiments.stages.prompts import draw, prompts_of, public_rows, scored_items, shares
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage
from experiments.stages.sample_texts import TEXTS, harvested_texts
from experiments.stages.settings import TRANSCRIPTS, Measure
from experiments.stages.student_view import for_student
from experiments.stages.users import Visit, drawn_users, honest_params
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples, from_arrays, to_arrays
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Item, Task
from teacher.api.schema import OK, Params, Responses

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class HarvestStage(Stage):
    """Runs the attack's harvest through the defended gateway.

    Args:
        task: where the attacker's prompts come from.
        served: the model behind the API: the teacher, or for ``S_self`` the attacker's own base model.
        base: the attacker's base model (harvests that train in between start from it).
        proxy: the provider's proxy; None where that is the attacker's base model.
        proxy_student: the provider's own student, where a defense uses it.
        prepared: preparation stages by defense name, for those that need one.
        offer: interface, prices and defenses.
        harvest: how the attacker asks.
        budget: what the attacker may spend.
        objective: how the attacker trains in between, where the harvest adapts.
        student: what the attacker trains in between.
        max_tokens: per response.
        seed: of the cell.
        knowledge: what the attacker knows of the API.
        transcripts: see `Measure`; in no key.
        measure: of the honest users who call in the meantime; None where no defense looks across accounts, so that they get
            the same from a gateway of their own (`experiments.stages.honest`).
    """

    name: ClassVar[str] = "harvest"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 4.0

    task: Task
    served: TeacherStage | BaseStage
    base: BaseStage
    prepared: Mapping[str, PrepareStage]
    offer: Offer
    harvest: Harvest
    budget: Budget
    objective: Objective
    student: StudentSpec
    max_tokens: int
    seed: int
    measure: Measure | None = None
    proxy_student: ProxyStudentStage | None = None
    proxy: BaseStage | None = None
    knowledge: Knowledge = field(default_factory=Knowledge)
    transcripts: int = TRANSCRIPTS

    def config(self) -> dict[str, Any]:
        """See `Stage.config`. The objective and the student enter only where the harvest trains in between."""
        trained = {"objective": identity(self.objective), "student": identity(self.student)}
        together = {} if self.measure is None else {"together": self.measure.identity()}
        return {
            **together,
            **({} if self.knowledge.reaches("interface") else {"knows": self.knowledge.level}),
            **({"checkable": list(self.task.checkable)} if self.harvest.checks else {}),
            **(erring(self.budget) if self.harvest.checks else {}),
            "offer": self.offer.identity(),
            "harvest": identity(self.harvest),
            "budget": {name: value for name, value in identity(self.budget).items() if name not in WITH_PARTS},
            "adaptive": trained if self.harvest.trains_between else {},
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def memory(self) -> int:
        """See `Stage.memory`: the attacker's accounts, and the honest population where it is served along."""
        return ACCOUNT * self.budget.accounts + (self.measure.memory() if self.measure is not None else 0)

    def inputs(self) -> dict[str, Stage]:
        """The served model, the attacker's base model, the provider's models, prepared defenses."""
        prepared = {f"prepared.{n}": s for n, s in self.prepared.items()}
        return {"served": self.served, "base": self.base, **self._models.inputs(self._proxy), **prepared}

    @property
    def _models(self) -> ProviderModels:
        return ProviderModels(self.proxy or self.base, self.proxy_student)

    @property
    def _proxy(self) -> str:
        """What the provider's proxy is called among the inputs."""
        return "base" if self.proxy is None else "proxy"

    def run(self, context: Context) -> Artifact:
        """Responses, the pool's items they answer, the attacker's part of the ledger, what was spent, and some of the
        responses as text (`experiments.stages.sample_texts`); with ``measure`` also what `experiments.stages.users.Served`
        holds."""
        served = model_of(self.served, context.inputs["served"])
        base = model_of(self.base, context.inputs["base"])
        items, mix = pool_items(self.task, self.budget, self.seed)
        honest = [] if self.measure is None else scored_items(self.task, self.measure, self.seed)["heldout"]
        prompts = prompts_of(self.task, [*items, *honest], served)
        gateway = open_gateway(
            self.offer,
            served,
            self.served.key,
            self._models.loaded(context.inputs, self._proxy),
            {name: (stage.key, context.inputs[f"prepared.{name}"]) for name, stage in self.prepared.items()},
            context.store,
            derived_seed(self.seed, "gateway"),
        )
        client = Client(
            gateway=gateway,
            prompts=prompts,
            budget=self.budget,
            params=Params(temperature=self.harvest.temperature, max_tokens=self.max_tokens),
            seed=derived_seed(self.seed, "client"),
            pool=len(items),
            encode=served.encode_prompts if self.harvest.own_texts else None,
            interface=self.knowledge.of(self.offer.interface),
        )
        visit = None
        if self.measure is not None:
            users = drawn_users(honest, self.measure, self.offer.prices, self.seed)
            params = honest_params(self.measure, self.offer.interface, self.max_tokens)
            visit = Visit(gateway, users, prompts, len(items), params, self.measure.patience)
            gateway.others = visit.crowd

        def fit_rows(
            rows: Examples, start: LanguageModel | None = None, objective: Objective | None = None, seed: int = 0
        ) -> LanguageModel:
            drawn = derived_seed(self.seed, *(("between",) if seed == 0 else ("between", str(seed))))
            fitted = self.student.fit(start or base, rows, objective or self.objective, drawn, context.progress)
            return self.student.load(self.task, fitted.weights, self.seed)

        def fit(so_far: Harvested, seed: int = 0) -> LanguageModel:
            rows = to_examples(so_far, client.prompts.tokens, served.format)
            return fit_rows(for_student(rows, served, base, self.objective), seed=seed)

        def public(n: int, seed: int = 0) -> Examples:
            named = ("harvest_public",) if seed == 0 else ("harvest_public", str(seed))
            return public_rows(self.task, n, self.budget.mix, served, derived_seed(self.seed, *named))

        pool = Pool(prompts.texts[: len(items)], np.array([item.family for item in items], object), mix)
        harvested = self.harvest.run(
            client,
            pool,
            HarvestContext(
                lambda: base,
                fit,
                generator(self.seed, self.name, self.harvest.name),
                checker(self.task, items, self.budget, self.seed) if self.harvest.checks else undeclared("harvest"),
                fit_rows if self.harvest.trains_between else None,
                public,
            ),
        )
        met = None if visit is None else visit.finish()
        ledger = gateway.ledger.frame().filter(pl.col("account").is_in(client.accounts.tolist()))
        asked, refused = harvested.item, refused_items(client)
        shift = len(prompts.texts) - len(items)  # honest users' prompts lie between the pool and texts of his own
        texts = {}
        if self.transcripts:
            told = (self.task, items, client.prompts.texts, served, harvested, refused, self.transcripts)
            texts[TEXTS] = harvested_texts(*told)
        return Artifact(
            tensors={
                "responses": to_arrays(harvested.responses),
                "item": {
                    "item": np.where(asked < len(items), asked, asked - shift),
                    "refused": np.where(refused < len(items), refused, refused - shift),
                    **_kept_besides(harvested, self.budget.accounts),
                },
                **({} if met is None else {"honest": met.tensors}),
            },
            tables={"ledger": ledger, **texts, **({} if met is None else met.tables)},
            meta={
                "asked": harvested.asked,
                "own_texts": client.owned,
                "findings": dict(harvested.findings),
                **spent(ledger, harvested.asked),
            },
        )


def refused_items(client: Client) -> NDArray[np.int64]:
    """Items of the requests that were never answered, in the order in which they were asked."""
    return np.concatenate([np.zeros(0, np.int64), *(o.requests.prompt[~o.verdicts.ok] for o in client.outcomes)])


WITH_PARTS = ("compute", "checker_error")
"""Of a budget, what enters the keys of those stages only whose parts use it."""


def checker(task: Task, items: Sequence[Item], budget: Budget, seed: int) -> Callable[[int, str], bool | None]:
    """The attacker's own checker of the responses to his pool: None for families that he cannot check, and for texts of his
    own making.

    Of its verdicts, `Budget.checker_error` are wrong: which ones depends on the cell's seed, the item and the text, so that
    harvest, recover steps and refining are told the same of the same response.
    """

    def errs(item: int, text: str) -> bool:
        return derived_seed(seed, "checker", str(item), text) < budget.checker_error * 2**63

    def check(item: int, text: str) -> bool | None:
        if item >= len(items) or items[item].family not in task.checkable:
            return None
        right = task.verify(items[item], text).strict
        return right != errs(item, text) if budget.checker_error else right

    return check


def erring(budget: Budget) -> dict[str, float]:
    """What a stage that uses the checker has in its key besides; nothing for a checker that is always right."""
    return {"checker_error": budget.checker_error} if budget.checker_error else {}


def undeclared(kind: str) -> Callable[[int, str], bool | None]:
    """The checker of parts that do not say that they use it: what it can check is then in no key. It raises
    `ConfigError`."""

    def check(item: int, text: str) -> bool | None:
        raise ConfigError(f"attack.{kind}.checks", False, f"a {kind} part that uses its `check` says `checks = True`")

    return check


def pool_items(task: Task, budget: Budget, seed: int) -> tuple[list[Item], dict[str, float]]:
    """The prompts that the attacker owns and the mix in which he asks them."""
    mix = shares(task, budget.mix)
    items = draw(task, "train", allocate(budget.data, mix), derived_seed(seed, "pool"))
    return items, mix


def spent(ledger: pl.DataFrame, asked: int) -> dict[str, Any]:
    """Attack-side facts of a ledger. ``refused`` counts requests that were never answered, not attempts."""
    accepted = ledger.filter(pl.col("status") == OK)
    return {
        "accepted": accepted.height,
        "refused": asked - accepted.height,
        "input_tokens": int(accepted["input_tokens"].sum()),
        "output_tokens": int(accepted["output_tokens"].sum()),
        "dollars": float(accepted["dollars"].sum()),
        "accounts_used": ledger["account"].n_unique(),
    }


def harvested_of(entry: Entry) -> Harvested:
    """What a stored harvest holds."""
    responses, told = from_arrays(Responses, entry.arrays("responses")), entry.arrays("item")
    given = Ragged(told["prefill.values"], told["prefill.offsets"]) if "prefill.values" in told else None
    return Harvested(told["item"], responses, int(entry.meta["asked"]), prefill=given, account=told.get("account"))


def _kept_besides(harvested: Harvested, accounts: int) -> dict[str, NDArray[Any]]:
    """Columns that say something only of some harvests: with prefills, or from several accounts."""
    kept: dict[str, NDArray[Any]] = {}
    if harvested.prefill is not None:
        kept |= {"prefill.values": harvested.prefill.values, "prefill.offsets": harvested.prefill.offsets}
    if accounts > 1 and harvested.account is not None:
        kept["account"] = harvested.account
    return kept
