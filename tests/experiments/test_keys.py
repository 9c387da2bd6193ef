"""What keys hold: names, versions, contents and models; and what they do not: where code and files are."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from omegaconf import OmegaConf

import configs
from attacks.base import Harvest, Recover, Refine
from attacks.harvest.random import Random
from attacks.recover.dedup import Dedup
from configs.build import build, describe
from configs.content import STEP, WHOLE, content_of
from configs.errors import ConfigError
from configs.identity import Part, identity
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import Limits
from defenses.base import NOBODY, Defense, preparation_of
from defenses.decoding.antidistillation import Antidistillation
from defenses.decoding.permuted import Permuted
from defenses.decoding.temperature import Temperature
from defenses.release.trace_hidden import TraceHidden
from experiments.campaign.config import figures
from experiments.campaign.from_config import stage_from
from experiments.cell import Cell
from experiments.cell_from import cell_from
from experiments.claims.base import Claim
from experiments.compose.compose import compose_one
from experiments.stages import offer as offers
from experiments.stages.harvest import HarvestStage
from experiments.stages.honest import HonestStage
from experiments.stages.row import RowStage
from experiments.store.stage import Stage
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec
from student.mini import MiniStudent
from student.objectives.base import Objective
from student.objectives.sft import SFT
from tasks.base import Task
from tasks.mini import MiniTask
from tasks.text_judge import TextJudge
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.huggingface import HFTeacher
from teacher.mini import MiniTeacher
from tests.experiments.test_cell import TINY
from tests.lm import tiny

FOLDER = Path(configs.__file__).parent
KINDS = (Defense, Harvest, Recover, Refine, Objective, Task, ModelSpec, Claim, Pretrained, TextJudge)


def classes() -> Iterator[type]:
    """Every class that a YAML of the project names."""

    def named(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            if "_target_" in node:
                yield node["_target_"]
            for inner in node.values():
                yield from named(inner)

    found = {name for path in FOLDER.rglob("*.yaml") for name in named(OmegaConf.to_container(OmegaConf.load(path)))}
    for name in sorted(found):
        module, _, own = name.rpartition(".")
        yield getattr(importlib.import_module(module), own)


PARTS = [kind for kind in classes() if issubclass(kind, Part)]


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.__name__)
def test_every_part_has_a_name_and_a_version_of_its_own(kind):
    assert isinstance(vars(kind)["name"], str)
    assert isinstance(vars(kind)["version"], int)
    assert issubclass(kind, KINDS)


def test_names_are_unique_within_their_kind():
    names = [(kind.kind, kind.name) for kind in PARTS]
    assert len(set(names)) == len(names) > 30


def cell(*overrides: str) -> Cell:
    return cell_from(compose_one([*TINY, *overrides]).config)


def below(stage: Stage, path: str = "row") -> Iterator[tuple[str, Stage]]:
    yield path, stage
    for name, needed in stage.inputs().items():
        yield from below(needed, f"{path}/{name}")


def keys(*overrides: str) -> dict[str, str]:
    return {path: stage.key for path, stage in below(cell(*overrides).row_stage())}


DEFENDED = {"prepare", "harvest", "honest", "costs", "tampering"}


@pytest.mark.parametrize(
    ("overrides", "part", "stages"),
    [
        (["defense=antidistillation"], Antidistillation, DEFENDED),
        (["defense=permuted"], Permuted, DEFENDED - {"prepare"}),
        (["defense=permuted"], Antidistillation, DEFENDED),
        (["defense=temperature"], Temperature, DEFENDED),
        (["defense=query_quota"], QueryQuota, DEFENDED),
        (["defense=trace_hidden"], TraceHidden, DEFENDED),
        (["attack=clean"], Dedup, {"training_set"}),
        (["attack=clean"], Random, {"harvest"}),
        (["attack=clean"], SFT, {"student"}),
        ([], MiniTask, {"teacher", "base", "scores"}),
        ([], MiniTeacher, {"teacher"}),
        ([], MiniStudent, {"base", "student"}),
        (["defense=temperature"], SFT, {"student"}),
    ],
)
def test_a_raised_version_changes_what_the_part_influenced_and_nothing_else(overrides, part, stages, monkeypatch):
    before = keys(*overrides)
    monkeypatch.setattr(part, "version", part.version + 1)
    changed = set()
    for path, stage in below(cell(*overrides).row_stage()):
        defended = not isinstance(stage, (HarvestStage, HonestStage)) or bool(stage.offer.defenses)
        own = stage.name in stages and (defended or stages not in (DEFENDED, DEFENDED - {"prepare"}))
        inputs = any(p.startswith(f"{path}/") and before[p] != s.key for p, s in below(stage, path))
        assert (stage.key != before[path]) == (own or inputs), path
        changed |= {stage.name} if stage.key != before[path] else set()
    there = {stage.name for _, stage in below(cell(*overrides).row_stage())}
    assert (stages & there) | {"row"} <= changed


def test_no_key_holds_where_a_class_is():
    for overrides in (["defense=[token_bucket,antidistillation]", "attack=adaptive"], ["defense=mmd_window"]):
        for _, stage in below(cell(*overrides).row_stage()):
            text = json.dumps(stage.config())
            for package in ("_target_", "defenses.", "attacks.", "student.", "teacher.", "tasks.", "api."):
                assert package not in text, stage.name


LOUD = '''
"""A defense."""
from dataclasses import dataclass
from typing import ClassVar
from defenses.base import Defense

@dataclass(frozen=True)
class {kind}(Defense):
    """Does nothing."""
    name: ClassVar[str] = "{name}"
    version: ClassVar[int] = 1
    volume: float = 1.0

    def release(self, responses, context):
        return responses
'''


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = []

    def make(module: str, kind: str, name: str = "loud") -> type[Defense]:
        (tmp_path / f"{module}.py").write_text(LOUD.format(kind=kind, name=name))
        importlib.invalidate_caches()
        loaded.append(module)
        return getattr(importlib.import_module(module), kind)

    yield make
    for module in loaded:
        sys.modules.pop(module, None)


def test_a_moved_and_renamed_class_keeps_its_rows(made):
    def row(defense: Defense) -> RowStage:
        whole = cell()
        return dataclasses.replace(
            whole, offer=dataclasses.replace(whole.offer, defenses={"loud": defense})
        ).row_stage()

    one, other, stranger = made("here", "Loud"), made("elsewhere_now", "Shouting"), made("third", "Loud", "other")
    assert row(one()).key == row(other()).key
    assert row(one()).key != row(one(volume=2.0)).key
    assert row(one()).key != row(stranger()).key


def test_a_part_without_a_name_is_refused_and_told_what_to_add(monkeypatch):
    node = describe(TraceHidden())
    for attribute, hint in (("name", r"ClassVar\[str\] = 'my_method'"), ("version", r"ClassVar\[int\] = 1")):
        with monkeypatch.context() as patch:
            patch.delattr(TraceHidden, attribute)
            with pytest.raises(ConfigError, match=rf"defense\.x\._target_ = .*TraceHidden.* add `{attribute}: {hint}`"):
                build(node, Defense, "defense.x")

    class Quieter(TraceHidden):
        """Its parent's name is not its own."""

    with pytest.raises(ConfigError, match="has no name of its own"):
        identity(Quieter())


