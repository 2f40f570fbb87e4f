"""Derived plans in words: everything is told, once, and fits."""

from __future__ import annotations

import math
import re

import pytest

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels
from autoseg.fingerprint.model import CaseFacts, Fingerprint, Intensities
from autoseg.plan import Budget, Plan, Stage
from autoseg.planner import Machine, derive_plan
from autoseg.reporting import explain
from autoseg.workflow.planning import DERIVED

INTENSITIES = Intensities(mean=100, median=99, std=77, min=-1000, max=3000, percentile_00_5=-79, percentile_99_5=304)


def features(stage: Stage) -> float:
    """Channels × voxels of the encoder's feature maps in a batch."""
    voxels, total = float(math.prod(stage.sampling.patch_size)), 0.0
    for width, stride in zip(stage.network.features, stage.network.strides, strict=True):
        voxels /= math.prod(stride)
        total += width * voxels
    return stage.sampling.batch_size * total


def derived(budget: Budget, preset: str, shape: tuple[int, int, int], channels: tuple[str, ...]) -> Plan:
    labels = Labels(values={"background": 0, "left kidney": 1, "right kidney": 2})
    fingerprint = Fingerprint(
        dataset=Description(name="invented", channels=channels, labels=labels),
        cases=tuple(
            CaseFacts(
                name=f"case_{place}",
                shape=shape,
                spacing_mm=(3.0, 0.8, 0.8),
                shape_after_crop=shape,
                relative_size=1.0,
                orientation="LPS",
            )
            for place in range(40)
        ),
        intensities=(INTENSITIES,) * len(channels),
        median_relative_size=1.0,
        labels={},
    )
    machine = Machine(
        "bfloat16",
        lambda stage, description: features(stage) / 1e8,
        lambda stage, description: int(5e8 + 80 * features(stage)),
        lambda stage, description, image: 4 * math.prod(image),
        margin=0.1,
    )
    return derive_plan(fingerprint, budget, machine, preset=preset)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((Budget(device="cuda", memory_gb=8), "standard", (200, 512, 512), ("CT",)), id="four stages"),
        pytest.param((Budget(memory_gb=8, minutes=10), "standard", (40, 60, 60), ("T1", "T2")), id="ten minutes"),
        pytest.param((Budget(memory_gb=8), "nnunet", (200, 512, 512), ("CT",)), id="as nnU-Net"),
    ],
)
def plan(request: pytest.FixtureRequest) -> Plan:
    return derived(*request.param)


@pytest.fixture(scope="module")
def text(plan: Plan) -> str:
    return explain(plan)


def test_the_stages_are_those_that_are_meant(plan: Plan) -> None:
    large = plan.budget.minutes is None
    assert list(plan.stages) == ["2d", *["3d_lowres"] * large, "3d_fullres", *["3d_cascade"] * large]
    assert not large or set(plan.stages) == set(DERIVED)  # those that may be asked for before there is a plan


def test_every_decision_is_told_and_its_reason_once_a_stage(plan: Plan, text: str) -> None:
    flat = " ".join(text.split())
    for path, decision in plan.decisions.items():
        within = path.split(".", 2)[2]
        assert within == "memory" or re.search(rf"[\[ ]{re.escape(within)}[;,\]]", flat), path
        assert " ".join(decision.reason.split()) in flat
        assert " ".join(decision.alternative.split()) in flat
        assert f"rule {decision.rule}" in flat or decision.rule == "conventions"
    for stage in flat.split("Stage ")[1:]:
        reasons = [decision.reason for path, decision in plan.decisions.items() if len(decision.reason) > 30]
        assert max(stage.count(reason) for reason in reasons) <= 1


def test_nothing_is_marked_where_nobody_changed_anything(text: str) -> None:
    assert "<-" not in text
    assert "by hand " not in text.replace("a value by hand (stages", "")


def test_it_is_for_people(plan: Plan, text: str) -> None:
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search(r"[{}\"]|\bnull\b|\bTrue\b|\bFalse\b|\bNone\b|\d{7}|\de[-+]\d", text)
    told = re.sub(r"\[[^\]]*\]", "", text)  # what stands outside the brackets
    names = {part for path in plan.decisions for part in path.split(".")[2:]}
    assert not [name for name in names if "_" in name and name in told]


def test_the_same_plan_gives_the_same_text(plan: Plan, text: str) -> None:
    assert explain(Plan.model_validate_json(plan.model_dump_json())) == text
