"""The part of a plan that says how a stage uses the prediction of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from autoseg.dataset.labels import Labels
from autoseg.frozen import Frozen
from autoseg.geometry import FINEST_MM
from autoseg.plan.preprocessing import MOST_MM

MOST_INTENSITY = 1e9  # what lies beyond is a slip of the keyboard

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]  # of a file or folder
Millimetres = Annotated[float, Field(ge=FINEST_MM, le=MOST_MM)]


class CropAround(Frozen):
    """The image is cut to a box around what was predicted.

    Attributes:
        labels: the box is around these labels or regions; none stands for all but the background.
        margin_mm: added on every side, mm.
    """

    kind: Literal["margin"] = "margin"
    labels: tuple[str, ...] = ()
    margin_mm: float = Field(default=20.0, ge=0, le=MOST_MM)


class CropFixed(Frozen):
    """The image is cut to a box of the same size for all, centred on what was predicted.

    Attributes:
        labels: the box is centred on these labels or regions; none stands for all but the background.
        size_mm: of the box, mm, in the order of the array's axes. Preparing the cases reports the size that covers the
            true labels of all of them.
    """

    kind: Literal["box"] = "box"
    labels: tuple[str, ...] = ()
    size_mm: tuple[Millimetres, Millimetres, Millimetres]


class Mask(Frozen):
    """Outside of what was predicted the image has one value.

    Attributes:
        labels: inside are these labels or regions; none stands for all but the background.
        value: of every channel outside, in the files' intensities.
    """

    labels: tuple[str, ...] = ()
    value: float = Field(ge=-MOST_INTENSITY, le=MOST_INTENSITY)


Crop = Annotated[CropAround | CropFixed, Field(discriminator="kind")]


class Previous(Frozen):
    """How a stage uses the prediction of another.

    Attributes:
        stage: name of the other stage.
        as_channels: each of its labels becomes an image channel, 1 inside and 0 outside.
        crop: the part of the image that is seen, in place of `preprocessing.crop_to_nonzero`; None leaves that.
        mask: the part of the image that keeps its intensities; None for all.
    """

    stage: Name
    as_channels: bool = True
    crop: Crop | None = None
    mask: Mask | None = None

    @model_validator(mode="after")
    def _is_used(self) -> Previous:
        if not (self.as_channels or self.changes_image):
            raise ValueError(
                f"nothing is made of what '{self.stage}' predicts: set as_channels, crop or mask, or previous to null"
            )
        return self

    @property
    def changes_image(self) -> bool:
        """Whether the prepared image depends on the prediction."""
        return self.crop is not None or self.mask is not None


def unfit_previous(stages: Mapping[str, Previous | None], labels: Labels) -> Iterator[str]:
    """What keeps the stages of a plan from building on each other, each with its place.

    Args:
        stages: name → what it builds on.
        labels: of the dataset.
    """
    for name, previous in stages.items():
        if previous is None:
            continue
        if previous.stage not in stages or previous.stage == name:
            others = ", ".join(other for other in stages if other != name) or "none"
            yield (f"{name}.previous.stage '{previous.stage}' is no other stage of this plan; the others are: {others}")
            return
        if circle := _circle(stages, name):
            yield (
                f"{name}.previous.stage: {' builds on '.join(circle)}, so none can be trained first; begin with a "
                "stage whose previous is null"
            )
            return
        yield from (f"{name}.previous.{fault}" for fault in _unknown_labels(previous, labels))


def _circle(stages: Mapping[str, Previous | None], name: str) -> list[str]:
    """The stages from one to the one it comes back to; none where there is a first one."""
    chain = [name]
    while (previous := stages.get(chain[-1])) is not None:
        chain.append(previous.stage)
        if chain[-1] in chain[:-1]:
            return chain
    return []


def _unknown_labels(previous: Previous, labels: Labels) -> Iterator[str]:
    known = [*(name for name, value in labels.values.items() if value != 0), *labels.regions]
    for field, part in (("crop", previous.crop), ("mask", previous.mask)):
        for label in () if part is None else part.labels:
            if label not in known:
                yield f"{field}.labels: '{label}' is no label of the dataset; there is: {', '.join(known)}"
