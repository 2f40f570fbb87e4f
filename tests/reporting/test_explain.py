"""A plan in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels, Region
from autoseg.plan import Budget, Decision, Plan, Stage, Timing, with_settings
from autoseg.plan.loss import SoftDice
from autoseg.plan.network import PlainUNet
from autoseg.plan.preprocessing import Preprocessing, ZScore
from autoseg.plan.previous import Previous
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
SHORT = STAGE.training.model_copy(update={"epochs": 30})
VOLUMES = Stage(
    dimensions=3,
    preprocessing=Preprocessing(spacing_mm=(2.5, 1.0, 1.0), normalisation=(ZScore(),)),
    network=PlainUNet(
        features=(8, 16),
        kernels=((3, 3, 3), (3, 3, 3)),
        strides=((1, 1, 1), (2, 2, 2)),
        encoder_convolutions=(2, 2),
        decoder_convolutions=(2,),
    ),
    sampling=Sampling(patch_size=(16, 32, 32), batch_size=2),
    augmentation=(),
    loss=(SoftDice(),),
)
BATCH = Decision(
    value=4,
    rule="fit_batch",
    facts={"fit_memory": 12, "largest_share": 0.05, "memory_gb": 8.0},
    reason="12 patches would fit 8 GB, but 4 hold 5 % of the dataset's voxels.",
    alternative="5 patches would hold 6 % of the dataset's voxels.",
)
DECISIONS = {
    "preprocessing.crop_to_nonzero": Decision(value=True, rule="crop_to_nonzero", reason="Borders tell nothing."),
    "network.features": Decision(value=[8, 16], rule="fit_time", facts={"minutes": 20}, reason="There are 20 minutes."),
    "sampling.batch_size": BATCH,
    "training.seed": Decision(value=0, rule="conventions", reason="Any number does."),
    "memory": Decision(
        value={"training_gb": 7.777, "inference_gb": 0.494},
        rule="predicted_memory",
        facts={"traced_gb": 7.07},
        reason="A training step holds 7.07 GB.",
    ),
}


def within(stage: str, decisions: dict[str, Decision]) -> dict[str, Decision]:
    return {f"stages.{stage}.{path}": decision for path, decision in decisions.items()}


def plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "dataset": Description(
            name="Hippocampus",
            channels=("MRI",),
            labels=Labels(values={"background": 0, "anterior": 1, "posterior": 2}),
        ),
        "budget": Budget(memory_gb=8, minutes=20),
        "preset": "standard",
        "stages": {"2d": STAGE},
        "decisions": within("2d", DECISIONS),
    }
    return Plan(**{**fields, **changes})


def section(text: str, stage: str) -> list[str]:
    """The lines of a stage."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"Stage {stage} -"))
    end = next((place for place in range(start + 1, len(lines)) if lines[place].endswith("----")), len(lines))
    return lines[start + 1 : end]


BEFORE = """\
Plan 'default'

  preset    standard: autoseg's own rules
  dataset   Hippocampus, 3-D images
  channels  MRI
  labels    background 0, anterior 1, posterior 2
  budget    for each model 8 GB of memory on the processor (cpu), 20 minutes of training

At a glance

  stage  sees  voxel      patch   batch  network           epochs ×    GB to train
               mm         voxels         levels, features  iterations  / predict
  2d     2-D   1.00×1.00  32×32   4      plain 2, 8→16     1000 × 250  7.8 / 0.49

  Each stage is a network of its own, which sees patches of the image. 'plain 2, 8→16' is one of 2"""
WHY = """
    crop = to what is not 0
        Borders tell nothing.
        [preprocessing.crop_to_nonzero; rule crop_to_nonzero]
"""
SIZES = """
    batch = 4 patches
        12 patches would fit 8 GB, but 4 hold 5 % of the dataset's voxels.
        otherwise: 5 patches would hold 6 % of the dataset's voxels.
        [sampling.batch_size; rule fit_batch; patches that fit the memory: 12; share of its voxels
         that they may have: 5 %]
"""
MEMORY = """
  Memory
    memory = 7.78 GB to train, 0.494 GB to predict
        A training step holds 7.07 GB.
        [rule predicted_memory]

The same for every dataset -------------------------------------------------------------------------
"""


