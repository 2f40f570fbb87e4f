"""What a dataset says of itself: the part that travels into the fingerprint and every plan.

Comes in: what a layout found. Goes out: `Description`, which is JSON in those files.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from autoseg.dataset.labels import Labels
from autoseg.frozen import Frozen

Scheme = Literal["ct", "zscore", "rescale_0_1", "rgb", "none"]  # the kinds of normalisation in a plan


class Description(Frozen):
    """Name, channels and labels of a dataset.

    Attributes:
        name: as people know it.
        channels: name of each image channel, in the order of the arrays ("CT", "T2").
        labels: what the label maps hold.
        dimensions: of the image files, 2 or 3.
        normalisation: one entry a channel, the scheme that the dataset asks for or None to leave
            it to the planner; None altogether where it asks for nothing.
    """

    name: str
    channels: tuple[str, ...] = Field(min_length=1)
    labels: Labels
    dimensions: Literal[2, 3] = 3
    normalisation: tuple[Scheme | None, ...] | None = None

    @model_validator(mode="after")
    def _one_scheme_a_channel(self) -> Description:
        if self.normalisation is not None and len(self.normalisation) != len(self.channels):
            raise ValueError(
                f"normalisation has {len(self.normalisation)} of {len(self.channels)} entries "
                f"({', '.join(self.channels)}): give one a channel, null to leave it open"
            )
        return self

    def is_like(self, other: Description) -> bool:
        """Whether models of both see the same channels and mean the same by their outputs.

        The order of labels means nothing. That of regions does: they are outputs, and painted, one after the other.
        """
        ours, theirs = self.labels, other.labels
        same_regions = list(ours.regions.items()) == list(theirs.regions.items())
        return same_regions and (self.channels, ours) == (other.channels, theirs)

    def described(self) -> str:
        """Channels and labels as people read them: 'channels CT and labels background 0, kidney 1'."""
        regions = [f"{name} {'+'.join(map(str, region.values))}" for name, region in self.labels.regions.items()]
        united = f", regions {', '.join(regions)}" if regions else ""
        return f"channels {', '.join(self.channels)} and labels {self.labels.described()}{united}"
