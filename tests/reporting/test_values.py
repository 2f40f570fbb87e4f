"""The values of a stage in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from autoseg.plan import Decision, Stage
from autoseg.plan.augmentation import (
    Batchgenerators,
    Blur,
    Brightness,
    Contrast,
    Copies,
    Gamma,
    LowResolution,
    Mirror,
    Noise,
    PreviousBinary,
    PreviousComponents,
    Range,
    Spatial,
    ZeroOutside,
)
from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy, SoftDice
from autoseg.plan.network import PlainUNet
from autoseg.plan.preprocessing import (
    CTWindow,
    DivideBy255,
    NoNormalisation,
    Preprocessing,
    RescaleToUnit,
    ZScore,
)
from autoseg.plan.previous import CropAround, CropFixed, Mask, Previous
from autoseg.plan.sampling import Sampling
from autoseg.plan.training import SGD, AdamW, Poly
from autoseg.reporting.values import in_words, value_at
from autoseg.reporting.wording import NAMES, SECTIONS, told_facts, wrapped

SAGITTAL = Stage(
    dimensions=3,
    preprocessing=Preprocessing(spacing_mm=(3.0, 1.0, 0.756), axis_order=(2, 0, 1), normalisation=(ZScore(),)),
    network=PlainUNet(
        features=(8, 16),
        kernels=((1, 3, 3), (3, 3, 3)),
        strides=((1, 1, 1), (1, 2, 2)),
        encoder_convolutions=(2, 2),
        decoder_convolutions=(2,),
    ),
    sampling=Sampling(patch_size=(16, 32, 32), batch_size=2),
    augmentation=(),
    loss=(SoftDice(),),
)
BOX = "to a box of 9.50 × 20.00 × 30.00 mm, centred on the predicted a, b"
SLICES = SAGITTAL.model_copy(update={"dimensions": 2})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("dimensions", 2, "single slices (2-D)"),
        ("dimensions", 3, "volumes (3-D)"),
        ("previous", None, "nothing"),
        ("previous", Previous(stage="3d_lowres"), "what 3d_lowres predicts"),
        ("previous.stage", "3d_lowres", "what 3d_lowres predicts"),
        ("previous.as_channels", True, "yes"),
        ("previous.crop", None, "none"),
        ("previous.crop", CropAround(), "to all that is predicted, with a margin of 20 mm"),
        ("previous.crop", CropFixed(labels=("a", "b"), size_mm=(9.5, 20, 30)), BOX),
        ("previous.mask", None, "none"),
        ("previous.mask", Mask(value=-1024), "-1024 outside of all that is predicted"),
        ("previous.mask", Mask(value=0, labels=("kidney",)), "0 outside of the predicted kidney"),
        ("inference.views", (), "none"),
        ("postprocessing", (), "none"),
        ("preprocessing.orientation", None, "as stored"),
        ("preprocessing.orientation", "RAI", "RAI (x to the right, y to the front, z to the feet)"),
        ("preprocessing.crop_to_nonzero", True, "to what is not 0"),
        ("preprocessing.crop_to_nonzero", False, "none"),
        ("preprocessing.axis_order", (2, 0, 1), "x, z, y"),
        ("preprocessing.spacing_mm", (3.0, 1.0, 0.756), "3.00 × 1.00 × 0.76 mm"),
        ("preprocessing.image_order", 3, "cubic splines"),
        ("preprocessing.image_order", 5, "splines of order 5"),
        ("preprocessing.coarse_axis_order", 0, "nearest neighbour"),
        ("network.kind", "residual_encoder_unet", "U-Net with a residual encoder"),
        ("network.features", (32, 64, 128, 256, 320, 320), "32, 64, 128, 256, 320 (2 times)"),
        ("network.strides", ((1, 1, 1), *[(2, 2, 2)] * 5), "1×1×1, 2×2×2 (5 times)"),
        ("network.kernels", ((1, 3, 3), (1, 3, 3), (3, 3, 3)), "1×3×3 (2 times), 3×3×3"),
        ("network.deep_supervision", True, "yes"),
        ("sampling.patch_size", (40, 56, 40), "40 × 56 × 40 voxels"),
        ("sampling.batch_size", 1, "1 patch"),
        ("sampling.batch_size", 2, "2 patches"),
        ("sampling.foreground_fraction", 0.33, "33 %"),
        ("sampling.foreground", "by_label", "first a label is drawn, then a case that holds it"),
        ("loss", (CrossEntropy(), SoftDice()), "cross-entropy + soft Dice of each patch (smoothed by 0.00001)"),
        (
            "loss",
            (BinaryCrossEntropy(weight=0.5), SoftDice(over_batch=True, smooth=0)),
            "0.5 × cross-entropy of each region + soft Dice of the whole batch (smoothed by 0)",
        ),
        ("optimizer", SGD(), "gradient descent: momentum 0.99, learning rate 0.01, weight decay 0.00003"),
        ("optimizer", AdamW(), "AdamW: learning rate 0.002, weight decay 0.00003"),
        ("schedule", Poly(), "falls as (1 - progress) to the power of 0.9"),
        ("training.epochs", 1000, "1000"),
        ("training.minutes", None, "none"),
        ("training.minutes", 7.5, "7.5 minutes"),
        ("training.precision", "bfloat16", "bfloat16"),
        ("inference.overlap", 0.5, "50 %"),
        ("inference.gaussian_sigma", 0.125, "12.5 % of the patch"),
        ("inference.gaussian_sigma", None, "all alike"),
        # axes by the letters that they have in the image, and by the numbers that they have in the plan
        ("inference.mirror_axes", (0, 2), "along x, y (axes 0, 2 of the patch)"),
        ("inference.mirror_axes", (1,), "along z (axis 1 of the patch)"),
        ("inference.mirror_axes", (), "none"),
        ("augmentation", (), "none"),
        ("memory", {"training_gb": 7.777, "inference_gb": 0.494}, "7.78 GB to train, 0.494 GB to predict"),
        ("novelty", {"a_field": [1.5, True, None]}, "a field 1.5 / yes / none"),
    ],
)
def test_values(path: str, value: Any, expected: str) -> None:
    assert in_words(path, value, SAGITTAL, ["MRI"]) == [expected]


def test_axes_of_a_slice_are_the_last_two() -> None:
    assert in_words("inference.mirror_axes", (0, 1), SLICES, ["MRI"]) == ["along z, y (axes 0, 1 of the patch)"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (CTWindow(lower=-79, upper=304, mean=101.25, std=76.9), "clip to -79 … 304, subtract 101, divide by 76.9"),
        (ZScore(), "subtract the image's mean, divide by its standard deviation"),
        (
            ZScore(inside_mask=True),
            "subtract the image's mean, divide by its standard deviation, both of the non-zero region",
        ),
        (RescaleToUnit(), "map the image's smallest and largest value to 0 and 1"),
        (DivideBy255(), "divide by 255"),
        (NoNormalisation(), "none"),
    ],
)
def test_normalisation_of_one_channel_and_of_several(how: Any, expected: str) -> None:
    assert in_words("preprocessing.normalisation", (how,), SAGITTAL, ["T1"]) == [expected]
    several = in_words("preprocessing.normalisation", (how, ZScore()), SAGITTAL, ["T1", "T2"])
    assert several == [f"T1: {expected}", "T2: subtract the image's mean, divide by its standard deviation"]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (
            Spatial(rotation_degrees=(Range(low=-30, high=30),) * 3),
            [
                "rotation: 20 % of the patches, by up to 30° about each axis",
                "scaling: 20 % of the patches, times 0.7 to 1.4",
            ],
        ),
        (
            Spatial(rotation_degrees=(Range(low=-180, high=180),), in_plane=True),
            [
                "rotation: 20 % of the patches, by any angle within slices",
                "scaling: 20 % of the patches, times 0.7 to 1.4 within slices",
            ],
        ),
        (
            Spatial(rotation_degrees=(Range(low=-10, high=20), Range(low=-5, high=5)), scale_probability=0),
            [
                "rotation: 20 % of the patches, by -10 to 20°, by up to 5°",
                "scaling: 0 % of the patches, times 0.7 to 1.4",
            ],
        ),
        (Noise(), ["noise: 10 % of the patches, of standard deviation 0 to 0.1"]),
        (Blur(), ["blur: 20 % of the patches, 50 % of their channels, 0.5 to 1 voxels wide"]),
        (Brightness(), ["brightness: 15 % of the patches, times 0.75 to 1.25"]),
        (Contrast(), ["contrast: 15 % of the patches, times 0.75 to 1.25"]),
        (
            LowResolution(in_plane=True),
            ["low resolution: 25 % of the patches, 50 % of their channels, zoomed to 0.5 to 1 within slices"],
        ),
        (Gamma(), ["gamma: 30 % of the patches, to the power of 0.7 to 1.5"]),
        (Gamma(inverted=True), ["gamma, image inverted: 30 % of the patches, to the power of 0.7 to 1.5"]),
        (Mirror(axes=(2,)), ["mirroring: along y (axis 2 of the patch), half of the patches each"]),
        (ZeroOutside(channels=(0,)), ["surroundings: what normalisation left at 0 is 0 again"]),
        (PreviousBinary(), ["predicted borders: 40 % of the patches, 50 % of their labels, moved by 1 to 8 voxels"]),
        (
            PreviousComponents(),
            [
                "predicted parts: 20 % of the patches, 50 % of their labels, without one part of less than 15 % of the "
                "patch"
            ],
        ),
        (Batchgenerators(name="rician_noise"), ["rician_noise (batchgenerators): as by default"]),
        (
            Batchgenerators(name="median_filter", arguments={"filter_size": 3, "p_per_sample": 0.2}),
            ["median_filter (batchgenerators): filter size 3, p per sample 0.2"],
        ),
        (
            Copies(count=1, ways=((Noise(),), (Brightness(),))),
            [
                "copies: 1 of each patch, each varied in another of 2 ways",
                "noise: 10 % of the patches, of standard deviation 0 to 0.1",
                "brightness: 15 % of the patches, times 0.75 to 1.25",
            ],
        ),
    ],
)
def test_augmentation(transform: Any, expected: list[str]) -> None:
    assert in_words("augmentation", (transform,), SAGITTAL, ["MRI"]) == expected


def test_where_values_lie() -> None:
    assert value_at(SAGITTAL, "preprocessing.spacing_mm.2") == 0.756
    assert value_at(SAGITTAL, "loss.0.weight") == 1
    for path in ("memory", "loss.1", "preprocessing.spacing_mm.z", "previous.stage", "model_fields"):
        with pytest.raises(LookupError):
            value_at(SAGITTAL, path)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models an annotation allows, those in lists left out: a list is one value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType):
        for inner in get_args(annotation):
            yield from models(inner)


def paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = list(models(field.annotation))
        whole = f"{prefix}{name}"
        if not inner or whole in ("optimizer", "schedule", "stopping", "average", "previous.crop", "previous.mask"):
            yield whole
        else:
            yield from (path for one in inner for path in paths(one, f"{whole}."))


def test_every_value_of_a_stage_has_a_name_and_a_place() -> None:
    everything = set(paths(Stage))
    assert {"preprocessing.spacing_mm", "network.encoder_blocks", "previous.stage"} <= everything
    assert everything | {"previous", "sampling.grid", "memory"} == set(NAMES)
    places = [part for parts in SECTIONS.values() for part in parts]
    assert sorted(places) == sorted({path.split(".")[0] for path in NAMES})


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        ("dimensions", {"median_shape": [36.0, 50.5, 35.0]}, ["median image: 36 × 50.5 × 35"]),
        (
            "target_spacing",
            {"median_shape": [36, 50, 35], "cases": 9},
            ["median image before resampling: 36 × 50 × 35"],
        ),
        (
            "fit_batch",
            {"fit_dataset": 12345, "largest_share": 1.0},
            ["patches that the dataset allows: 12,345", "share of its voxels that they may have: 100 %"],
        ),
        ("new_rule", {"upright": False, "a_new_fact": False, "another": [], "third": [None]}, []),
        ("new_rule", {"a_new_fact": True, "gaps": [[1, 2], [3, 4]]}, ["a new fact: yes", "gaps: 1 × 2 / 3 × 4"]),
        (
            "mirror_axes",
            {"left_right_pairs": [["a left", "a right"], ["b l", "b r"]]},
            ["pairs: a left, a right / b l, b r"],
        ),
        (
            "fit_time",
            {"measured_seconds_per_iteration": {"16 features": 0.4412, "8 features": 0.2}},
            ["seconds an iteration: 0.441 (16 features), 0.2 (8 features)"],
        ),
    ],
)
def test_facts(rule: str, facts: dict[str, Any], expected: list[str]) -> None:
    assert told_facts(Decision(value=1, rule=rule, facts=facts, reason="Because.")) == expected


def test_intensities_are_told_where_they_decide() -> None:
    facts = {"foreground_intensities": [{"mean": 101.0, "std": 77.0, "percentile_00_5": -79.0}, {"mean": 5.0}]}
    value = [{"kind": "ct"}, {"kind": "zscore"}]
    told = told_facts(Decision(value=value, rule="normalisation", facts=facts, reason="Because."))
    assert told == ["labelled voxels of a CT: mean 101, standard deviation 77, 0.5 % below -79"]
    facts = {"foreground_intensities": "not measured, there are no images"}
    assert told_facts(Decision(value=value, rule="normalisation", facts=facts, reason="Because.")) == []


def test_a_long_fact_is_told_by_its_beginning() -> None:
    [told] = told_facts(Decision(value=1, rule="r", facts={"spacings_mm": [[1.0, 1.0]] * 200}, reason="Because."))
    assert told.startswith("spacings mm: 1 × 1 / 1 × 1") and told.endswith("…") and len(told) < 330


def test_lines_are_not_broken_within_sizes() -> None:
    lines = wrapped("patches of 40 × 56 × 40 voxels fit 8 GB, or 97 % of it, from -79 … 304 on; " * 9, "  ", "    ")
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if re.search(r"[×…]$", line) or re.match(r" *(×|…|%|GB)", line)]
    assert "\N{NO-BREAK SPACE}" not in "".join(lines)