def test_the_text_from_the_heading_to_the_end() -> None:
    text = explain(plan())
    assert text.startswith(BEFORE)
    places = [text.index(part) for part in ("Stage 2d -", WHY, SIZES, MEMORY)]
    assert places == sorted(places)
    assert text.endswith("\n\n  random seed = 0: Any number does. [training.seed]\n")


def test_sections_come_in_the_order_of_the_work() -> None:
    paths = ["memory", "novelty", "inference.overlap", "loss", "sampling.patch_size", "network.kind", "dimensions"]
    value = {"training_gb": 1.0, "inference_gb": 1.0}
    decisions = {path: Decision(value=value, rule="r", reason="Because.") for path in paths}
    lines = section(explain(plan(decisions=within("2d", decisions))), "2d")
    titles = [line.strip() for line in lines if re.fullmatch("  [A-Z][a-z]+", line)]
    assert titles == ["Images", "Network", "Patches", "Training", "Prediction", "Memory", "Other"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"budget": Budget(device="cuda", memory_gb=11.5)},
            "  budget    for each model 11.5 GB of memory on a GPU (cuda), trained as long as nnU-Net",
        ),
        (
            {"budget": Budget(), "preset": None, "stages": {"2d": STAGE.model_copy(update={"training": SHORT})}},
            "  budget    for each model 8 GB of memory on the processor (cpu), without a time limit for all; the",
        ),
        ({"preset": "nnunet"}, "  preset    nnunet: nnU-Net's rules"),
        ({"preset": None}, "  preset    none: no rules derived its stages"),
        (
            {
                "budget": Budget(
                    minutes=5,
                    machine="AMD EPYC, 2 threads",
                    timings=(Timing(workload="a", feature_voxels=1, seconds=1),),
                )
            },
            "  machine   AMD EPYC, 2 threads; networks timed: 1",
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
def test_lines_of_the_heading(changes: dict[str, Any], line: str) -> None:
    assert line in explain(plan(**changes)).splitlines()


def test_warnings_come_before_all_else() -> None:
    text = explain(plan(warnings=("Case 'a' is far off the others. " * 5, "There are no images.")))
    assert text.index("2 WARNINGS\n  ! Case 'a' is far off") < text.index("At a glance")
    assert "\n  ! There are no images.\n" in text
    assert "WARNING" not in explain(plan())
    assert "1 WARNING\n" in explain(plan(warnings=("One.",)))


def cells(text: str) -> list[list[str]]:
    """The rows of the table, its header first."""
    lines = text.split("At a glance\n\n")[1].split("\n\n")[0].splitlines()
    return [re.split(" {2,}", line.strip()) for line in lines]


def test_the_table_has_a_row_a_stage() -> None:
    cascade = VOLUMES.model_copy(
        update={
            "previous": Previous(stage="2d"),
            "training": VOLUMES.training.model_copy(update={"minutes": 20.0}),
        }
    )
    text = explain(plan(stages={"2d": STAGE, "cascade": cascade}, decisions=within("2d", DECISIONS)))
    _, _, first, second = cells(text)
    assert first == ["2d", "2-D", "1.00×1.00", "32×32", "4", "plain 2, 8→16", "1000 × 250", "7.8 / 0.49"]
    assert second == ["cascade", "3-D", "2.50×1.00×1.00", "16×32×32", "2", "plain 2, 8→16", "20 minutes", "-"]
    flat = " ".join(text.split())
    assert "cascade builds on what 2d predicts, which is trained first, in all folds." in flat
    assert flat.split("Now each value")[0].endswith("-: not predicted. ")


def test_a_wide_table_fits_all_the_same() -> None:
    name = "a-stage-of-a-very-long-name-that-somebody-gave-it"
    large = VOLUMES.model_copy(update={"sampling": Sampling(patch_size=(128, 128, 128), batch_size=2)})
    lines = explain(plan(stages={name: large}, decisions=within(name, DECISIONS))).splitlines()
    rows = lines[lines.index("At a glance") + 2 :][:3]
    assert max(map(len, rows)) <= 100
    assert rows[2].startswith("  a-stage-of-a-very-") and "… 3-D" in rows[2]


def test_what_stages_share_is_told_once() -> None:
    other = {**DECISIONS, "sampling.batch_size": BATCH.model_copy(update={"value": 2})}
    decisions = {**within("2d", DECISIONS), **within("3d", other)}
    text = explain(plan(stages={"2d": STAGE, "3d": VOLUMES}, decisions=decisions))
    lines = section(text, "3d")
    shared = " ".join(" ".join(lines).split("As in 2d: ")[1].split(".")[0].split())
    assert {"crop", "features by level", "memory"} <= set(shared.split(", "))
    assert "batch" not in shared.split(", ") and "random seed" not in shared
    assert text.count("Borders tell nothing.") == 1
    assert text.count("12 patches would fit 8 GB") == 2
    assert "    batch = 2 patches" in lines


@pytest.mark.parametrize("change", [{"rule": "another"}, {"reason": "Another."}])
def test_another_reason_is_told_again(change: dict[str, str]) -> None:
    other = {
        **DECISIONS,
        "preprocessing.crop_to_nonzero": DECISIONS["preprocessing.crop_to_nonzero"].model_copy(update=change),
    }
    decisions = {**within("2d", DECISIONS), **within("3d", other)}
    assert "    crop = to what is not 0" in section(
        explain(plan(stages={"2d": STAGE, "3d": VOLUMES}, decisions=decisions)), "3d"
    )


def test_a_variant_of_another_stage_is_told_as_one() -> None:
    sees = {"previous.stage": Decision(value="3d", rule="low_resolution", reason="It has seen more.")}
    for part in ("crop", "mask"):
        sees[f"previous.{part}"] = Decision(value=None, rule="conventions", reason="All is seen.")
    cascade = VOLUMES.model_copy(update={"previous": Previous(stage="3d")})
    decisions = {**within("3d", DECISIONS), **within("cascade", DECISIONS | sees)}
    text = explain(plan(stages={"3d": VOLUMES, "cascade": cascade}, decisions=decisions))
    told = "\n".join(section(text, "cascade"))
    assert "\n  As in 3d: everything else.\n" in told
    assert "    sees besides = what 3d predicts\n        It has seen more.\n" in told
    assert "crop" not in told


def test_values_of_one_reason_are_told_together() -> None:
    length = {
        path: Decision(value=value, rule="training_length", reason="There is no time limit.")
        for path, value in (("training.epochs", 1000), ("training.iterations_per_epoch", 250))
    }
    assert (
        "    epochs = 1000\n    iterations an epoch = 250\n        There is no time limit.\n"
        "        [training.epochs, training.iterations_per_epoch; rule training_length]\n"
    ) in explain(plan(decisions=within("2d", length)))


def test_a_reason_that_was_told_is_not_told_again() -> None:
    facts = {"seconds": 3}
    decided = {
        path: Decision(value=value, rule="fit_time", facts=facts, reason="The time is short.", alternative="None.")
        for path, value in (("network.features", [8, 16]), ("sampling.batch_size", 4))
    }
    text = explain(plan(decisions=within("2d", decided)))
    assert text.count("The time is short.") == text.count("otherwise: None.") == text.count("seconds: 3") == 1
    assert (
        "    batch = 4 patches\n        For the same reason as features by level, above.\n"
        "        [sampling.batch_size; rule fit_time]\n"
    ) in text


def test_what_is_the_same_for_every_dataset_names_its_stages_where_it_is_not_of_all() -> None:
    seeds = within("2d", DECISIONS) | {
        f"stages.{stage}.inference.overlap": Decision(value=0.5, rule="conventions", reason="Half.")
        for stage in ("2d", "3d")
    }
    text = explain(plan(stages={"2d": STAGE, "3d": VOLUMES}, decisions=seeds))
    last = text.split("The same for every dataset -")[1]
    assert "\n  random seed = 0 (2d): Any number does. [training.seed]\n" in last
    assert "\n  overlap of windows = 50 %: Half. [inference.overlap]\n" in last


def test_what_is_set_by_hand_is_marked_and_counted() -> None:
    start = plan(stages={"2d": STAGE, "3d": VOLUMES}, decisions={**within("2d", DECISIONS), **within("3d", DECISIONS)})
    text = explain(with_settings(start, ["stages.*.sampling.batch_size=1", "stages.2d.training.seed=5"]))
    assert "    batch = 1 patch  <- set by hand\n        [sampling.batch_size; rule hand-set]\n" in text
    flat = " ".join(text.split())
    assert "by hand 3 values set by hand: batch (every stage), random seed (2d). The reasons of the others" in flat
    assert section(text, "2d").count("    random seed = 5  <- set by hand") == 1
    assert "random seed = 0 (3d): Any number does." in flat
    assert "12 patches would fit" not in text
    assert [row[-1] for row in cells(text)[2:]] == ["7.8 / 0.49*", "7.8 / 0.49*"]
    assert "All of this was predicted before values of the stage were set by hand." in flat


def test_a_part_and_a_group_that_are_set_by_hand() -> None:
    settings = ["stages.2d.loss.0.weight=2", 'stages.2d.training={"epochs": 7}']
    lines = section(explain(with_settings(plan(), settings)), "2d")
    assert any(re.fullmatch(r"    loss = 2 × soft Dice .*<- set by hand \(loss.0.weight\)", line) for line in lines)
    assert "    epochs = 7  <- set by hand" in lines
    assert "    iterations an epoch = 250  <- set by hand" in lines


def test_what_was_changed_in_the_file_is_not_explained_by_what_it_was() -> None:
    edited = plan(stages={"2d": STAGE.model_copy(update={"sampling": Sampling(patch_size=(32, 32), batch_size=3)})})
    text = explain(edited)
    assert "    batch = 3 patches  <- changed by hand in the plan's file (rule fit_batch: 4)\n" in text
    assert "12 patches would fit" not in text
    assert "1 value set by hand: batch (every stage)." in text


def test_stages_of_another_plan() -> None:
    taken = Decision(value="other", rule="like", reason="All of this stage is taken from plan 'other'.")
    text = explain(plan(preset=None, decisions={"stages.2d": taken}))
    assert "  preset    none: 1 stage taken from plan 'other' (--like)\n" in text
    lines = section(text, "2d")
    assert lines[1] == "  All of this stage is taken from plan 'other'. [rule like]"
    assert "    batch = 4 patches  [sampling.batch_size]" in lines


def test_values_without_a_decision_are_told_too() -> None:
    text = explain(plan(decisions={}))
    assert "\nThe plan records no decisions: it was written by hand." in text
    assert "    voxel size = 1.00 × 1.00 mm  [preprocessing.spacing_mm]" in section(text, "2d")
    assert "The same for every dataset" not in text
    part = explain(plan())
    assert "  Values that have nothing but a path: the plan does not record why they are so." in part.splitlines()
    assert "    voxel size = 1.00 × 1.00 mm  [preprocessing.spacing_mm]" in section(part, "2d")


def test_a_decision_outside_the_stages() -> None:
    decisions = {"budget.minutes": Decision(value=20.0, rule="r", reason="Asked for.")}
    assert "\n    budget.minutes = 20\n        Asked for.\n        [budget.minutes; rule r]\n" in explain(
        plan(decisions=decisions)
    )
