"""The values of a stage in words.

Comes in: a stage and a path within it. Goes out: what is there, as people say it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from autoseg.geometry import in_mm
from autoseg.phrases import by, counted, number, percent
from autoseg.plan import Stage
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
    Transform,
    ZeroOutside,
)
from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, Normalisation, RescaleToUnit, ZScore
from autoseg.plan.previous import CropAround, CropFixed, Mask, Previous
from autoseg.reporting.learning import averaged, minimised, optimised, scheduled, stopped
from autoseg.reporting.wording import plain, runs

SIDES = {"L": "left", "R": "right", "A": "front", "P": "back", "S": "head", "I": "feet"}
NETWORKS = {
    "plain_unet": "U-Net of plain convolutions",
    "residual_encoder_unet": "U-Net with a residual encoder",
    "block_unet": "U-Net of chosen blocks",
    "v_net": "V-Net",
    "dense_v_net": "DenseNet with a V-Net's decoder",
    "se_resnext_v_net": "SE-ResNeXt with a V-Net's decoder",
}
SPLINES = {0: "nearest neighbour", 1: "linear", 3: "cubic splines"}
DRAWN = {
    "by_case": "first a case is drawn, then a label in it",
    "by_label": "first a label is drawn, then a case that holds it",
    "by_slice": "first a case is drawn, then a slice with a label; the patch lies anywhere in it",
}


def value_at(stage: Stage, path: str) -> Any:
    """What a stage holds at a path; an index counts in a list.

    Raises:
        LookupError: nothing is there.
    """
    here: Any = stage
    for part in path.split("."):
        if isinstance(here, BaseModel) and part in type(here).model_fields:
            here = getattr(here, part)
        elif isinstance(here, tuple) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            raise LookupError(path)
    return here


def in_words(path: str, value: Any, stage: Stage, channels: Sequence[str]) -> list[str]:
    """A value in words: one line, or one for each entry of a list.

    Args:
        path: of the value within its stage.
        value: what is there.
        stage: says which axis is which.
        channels: names of the image's channels.
    """
    if path == "preprocessing.normalisation":
        several = len(value) > 1
        return [
            f"{name}: {_scaled(how)}" if several else _scaled(how) for name, how in zip(channels, value, strict=True)
        ]
    if path == "augmentation":
        return [line for transform in value for line in _varied(transform, stage)] or ["none"]
    if path == "inference.mirror_axes":
        return [_axes(value, stage)]
    if path in _SAID:
        return [_SAID[path](value)]
    return [plain(value.model_dump(mode="json") if isinstance(value, BaseModel) else value) or "none"]


def _oriented(code: str | None) -> str:
    """What an orientation means.

    >>> _oriented("LPS")
    'LPS (x to the left, y to the back, z to the head)'
    """
    if code is None:
        return "as stored"
    return f"{code} ({', '.join(f'{axis} to the {SIDES[side]}' for axis, side in zip('xyz', code, strict=True))})"


def _scaled(how: Normalisation) -> str:
    match how:
        case CTWindow(lower=lower, upper=upper, mean=mean, std=std):
            return f"clip to {number(lower)} … {number(upper)}, subtract {number(mean)}, divide by {number(std)}"
        case ZScore(inside_mask=inside):
            both = ", both of the non-zero region" * inside
            return f"subtract the image's mean, divide by its standard deviation{both}"
        case RescaleToUnit():
            return "map the image's smallest and largest value to 0 and 1"
        case DivideBy255():
            return "divide by 255"
        case NoNormalisation():
            return "none"


def _varied(transform: Transform, stage: Stage) -> list[str]:
    """What a transform does to how many patches."""
    match transform:
        case Spatial():
            return _turned(transform)
        case Noise(probability=share, std=std):
            return [f"noise: {percent(share)} of the patches, of standard deviation {_between(std)}"]
        case Blur(probability=share, channel_probability=of_channels, sigma=sigma):
            return [f"blur: {_touched(share, of_channels)}, {_between(sigma)} voxels wide"]
        case Brightness(probability=share, factor=factor):
            return [f"brightness: {percent(share)} of the patches, times {_between(factor)}"]
        case Contrast(probability=share, factor=factor):
            return [f"contrast: {percent(share)} of the patches, times {_between(factor)}"]
        case LowResolution(probability=share, channel_probability=of_channels, zoom=zoom, in_plane=in_plane):
            within = " within slices" if in_plane else ""
            return [f"low resolution: {_touched(share, of_channels)}, zoomed to {_between(zoom)}{within}"]
        case Gamma(probability=share, power=power, inverted=inverted):
            name = "gamma, image inverted" if inverted else "gamma"
            return [f"{name}: {percent(share)} of the patches, to the power of {_between(power)}"]
        case Mirror(axes=axes):
            return [f"mirroring: {_axes(axes, stage)}, half of the patches each"]
        case ZeroOutside():
            return ["surroundings: what normalisation left at 0 is 0 again"]
        case PreviousBinary(probability=share, label_probability=of_labels, radius=radius):
            where = f"{percent(share)} of the patches, {percent(of_labels)} of their labels"
            return [f"predicted borders: {where}, moved by {_between(radius)} voxels"]
        case PreviousComponents(probability=share, label_probability=of_labels, largest_share=most):
            where = f"{percent(share)} of the patches, {percent(of_labels)} of their labels"
            return [f"predicted parts: {where}, without one part of less than {percent(most)} of the patch"]
        case Batchgenerators(name=name, arguments=arguments):
            return [f"{name} (batchgenerators): {plain(arguments) or 'as by default'}"]
        case Copies(count=count, ways=ways):
            lines = [line for way in ways for one in way for line in _varied(one, stage)]
            return [f"copies: {count} of each patch, each varied in another of {len(ways)} ways", *lines]


def _turned(transform: Spatial) -> list[str]:
    within = " within slices" if transform.in_plane else ""
    angles = [_angle(degrees) for degrees in transform.rotation_degrees]
    about = f"{angles[0]} about each axis" if len(angles) == 3 and len(set(angles)) == 1 else ", ".join(angles)
    return [
        f"rotation: {percent(transform.rotation_probability)} of the patches, {about}{within}",
        f"scaling: {percent(transform.scale_probability)} of the patches, times {_between(transform.scale)}{within}",
    ]


def _angle(degrees: Range) -> str:
    if degrees.low == -180 and degrees.high == 180:
        return "by any angle"
    if degrees.low == -degrees.high:
        return f"by up to {number(degrees.high)}°"
    return f"by {_between(degrees)}°"


def _touched(share: float, of_channels: float) -> str:
    return f"{percent(share)} of the patches, {percent(of_channels)} of their channels"


def _between(range_: Range) -> str:
    return f"{number(range_.low)} to {number(range_.high)}"


def _axes(axes: Sequence[int], stage: Stage) -> str:
    """Axes of a patch by their letters, and by the numbers that a plan has for them."""
    if not axes:
        return "none"
    order = stage.preprocessing.axis_order[-stage.dimensions :]
    letters, numbers = [f"{'zyx'[order[axis]]}" for axis in axes], [str(axis) for axis in axes]
    return f"along {', '.join(letters)} ({'axis' if len(axes) == 1 else 'axes'} {', '.join(numbers)} of the patch)"


def _besides(previous: Previous | None) -> str:
    return "nothing" if previous is None else f"what {previous.stage} predicts"


def _cut(crop: CropAround | CropFixed | None) -> str:
    match crop:
        case CropAround(margin_mm=margin):
            return f"to {_predicted(crop.labels)}, with a margin of {number(margin)} mm"
        case CropFixed(size_mm=size):
            return f"to a box of {in_mm(size)} mm, centred on {_predicted(crop.labels)}"
        case None:
            return "none"


def _masked(mask: Mask | None) -> str:
    return "none" if mask is None else f"{number(mask.value)} outside of {_predicted(mask.labels)}"


def _predicted(labels: Sequence[str]) -> str:
    return f"the predicted {', '.join(labels)}" if labels else "all that is predicted"


def _interpolated(order: int) -> str:
    return SPLINES.get(order, f"splines of order {order}")


def _grids(grids: Sequence[Sequence[int]]) -> str:
    return runs(["×".join(map(str, grid)) for grid in grids])


def _counts(counts: Sequence[int]) -> str:
    return runs([str(count) for count in counts])


def _memory(needed: dict[str, float]) -> str:
    return f"{number(needed['training_gb'])} GB to train, {number(needed['inference_gb'])} GB to predict"


_SAID: dict[str, Callable[[Any], str]] = {
    "dimensions": lambda dimensions: "single slices (2-D)" if dimensions == 2 else "volumes (3-D)",
    "previous": _besides,
    "previous.stage": lambda stage: f"what {stage} predicts",
    "previous.crop": _cut,
    "previous.mask": _masked,
    "preprocessing.orientation": _oriented,
    "preprocessing.crop_to_nonzero": lambda crop: "to what is not 0" if crop else "none",
    "preprocessing.axis_order": lambda order: ", ".join("zyx"[axis] for axis in order),
    "preprocessing.spacing_mm": lambda spacing: "any" if spacing is None else f"{in_mm(spacing)} mm",
    "preprocessing.resize_to": lambda size: "none" if size is None else f"{by(size)} voxels",
    "preprocessing.image_order": _interpolated,
    "preprocessing.coarse_axis_order": _interpolated,
    "preprocessing.label_order": _interpolated,
    "network.kind": lambda kind: NETWORKS[kind],
    "network.features": _counts,
    "network.strides": _grids,
    "network.kernels": _grids,
    "network.encoder_convolutions": _counts,
    "network.encoder_blocks": _counts,
    "network.decoder_convolutions": _counts,
    "network.decoder_blocks": _counts,
    "sampling.patch_size": lambda size: f"{by(size)} voxels",
    "sampling.batch_size": lambda size: f"{size} patch{'es' * (size > 1)}",
    "sampling.foreground_fraction": percent,
    "sampling.foreground": lambda how: DRAWN[how],
    "loss": minimised,
    "optimizer": optimised,
    "schedule": scheduled,
    "stopping": stopped,
    "average": averaged,
    "training.minutes": lambda minutes: "none" if minutes is None else counted(minutes, "minute"),
    "inference.overlap": percent,
    "inference.gaussian_sigma": lambda sigma: "all alike" if sigma is None else f"{percent(sigma)} of the patch",
    "inference.air": lambda level: "nothing" if level is None else f"up to {number(level)} in the files",
    "inference.return_order": _interpolated,
    "memory": _memory,
}