def test_what_stands_in_for_a_plain_dataclass_says_who_it_is():
    @dataclasses.dataclass(frozen=True)
    class Cheap(Prices):
        """Computes something else."""

    assert identity(Prices()) == {f.name: getattr(Prices(), f.name) for f in dataclasses.fields(Prices)}
    with pytest.raises(ConfigError, match="has no name of its own"):
        identity(Cheap())
    assert "name" not in identity(Limits())


class Helped(Antidistillation):
    """Overrides what its parent's `prepare` calls."""

    name: ClassVar[str] = "helped"
    version: ClassVar[int] = 1

    def _gradient(self) -> None:
        """Another one."""


class Further(Permuted):
    """Declares nothing itself."""

    name: ClassVar[str] = "further"
    version: ClassVar[int] = 1


def test_a_subclass_prepares_for_itself_unless_it_says_otherwise():
    parent = Antidistillation(lam=1.0)
    assert preparation_of(Permuted(lam=1.0)) == preparation_of(parent) == preparation_of(Antidistillation(lam=9.0))
    assert preparation_of(Helped(lam=1.0)) != preparation_of(parent)
    assert preparation_of(Further(lam=1.0)) != preparation_of(parent)
    assert preparation_of(Helped(lam=0.5)) != preparation_of(Helped(lam=0.25)), "it may read other fields"


