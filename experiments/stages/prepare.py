"""What a defense fits once before the API opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from configs.identity import identity
from defenses.base import Defense, Preparation, Traffic, no_traffic, preparation_of
from experiments.campaign.config.population import Population
from experiments.stages.loading import model_of
from experiments.stages.models import TeacherStage
from experiments.stages.past_traffic import benign_traffic, red_team_traffic
from experiments.stages.prompts import public_rows
from experiments.stages.provider_models import ProviderModels, clean_traces, own_items
from experiments.stages.student_view import for_student
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples
from lm.seeds import derived_seed, generator
from student.base import StudentSpec
from student.objectives.sft import SFT

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class PrepareStage(Stage):
    """Runs `Defense.prepare` with the teacher, the provider's other models, its own tasks and clean traces on them; what
    judges requests also gets past traffic of the honest population.

    Args:
        teacher: to be defended.
        models: that the provider has besides.
        defense: what is prepared.
        max_tokens: of a response.
        seed: of the cell.
        population: whose past traffic there is; None for none.
        student: how students are trained, where the defense trains some (`Defense.trains`).
    """

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 4.0

    teacher: TeacherStage
    models: ProviderModels
    defense: Defense
    max_tokens: int
    seed: int
    population: Population | None = None
    student: StudentSpec | None = None

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        past = {} if self.population is None else {"population": identity(self.population)}
        trained = {} if self.student is None else {"student": identity(self.student)}
        own = {"defense": preparation_of(self.defense), "max_tokens": self.max_tokens, "seed": self.seed}
        return {**own, **past, **trained}

    def inputs(self) -> dict[str, Stage]:
        """The teacher and the models that the provider has besides."""
        return {"teacher": self.teacher, **self.models.inputs("proxy")}

    def run(self, context: Context) -> Artifact:
        """The tensors that the defense prepared."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        task, models = self.teacher.task, self.models.loaded(context.inputs, "proxy")
        preparation = Preparation(
            teacher=teacher,
            proxy=models["proxy"].load,
            clean_traces=lambda n: clean_traces(self.teacher, teacher, n, self.max_tokens, self.seed, context.store),
            rng=generator(self.seed, self.name),
            benign=self._benign,
            red_team=lambda n: red_team_traffic(task, n, self.max_tokens, derived_seed(self.seed, "red_team")),
            items=lambda n: own_items(task, n, teacher, self.seed),
            model=lambda name: models[name].load(),
            fit=lambda rows, steps=None: self._fitted(rows, steps, teacher, models["proxy"].load(), context),
            public=lambda n, seed: public_rows(
                task, n, {}, teacher, derived_seed(self.seed, "provider", "public", str(seed))
            ),
            progress=context.progress,
        )
        return Artifact(tensors={"prepared": self.defense.prepare(preparation)})

    def _benign(self, count: int) -> Traffic:
        if self.population is None:
            return no_traffic(count)
        return benign_traffic(self.teacher.task, self.population, count, derived_seed(self.seed, "benign"))

    def _fitted(
        self, rows: Examples, steps: int | None, teacher: LanguageModel, base: LanguageModel, context: Context
    ) -> LanguageModel:
        """A student trained on rows in the teacher's tokens."""
        if self.student is None:
            raise RuntimeError("a defense that trains students says so: trains: ClassVar[bool] = True")
        own = for_student(rows, teacher, base, SFT())
        student = self.student if steps is None else self.student.within(steps)
        fitted = student.fit(base, own, SFT(), derived_seed(self.seed, "proxy"), context.progress)
        return student.load(self.teacher.task, fitted.weights, self.seed)
