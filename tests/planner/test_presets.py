"""nnU-Net's presets: plans that nnU-Net 2.8.1 itself derived from fingerprints that are hard to plan for."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.plan.plan import Budget, PresetName, Stage
from autoseg.planner import derive_plan
from autoseg.planner.presets import PRESETS, network_kind, standard_rules


class Hard(NamedTuple):
    """Facts that make planning hard; all cases together."""

    spacings_mm: list[list[float]]
    shapes: list[list[int]]
    labels: Labels


class Expected(NamedTuple):
    """What nnU-Net wrote. Strides and kernels: a stage, one digit an axis."""

    spacing_mm: tuple[float, ...]
    patch_size: tuple[int, ...]
    batch_size: int
    strides: str
    kernels: str
    batch_dice: bool


def plain(count: int, ignore: bool = False) -> Labels:
    names = {"background": 0} | {f"label {value}": value for value in range(1, count + 1)}
    return Labels(values=names, ignore=count + 1 if ignore else None)


def nested(count: int, ignore: bool = False) -> Labels:
    """As many regions as labels, each within the one before."""
    regions = {f"region {n}": Region(values=tuple(range(n, count + 1)), paint=n) for n in range(1, count + 1)}
    return plain(count, ignore).model_copy(update={"regions": regions})


# Sixty labels, and voxels that nobody annotated: the head counts.
MANY_LABELS = Hard(
    [[4.484224722, 2.482892558, 3.398613139], [1.83, 2.12, 1.75]], [[381, 134, 212], [364, 157, 244]], plain(60, True)
)
# Large images with three different spacings, overlapping regions.
LARGE = Hard([[3.131092312, 1.41969172, 0.536693745], [2.81, 1.2, 0.73]], [[584, 496, 424], [635, 548, 560]], nested(6))
# One voxel along an axis that is not the coarsest: nnU-Net plans volumes all the same.
ONE_SLICE = Hard([[2.63, 0.58, 0.74]], [[72, 460, 1]], nested(6, True))
# Pictures whose pixels differ in size: nnU-Net resamples across them and finds more than one slice.
PICTURES = Hard(
    [[901.2011, 0.9021, 0.2548], [1794.8373, 1.7966, 0.332]], [[1, 2409, 1741], [1, 2104, 2208]], plain(5, True)
)
# The last axis is the coarsest, and images are large: low resolution.
COARSE_LAST = Hard(
    [[2.61, 4.41, 6.23], [2.6068, 4.408, 6.2301], [2.6068, 4.408, 6.2301]],
    [[868, 615, 51], [1048, 581, 62], [849, 606, 63]],
    nested(3, True),
)
# Three slices along the finest axis, which is never halved, and along which kernels stay 1 once others are.
THREE_SLICES = Hard(
    [[0.52396182, 1.053829343, 1.004303522], [0.44, 0.9, 1.19], [0.45, 1.15, 1.05]],
    [[3, 263, 524], [3, 320, 546], [3, 313, 578]],
    nested(6),
)
# Coarse and short along the last axis: its 10th percentile.
THICK_LAST = Hard(
    [[0.370927236, 0.252647337, 7.400121517], [0.37, 0.45, 4.34], [1.04, 0.55, 6.38]],
    [[281, 185, 7], [272, 202, 8], [229, 167, 9]],
    plain(5),
)

MANY_LABELS_MM = (3.1571123610000003, 2.3014462790000003, 2.5743065695)
MANY_LABELS_LOW_MM = (4.636325939283167, 3.379751450409156, 3.7804559860705935)
LARGE_MM = (2.970546156, 1.30984586, 0.6333468725)
LARGE_LOW_MM = (5.526090889019314, 2.8248021435044546, 2.776533166282066)
FOUR_OF_2, FOUR_OF_3 = "111 222 222 222 222", "333 333 333 333 333"

PLANS: list[tuple[str, Hard, float, tuple[int, int, int], dict[str, Expected]]] = [
    (
        *("nnunet", MANY_LABELS, 4, (0, 1, 2)),
        {
            "2d": Expected(
                *(MANY_LABELS_MM[1:], (160, 224), 34), "11 22 22 22 22 22", "33 33 33 33 33 33", batch_dice=True
            ),
            "3d_lowres": Expected(MANY_LABELS_LOW_MM, (160, 64, 96), 2, FOUR_OF_2, FOUR_OF_3, batch_dice=False),
            "3d_fullres": Expected(MANY_LABELS_MM, (160, 64, 96), 2, FOUR_OF_2, FOUR_OF_3, batch_dice=True),
        },
    ),
    (
        *("nnunet-resenc-l", MANY_LABELS, 4, (0, 1, 2)),
        {
            "2d": Expected(
                *(MANY_LABELS_MM[1:], (160, 224), 39), "11 22 22 22 22 22", "33 33 33 33 33 33", batch_dice=True
            ),
            "3d_lowres": Expected(MANY_LABELS_LOW_MM, (160, 64, 96), 2, FOUR_OF_2, FOUR_OF_3, batch_dice=False),
            "3d_fullres": Expected(MANY_LABELS_MM, (160, 64, 96), 2, FOUR_OF_2, FOUR_OF_3, batch_dice=True),
        },
    ),
    (
        *("nnunet", LARGE, 8, (0, 1, 2)),
        {
            "2d": Expected(
                *(LARGE_MM[1:], (576, 512), 7),
                "11 12 22 22 22 22 22 22",
                "13 33 33 33 33 33 33 33",
                batch_dice=True,
            ),
            "3d_lowres": Expected(
                *(LARGE_LOW_MM, (192, 160, 80), 2),
                "111 222 222 222 222 221",
                "333 333 333 333 333 333",
                batch_dice=False,
            ),
            "3d_fullres": Expected(
                *(LARGE_MM, (128, 96, 96), 2),
                "111 112 122 222 222 221 211",
                "113 133 333 333 333 333 333",
                batch_dice=True,
            ),
        },
    ),
    (
        *("nnunet-resenc-m", LARGE, 8, (0, 1, 2)),
        {
            "2d": Expected(
                *(LARGE_MM[1:], (384, 384), 13),
                "11 12 22 22 22 22 22 21",
                "13 33 33 33 33 33 33 33",
                batch_dice=True,
            ),
            "3d_lowres": Expected(
                *(LARGE_LOW_MM, (192, 160, 80), 2),
                "111 222 222 222 222 221",
                "333 333 333 333 333 333",
                batch_dice=False,
            ),
            "3d_fullres": Expected(
                *(LARGE_MM, (112, 96, 80), 2),
                "111 112 122 222 222 221 211",
                "113 133 333 333 333 333 333",
                batch_dice=True,
            ),
        },
    ),
    (
        *("nnunet-resenc-xl", ONE_SLICE, 6, (0, 1, 2)),
        {
            "2d": Expected(
                *((0.58, 0.74), (512, 1), 65), "11 21 21 21 21 21 21", "33 33 33 33 33 33 33", batch_dice=True
            ),
            "3d_fullres": Expected(
                *((2.63, 0.58, 0.74), (80, 512, 1), 2),
                "111 121 121 221 221 221 221",
                "133 133 133 133 133 133 333",
                batch_dice=False,
            ),
        },
    ),
    (
        *("nnunet", PICTURES, 32, (0, 1, 2)),
        {
            "2d": Expected(
                *((1.34935, 0.2934), (1024, 2048), 2),
                "11 12 12 22 22 22 22 22 22 22",
                "13 13 33 33 33 33 33 33 33 33",
                batch_dice=True,
            ),
            "3d_fullres": Expected(
                *((990.56472, 1.34935, 0.2934), (1, 1408, 2048), 2),
                "111 112 112 122 122 122 122 122 122 122",
                "113 113 133 133 133 133 133 133 133 333",
                batch_dice=False,
            ),
        },
    ),
    (
        *("nnunet-resenc-xl", COARSE_LAST, 10, (2, 0, 1)),
        {
            "2d": Expected(
                *((2.6068, 4.408), (640, 384), 14), "11 22 22 22 22 22 22", "33 33 33 33 33 33 33", batch_dice=True
            ),
            "3d_lowres": Expected(
                *((7.892104284052988, 4.061309461594874, 5.583922518756614), (32, 320, 320), 2),
                "111 222 222 222 122 122 122",
                "333 333 333 333 333 333 333",
                batch_dice=False,
            ),
            "3d_fullres": Expected(
                *((6.2301, 2.6068, 4.408), (24, 384, 256), 2),
                "111 122 222 222 122 122 122",
                "133 333 333 333 333 333 333",
                batch_dice=True,
            ),
        },
    ),
    (
        *("nnunet-resenc-l", THREE_SLICES, 16, (1, 0, 2)),
        {
            "2d": Expected(
                *((0.45, 1.05), (3, 640), 740), "11 12 12 12 12 12 12", "31 31 31 31 31 31 33", batch_dice=True
            ),
            "3d_fullres": Expected(
                *((1.053829343, 0.45, 1.05), (224, 3, 224), 9),
                "111 212 212 212 212 212",
                "131 131 131 131 131 333",
                batch_dice=False,
            ),
        },
    ),
    (
        *("nnunet", THICK_LAST, 6, (2, 0, 1)),
        {
            "2d": Expected(
                *((0.370927236, 0.45), (288, 224), 2), "11 22 22 22 22 22", "33 33 33 33 33 33", batch_dice=True
            ),
            "3d_fullres": Expected(
                *((4.748, 0.370927236, 0.45), (12, 288, 224), 2),
                "111 122 122 122 222 122",
                "133 133 133 333 333 333",
                batch_dice=False,
            ),
        },
    ),
]


def found(stage: Stage) -> Expected:
    return Expected(
        stage.preprocessing.spacing_mm,
        stage.sampling.patch_size,
        stage.sampling.batch_size,
        " ".join("".join(map(str, stride)) for stride in stage.network.strides),
        " ".join("".join(map(str, kernel)) for kernel in stage.network.kernels),
        next(term.over_batch for term in stage.loss if term.kind == "dice"),
    )


@pytest.mark.parametrize(("preset", "hard", "memory_gb", "order", "expected"), PLANS)
def test_same_plan_as_nnunet(preset, hard, memory_gb, order, expected, make_fingerprint, unasked):
    facts = make_fingerprint(hard.spacings_mm, hard.shapes, labels=hard.labels)
    plan = derive_plan(facts, Budget(memory_gb=memory_gb), unasked, preset=preset)
    assert plan.preset == preset
    if "3d_lowres" in expected:
        expected = {**expected, "3d_cascade": expected["3d_fullres"]}
    assert {name: found(stage) for name, stage in plan.stages.items()} == expected
    assert list(plan.stages) == list(expected)
    assert {stage.preprocessing.axis_order for stage in plan.stages.values()} == {order}


def test_features_and_depths(make_fingerprint, unasked):
    facts = make_fingerprint(LARGE.spacings_mm, LARGE.shapes, labels=LARGE.labels)
    plain_stages = derive_plan(facts, Budget(), unasked, preset="nnunet").stages
    assert plain_stages["2d"].network.features == (32, 64, 128, 256, 512, 512, 512, 512)
    network = plain_stages["3d_fullres"].network
    assert (network.kind, network.features) == ("plain_unet", (32, 64, 128, 256, 320, 320, 320))
    assert (network.encoder_convolutions, network.decoder_convolutions) == ((2,) * 7, (2,) * 6)
    for preset in ("nnunet-resenc-m", "nnunet-resenc-l", "nnunet-resenc-xl"):
        network = derive_plan(facts, Budget(), unasked, preset=preset).stages["3d_fullres"].network
        depth = len(network.features)
        assert network.kind == "residual_encoder_unet"
        assert network.encoder_blocks == (1, 3, 4, 6, 6, 6, 6, 6)[:depth]
        assert network.decoder_convolutions == (1,) * (depth - 1)


def test_pictures_have_no_volumes_whatever_nnunet_makes_of_them(make_fingerprint, unasked):
    """They are given as pictures, not as thick slices; batches are capped by the same count of voxels all the same."""
    flat = [[1.0, *spacing[1:]] for spacing in PICTURES.spacings_mm]
    facts = make_fingerprint(flat, PICTURES.shapes, labels=PICTURES.labels, dimensions=2, orientation=None)
    plan = derive_plan(facts, Budget(memory_gb=32), unasked, preset="nnunet")
    [(_, _, _, _, expected)] = [plan for plan in PLANS if plan[1] is PICTURES]
    assert {name: found(stage) for name, stage in plan.stages.items()} == {"2d": expected["2d"]}


@pytest.mark.parametrize(
    ("channels", "relative_size", "kinds"),
    [
        (("CT", "ct", "CTA"), 1.0, [("ct", None), ("ct", None), ("zscore", False)]),
        (("noNorm", "MRI"), 0.7499, [("none", None), ("zscore", True)]),
        (("rescale_to_0_1", "rgb_to_0_1", "zscore"), 0.75, [("rescale_0_1", None), ("rgb", None), ("zscore", False)]),
    ],
)
def test_normalisation_by_the_name_alone(channels, relative_size, kinds, make_fingerprint, unasked):
    facts = make_fingerprint([(1, 1, 1)] * 3, [(64, 64, 64)] * 3, channels=channels, relative_size=relative_size)
    chosen = derive_plan(facts, Budget(), unasked, preset="nnunet").stages["2d"].preprocessing.normalisation
    assert [(how.kind, getattr(how, "inside_mask", None)) for how in chosen] == kinds


def slow(stage: Stage, description: object) -> float:
    return 3.0


def without_length(data: dict[str, Any]) -> dict[str, Any]:
    for stage in data.values():
        for field in ("epochs", "iterations_per_epoch", "validation_iterations", "minutes"):
            del stage["training"][field]
    return data


@pytest.mark.parametrize("preset", [name for name in get_args(PresetName) if name != "standard"])
def test_a_time_limit_changes_only_the_length(hippocampus, preset, make_machine):
    machine = make_machine(slow, "float32")
    long = derive_plan(hippocampus, Budget(), machine, preset=preset)
    short = derive_plan(hippocampus, Budget(minutes=10), machine, preset=preset)
    training = short.stages["3d_fullres"].training
    assert (training.minutes, training.epochs, training.iterations_per_epoch) == (10, 20, 10)  # 200 of 3 s
    assert short.stages["3d_fullres"].optimizer.kind == "sgd"
    assert short.stages["3d_fullres"].inference.mirror_axes == (0, 1, 2)
    stages = [{name: stage.model_dump() for name, stage in plan.stages.items()} for plan in (long, short)]
    assert without_length(stages[0]) == without_length(stages[1])


def test_nnunet_mirrors_left_and_right_and_the_plan_says_so(make_fingerprint, unasked):
    kidneys = Labels(values={"background": 0, "kidney_left": 1, "kidney_right": 2})
    facts = make_fingerprint([(1.0, 1.0, 1.0)] * 5, [(64, 64, 64)] * 5, labels=kidneys)
    plan = derive_plan(facts, Budget(), unasked, preset="nnunet")
    decision = plan.decisions["stages.3d_fullres.inference.mirror_axes"]
    assert plan.stages["3d_fullres"].augmentation[-1].axes == (0, 1, 2)
    assert decision.reason == "nnU-Net mirrors along every axis, whatever the labels."
    assert decision.alternative == (
        "Preset standard does not mirror from left to right: 'kidney_left' and 'kidney_right' differ only in side."
    )


def test_every_name_has_its_rules():
    assert ("standard", *PRESETS) == get_args(PresetName)
    assert all(name == preset.name and preset.as_nnunet for name, preset in PRESETS.items())
    assert standard_rules(None).name == "standard" and not standard_rules(None).as_nnunet


@pytest.mark.parametrize(
    ("preset", "minutes", "kind", "reason", "alternative"),
    [
        (
            standard_rules(None),
            None,
            "residual_encoder_unet",
            "No time limit is set, so the encoder is made of residual blocks: they take a third more time than plain "
            "convolutions and were better on each of six datasets, by 0.4 points of Dice in the mean (Isensee et al. "
            "2024, doi:10.48550/arXiv.2404.09556).",
            "With a time limit (--minutes) they would be plain convolutions, which do more iterations in the time.",
        ),
        (
            standard_rules(600),
            600,
            "plain_unet",
            "Training ends after 600 minutes: plain convolutions do more iterations in the time than residual blocks, "
            "which take a third longer.",
            "Without a time limit the encoder would be made of residual blocks.",
        ),
        (
            PRESETS["nnunet"],
            600,
            "plain_unet",
            "Preset nnunet builds U-Nets of plain convolutions, as nnU-Net does.",
            "Presets nnunet-resenc-m, -l and -xl build encoders of residual blocks.",
        ),
        (
            PRESETS["nnunet-resenc-l"],
            None,
            "residual_encoder_unet",
            "Preset nnunet-resenc-l builds U-Nets with an encoder of residual blocks, as nnU-Net does.",
            "Preset nnunet builds plain convolutions.",
        ),
    ],
)
def test_the_kind_of_network_and_why(preset, minutes, kind, reason, alternative):
    decided = network_kind(preset, minutes)
    assert (decided.value, decided.reason, decided.alternative) == (kind, reason, alternative)
    assert decided.facts == {"preset": preset.name, "minutes": minutes}
