"""A plan in words."""

from __future__ import annotations

from typing import Any

import pytest

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels, Region
from autoseg.plan import Budget, Decision, Plan, Stage
from autoseg.plan.loss import SoftDice
from autoseg.plan.network import PlainUNet
from autoseg.plan.preprocessing import Preprocessing, ZScore
from autoseg.plan.sampling import Sampling
from autoseg.reporting import explain

STAGE = Stage(
    dimensions=2,
    preprocessing=Preprocessing(spacing_mm=(1.0, 1.0), normalisation=(ZScore(),)),
    network=PlainUNet(
        features=(8, 16),
        kernels=((3, 3), (3, 3)),
        strides=((1, 1), (2, 2)),
        encoder_convolutions=(2, 2),
        decoder_convolutions=(2,),
    ),
    sampling=Sampling(patch_size=(32, 32), batch_size=4),
    augmentation=(),
    loss=(SoftDice(),),
)
DECISIONS = {
    "stages.2d.sampling.batch_size": Decision(
        value=4, rule="batch_size", facts={"memory_gb": 8.0, "largest": 12}, reason="Twelve would take too long."
    ),
    "stages.2d.network.features": Decision(value=[8, 16], rule="hand-set", reason="Set with --set."),
    "stages.2d.preprocessing.spacing_mm": Decision(
        value=[1.0, 1.0],
        rule="target_spacing",
        facts={"spacings_mm": [[1.0, 1.0]] * 200},
        reason="The median of the cases. " + "It is told at some length, as a reason may be. " * 4,
    ),
    "budget.minutes": Decision(value=20.0, rule="hand-set", reason="Asked for."),
}


def plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "dataset": Description(
            name="Hippocampus",
            channels=("MRI",),
            labels=Labels(values={"background": 0, "anterior": 1, "posterior": 2}),
        ),
        "budget": Budget(memory_gb=8, minutes=20),
        "stages": {"2d": STAGE},
        "decisions": DECISIONS,
    }
    return Plan(**{**fields, **changes})


TEXT = """\
Plan 'default'
  dataset   Hippocampus, 3-D images
  channels  MRI
  labels    background 0, anterior 1, posterior 2
  budget    cpu, 8 GB of memory, 20 minutes for each model
  stages    2d

In general
  budget.minutes = 20
      Asked for.
      rule: hand-set

Stage 2d

  network
    features = [8, 16]
        Set with --set.
        rule: hand-set

  sampling
    batch_size = 4
        Twelve would take too long.
        rule: batch_size; from memory_gb 8, largest 12
"""


def test_whole_text() -> None:
    decisions = {path: DECISIONS[path] for path in DECISIONS if path != "stages.2d.preprocessing.spacing_mm"}
    assert explain(plan(decisions=decisions)) == TEXT


def test_parts_come_in_the_order_of_the_work_and_others_last() -> None:
    paths = [
        "inference.overlap",
        "loss",
        "novelty",
        "training.epochs",
        "network.kind",
        "preprocessing.crop",
        "dimensions",
    ]
    decisions = {f"stages.2d.{path}": Decision(value=1, rule="r", reason="Because.") for path in paths}
    lines = explain(plan(decisions=decisions)).splitlines()
    found = [line for line in lines[lines.index("Stage 2d") + 1 :] if line.startswith("  ") and line[2] != " "]
    assert found == [
        "  dimensions = 1",
        "  preprocessing",
        "  network",
        "  loss = 1",
        "  training",
        "  inference",
        "  novelty = 1",
    ]


def test_a_decision_about_a_whole_stage_comes_first() -> None:
    whole = Decision(value="nnunet", rule="--like", reason="Taken from another plan.")
    decisions = {"stages.2d.loss": Decision(value=1, rule="r", reason="Because."), "stages.2d": whole}
    lines = explain(plan(decisions=decisions)).splitlines()
    start = lines.index("Stage 2d") + 1
    assert lines[start : start + 4] == ["  2d = nnunet", "      Taken from another plan.", "      rule: --like", ""]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "loss = null"),
        ("bfloat16", "loss = bfloat16"),
        (1 / 3, "loss = 0.333333"),
        ([[1, 1], [2.0, 2.0]], "loss = [[1, 1], [2, 2]]"),
        ({"kind": "sgd", "momentum": 0.99, "weight_decay": 3e-5}, "loss = sgd: momentum 0.99, weight_decay 3e-05"),
        ([{"kind": "dice", "weight": 1.0}, {"kind": "none"}], "loss =\n      - dice: weight 1\n      - none"),
        ({"low": -30.0, "high": 30.0}, "loss = -30…30"),
        ({"a": True, "b": [1]}, "loss = {a true, b [1]}"),
    ],
)
def test_values(value: Any, text: str) -> None:
    decisions = {"stages.2d.loss": Decision(value=value, rule="r", reason="Because.")}
    assert f"\n  {text}\n      Because.\n" in explain(plan(decisions=decisions))


def test_lines_are_short() -> None:
    text = explain(plan())
    assert max(map(len, text.splitlines())) <= 100
    assert "spacings_mm [[1, 1], [1, 1]," in text
    assert "…" in text, "a list over all cases is told by its beginning"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"decisions": {}}, "The plan records no decisions: it was written by hand."),
        (
            {"budget": Budget(device="cuda", memory_gb=11.5)},
            "  budget    cuda, 11.5 GB of memory, as long as nnU-Net trains",
        ),
        (
            {
                "dataset": Description(
                    name="Brain",
                    channels=("MRI",),
                    labels=Labels(
                        values={"background": 0, "oedema": 1, "core": 2},
                        regions={"whole": Region(values=(1, 2), paint=1)},
                    ),
                )
            },
            "  regions   whole = 1 + 2",
        ),
    ],
)
def test_lines_that_depend(changes: dict[str, Any], line: str) -> None:
    assert line in explain(plan(**changes)).splitlines()