class UsesProxy(Temperature):
    """Decodes with the proxy and prepares nothing."""

    name: ClassVar[str] = "uses_proxy"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("proxy",)


@pytest.mark.parametrize(("defense", "same"), [(UsesProxy(1.5), False), (Temperature(1.5), True)])
def test_a_proxy_that_a_defense_may_decode_with_is_in_the_key_of_what_was_sampled(defense, same, monkeypatch):
    seen = []
    monkeypatch.setattr(offers, "ModelBackend", lambda lm, processors, store, found, *_: seen.append(found))
    monkeypatch.setattr(offers, "Gateway", lambda **_: None)
    offer = offers.Offer(Interface(), Prices(), {"d": defense})
    for proxy in ("width 64", "width 96"):
        models = {"proxy": offers.ProviderModel(proxy, lambda: None)}
        offers.open_gateway(offer, SimpleNamespace(format=None), "teacher", models, {}, None, 0)
    assert (seen[0] == seen[1]) == same


def test_a_proxy_that_is_not_declared_cannot_be_used(monkeypatch):
    asked = []
    monkeypatch.setattr(Temperature, "decode", lambda self, serving, _: asked.append(serving.proxy))
    monkeypatch.setattr(offers, "ModelBackend", lambda lm, processors, store, found, *_: processors(NOBODY))
    monkeypatch.setattr(offers, "Gateway", lambda **_: None)
    for defense in (Temperature(1.5), UsesProxy(1.5)):
        offer = offers.Offer(Interface(), Prices(), {"d": defense})
        models = {"proxy": offers.ProviderModel("p", lambda: "the proxy")}
        offers.open_gateway(offer, SimpleNamespace(format=None), "t", models, {}, None, 0)
    with pytest.raises(RuntimeError, match="says so: uses"):
        asked[0]()
    assert asked[1]() == "the proxy"


def test_a_local_model_that_is_overwritten_is_another_and_a_copy_is_the_same(tmp_path):
    place, copy = tmp_path / "model", tmp_path / "copy"
    tiny.save(place)
    before = HFTeacher(str(place))
    shutil.copytree(place, copy)
    assert before.content() == HFTeacher(str(copy)).content() != ""
    assert identity(before) == identity(HFTeacher(str(copy)))
    assert str(tmp_path) not in json.dumps(identity(before))
    weights = place / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert identity(HFTeacher(str(place))) != identity(before)
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert HFTeacher(str(copy)).content() != before.content()
    assert HFTeacher("somebody/model").content() == ""
    assert identity(HFTeacher("somebody/model")) != identity(HFTeacher("somebody/else"))


def test_a_large_file_is_known_by_samples(tmp_path):
    file = tmp_path / "weights.safetensors"
    with file.open("wb") as stream:
        stream.truncate(WHOLE + 3 * STEP)
    first = content_of([file])
    with file.open("r+b") as stream:
        stream.seek(WHOLE + STEP)
        stream.write(bytes([1]) * STEP)
    second = content_of([file])
    with file.open("ab") as stream:
        stream.write(b"x")
    assert len({first, second, content_of([file])}) == 3


def test_a_campaign_knows_the_versions_of_its_parts_and_the_content_of_its_data(tmp_path, monkeypatch):
    from defenses.admission.windows.prada import PRADA

    def stage(policy: str) -> Stage:
        return stage_from(compose_one([f"policy={policy}"], "campaign").config)

    before = {policy: stage(policy).key for policy in ("none", "watch", "limits")}
    watching = {type(d) for d in stage("watch").campaign.policy.detectors.values()}
    assert "_target_" not in json.dumps(stage("full").config())
    kind = PRADA if PRADA in watching else next(iter(watching))
    with monkeypatch.context() as patch:
        patch.setattr(kind, "version", 2)
        assert stage("none").key == before["none"]
        assert stage("watch").key != before["watch"]
    shutil.copytree(figures.DATA, tmp_path / "data")
    monkeypatch.setattr(figures, "DATA", tmp_path / "data")
    (tmp_path / "data" / "curves.csv").write_text("other curves, which the simulation does not read")
    assert stage("none").key == before["none"]
    (tmp_path / "data" / "prompts_topics.toml").write_text("other topics")
    assert stage("none").key != before["none"]
