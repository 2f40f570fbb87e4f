"""The transforms of the package batchgenerators that a plan may name, and what it may give them.

Comes in: a name and arguments from a plan. Goes out: the class and all its arguments, or a sentence
that says what is wrong with them. The table is closed: a plan cannot make anything else be imported.

    brightness            BrightnessTransform, adds a Gaussian draw of `mu` and `sigma`
    brightness_factor     BrightnessMultiplicativeTransform
    brightness_gradient   BrightnessGradientAdditiveTransform, adds a Gaussian hill of width `scale`
    contrast              ContrastAugmentationTransform
    gamma                 GammaTransform
    clip                  ClipValueRange
    local_contrast        LocalContrastTransform
    local_gamma           LocalGammaTransform
    local_smoothing       LocalSmoothingTransform
    gaussian_noise        GaussianNoiseTransform
    rician_noise          RicianNoiseTransform, the noise of magnitude images of MRI
    gaussian_blur         GaussianBlurTransform
    median_filter         MedianFilterTransform
    sharpening            SharpeningTransform
    blank_squares         BlankSquareNoiseTransform, also called cutout
    blank_rectangles      BlankRectangleTransform
    low_resolution        SimulateLowResolutionTransform
    misalign              MisalignTransform, squeezes, turns and shifts some channels
    elastic               SpatialTransform_2, without rotation and scaling unless they are asked for
    elastic_field         SpatialTransform, the same with `alpha` and `sigma` of the field
    rotate_90             Rot90Transform
    transpose             TransposeAxesTransform
    mirror                MirrorTransform

batchgenerators is imported when a plan names one of these, not before.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Number = bool | int | float
Argument = Number | tuple[Number | tuple[Number, ...], ...]
TransformName = Literal[
    "brightness",
    "brightness_factor",
    "brightness_gradient",
    "contrast",
    "gamma",
    "clip",
    "local_contrast",
    "local_gamma",
    "local_smoothing",
    "gaussian_noise",
    "rician_noise",
    "gaussian_blur",
    "median_filter",
    "sharpening",
    "blank_squares",
    "blank_rectangles",
    "low_resolution",
    "misalign",
    "elastic",
    "elastic_field",
    "rotate_90",
    "transpose",
    "mirror",
]
WHAT_IT_WORKS_ON = {"data_key", "label_key", "apply_to_keys"}  # arguments that are ours to give


class Entry(NamedTuple):
    """A class, and arguments of it: those a plan cannot change, and those it can."""

    made_by: Any
    fixed: Mapping[str, Any]
    preset: Mapping[str, Any]


@lru_cache(maxsize=1)
def table() -> dict[TransformName, Entry]:
    """Name → class."""
    from batchgenerators.transforms import (
        color_transforms,
        local_transforms,
        noise_transforms,
        resample_transforms,
        spatial_transforms,
    )

    whole = {"patch_size": None, "random_crop": False}  # what comes in goes out, as large as it is
    deformed = {"do_rotation": False, "do_scale": False}
    classes: dict[TransformName, Any] = {
        "brightness": color_transforms.BrightnessTransform,
        "brightness_factor": color_transforms.BrightnessMultiplicativeTransform,
        "brightness_gradient": local_transforms.BrightnessGradientAdditiveTransform,
        "contrast": color_transforms.ContrastAugmentationTransform,
        "gamma": color_transforms.GammaTransform,
        "clip": color_transforms.ClipValueRange,
        "local_contrast": local_transforms.LocalContrastTransform,
        "local_gamma": local_transforms.LocalGammaTransform,
        "local_smoothing": local_transforms.LocalSmoothingTransform,
        "gaussian_noise": noise_transforms.GaussianNoiseTransform,
        "rician_noise": noise_transforms.RicianNoiseTransform,
        "gaussian_blur": noise_transforms.GaussianBlurTransform,
        "median_filter": noise_transforms.MedianFilterTransform,
        "sharpening": noise_transforms.SharpeningTransform,
        "blank_squares": noise_transforms.BlankSquareNoiseTransform,
        "blank_rectangles": noise_transforms.BlankRectangleTransform,
        "low_resolution": resample_transforms.SimulateLowResolutionTransform,
        "misalign": spatial_transforms.MisalignTransform,
        "elastic": spatial_transforms.SpatialTransform_2,
        "elastic_field": spatial_transforms.SpatialTransform,
        "rotate_90": spatial_transforms.Rot90Transform,
        "transpose": spatial_transforms.TransposeAxesTransform,
        "mirror": spatial_transforms.MirrorTransform,
    }
    spatial = {"elastic", "elastic_field"}
    return {
        name: Entry(made_by, whole if name in spatial else {}, deformed if name in spatial else {})
        for name, made_by in classes.items()
    }


def plain_arguments(arguments: Any) -> Any:
    """Lists become tuples, which batchgenerators expects; anything but numbers, true, false and lists is refused.

    Raises:
        ValueError: names the argument at fault.
    """
    if not isinstance(arguments, Mapping):
        return arguments  # for pydantic to refuse
    return {name: _plain(name, value) for name, value in arguments.items()}


def check_arguments(name: TransformName, arguments: Mapping[str, Argument]) -> None:
    """Refuses arguments that the class of a transform does not take, and a lack of those it needs.

    Raises:
        ValueError: names the argument at fault, and those there are.
    """
    entry = table()[name]
    given = entry.fixed.keys() | WHAT_IT_WORKS_ON
    known = {key: one for key, one in inspect.signature(entry.made_by).parameters.items() if key not in given}
    for argument in arguments:
        if argument not in known:
            raise ValueError(f"'{name}' has no argument '{argument}'. There is: {', '.join(known)}.")
    lacking = [key for key, one in known.items() if one.default is one.empty and key not in arguments]
    if lacking:
        raise ValueError(f"'{name}' lacks its argument '{lacking[0]}'. There is: {', '.join(known)}.")


def made_transform(name: TransformName, arguments: Mapping[str, Argument]) -> Any:
    """The transform, ready to be called with data=(1, channels, *patch) and seg=(1, channels, *patch)."""
    entry = table()[name]
    return entry.made_by(**{**entry.preset, **arguments, **entry.fixed})


def _plain(name: str, value: Any, depth: int = 0) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple) and depth < 2:
        return tuple(_plain(name, one, depth + 1) for one in value)
    raise ValueError(f"argument '{name}' is {value!r}; it has to be a number, true, false or a list of these")
