"""How training patches are varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autoseg.phrases import by
from autoseg.plan.augmentation import (
    Blur,
    Brightness,
    Contrast,
    Gamma,
    LowResolution,
    Mirror,
    Noise,
    PreviousBinary,
    PreviousComponents,
    Range,
    Spatial,
    Transform,
    ZeroOutside,
)
from autoseg.plan.preprocessing import Normalisation, ZScore
from autoseg.planner.decided import Decided
from autoseg.planner.spacing import ANISOTROPY

ELONGATED = 1.5  # a 2-D patch this many times longer than wide is not turned far
UPRIGHT_DEGREES = 30.0  # the most that patients who lie as they lie are turned


class _Turns(NamedTuple):
    """How far a patch is turned, about how many axes; why, and what would be otherwise."""

    degrees: float
    axes: int
    in_plane: bool
    why: str
    alternative: str


def augmentation(
    patch_size: Sequence[int],
    axes: tuple[int, ...],
    upright: bool = False,
    short: bool = False,
    normalisation: Sequence[Normalisation] = (),
    refines: bool = False,
) -> Decided[tuple[Transform, ...]]:
    """nnU-Net's transforms, in its order, with its probabilities and ranges.

    Rotation depends on the patch: ±30° about each axis in 3-D; within slices, by any angle, where the
    patch has few slices; in 2-D by any angle, but ±15° where the patch is elongated. What was 0 because
    a channel is normalised inside a mask stays 0. A predicted input is varied, too, but not in a short training:
    a network that has seen organs without a prediction of them goes by images alone, and has too little time to learn
    enough from these (benchmarks/results/cascade.md and cascade_varied.md).

    Args:
        patch_size: voxels, 2 or 3 axes.
        axes: along which patches may be mirrored.
        upright: patients stay as they lie, as `mirroring.keeps_upright` says: turn by no more than 30°.
        short: the training is, as `length.is_short` says: what another stage predicted is not varied.
        normalisation: of the channels.
        refines: the stage sees what another one predicted.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Supplementary Note 4; figures of nnU-Net v2.
    """
    turns = _turns(patch_size, upright)
    transforms: tuple[Transform, ...] = (
        Spatial(
            rotation_degrees=(Range(low=-turns.degrees, high=turns.degrees),) * turns.axes, in_plane=turns.in_plane
        ),
        Noise(),
        Blur(),
        Brightness(),
        Contrast(),
        LowResolution(in_plane=turns.in_plane),
        Gamma(probability=0.1, inverted=True),
        Gamma(probability=0.3),
    )
    if axes:
        transforms += (Mirror(axes=axes),)
    masked = tuple(channel for channel, how in enumerate(normalisation) if isinstance(how, ZScore) and how.inside_mask)
    if masked:
        transforms += (ZeroOutside(channels=masked),)
    if refines and not short:
        transforms += (PreviousBinary(), PreviousComponents())
    reason = f"nnU-Net's variations of shape and intensity. The patch is {by(patch_size)} voxels: {turns.why}."
    if refines and short:
        reason += " What the other stage predicted is left as it is, so that a short training learns to rely on it."
    elif refines:
        reason += " What the other stage predicted is changed as well: its borders, and now and then a part is missing."
    facts = {"patch_size": tuple(patch_size), "mirror_axes": axes, "upright": upright}
    if refines:
        facts["short"] = short
    if masked:
        reason += " The surroundings, which normalisation left at 0, stay 0."
        facts["zero_outside"] = masked
    return Decided(transforms, "augmentation", facts, reason, turns.alternative)


def _turns(patch_size: Sequence[int], upright: bool) -> _Turns:
    """By the shape of the patch, and less far where patients stay as they lie."""
    longest = max(patch_size)
    in_plane = len(patch_size) == 3 and longest / patch_size[0] > ANISOTROPY
    if in_plane:
        degrees, axes = 180.0, 1
        why = "it has few slices, so it is turned and scaled only within slices, by any angle"
    elif len(patch_size) == 3:
        degrees, axes = 30.0, 3
        why = "it is turned by up to 30° about each axis"
    elif longest / min(patch_size) > ELONGATED:
        degrees, axes = 15.0, 1
        why = "it is elongated, so it is turned by up to 15° only"
    else:
        degrees, axes = 180.0, 1
        why = "it is turned by any angle"
    if upright and degrees > UPRIGHT_DEGREES:
        within = f"by up to {UPRIGHT_DEGREES:.0f}° within slices"
        why = f"in a short training it is turned {within}, for patients stay as they lie"
        return _Turns(UPRIGHT_DEGREES, axes, in_plane, why, "In a long training it would be turned by any angle.")
    return _Turns(degrees, axes, in_plane, why, _other_turns(patch_size))


def _other_turns(patch_size: Sequence[int]) -> str:
    """The patch that would be turned otherwise, and how."""
    longest = max(patch_size)
    if len(patch_size) == 3:
        enough = math.ceil(longest / ANISOTROPY)  # slices, for turns about each axis
        if patch_size[0] < enough:
            return f"From {enough} slices on it would be turned by up to 30° about each axis."
        return f"With fewer than {enough} slices it would be turned within slices only."
    ratio = longest / min(patch_size)
    than = f"than {ELONGATED:g} times as long as wide (this one: {ratio:.2f}) would be turned"
    if ratio > ELONGATED:
        return f"A patch no more {than} further."
    return f"A patch more {than} by up to 15° only."
