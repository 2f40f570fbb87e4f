"""Which way up the images are shown.

Comes in: the grids of the cases. Goes out: the orientation all of them are turned to, if any; and
their grids as they are then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autoseg.fingerprint.model import CaseFacts
from autoseg.fingerprint.orientation import turn
from autoseg.planner.decided import Decided


def common_orientation(cases: Sequence[CaseFacts]) -> Decided[str | None]:
    """The orientation most cases are stored in, for all; None, each file's own, where it is not known.

    A network that sees patients from different sides must learn each of them from a part of the
    cases, cannot tell left from right, and statistics over "the first axis" would mix axes.
    Turning only exchanges and reverses axes, so no voxel changes.

    Args:
        cases: all training cases.

    Returns:
        A code such as "LPS"; of those that are as frequent, the first in the alphabet. None where
        some case has no orientation: 2-D images, and facts that do not say (nnU-Net's fingerprints).
    """
    found = Counter(case.orientation for case in cases if case.orientation is not None)
    ranked = sorted(found, key=lambda code: (-found[code], code))
    unknown = len(cases) - found.total()
    facts = {"cases": {code: found[code] for code in ranked}, "without_orientation": unknown}
    if unknown:
        which = "No image says" if unknown == len(cases) else f"{unknown} of {len(cases)} images do not say"
        reason = f"{which} how the patient lies in it (2-D images never do), so all axes stay as they are stored."
        return Decided(None, "common_orientation", facts, reason)
    if len(ranked) == 1:
        stored = f"All {len(cases)} cases are" if len(cases) > 1 else "The case is"
        reason = (
            f"{stored} stored as {ranked[0]}, so none is turned in training; an image to predict "
            "that is stored otherwise is turned first."
        )
        return Decided(ranked[0], "common_orientation", facts, reason)
    first, second = ranked[:2]
    counted = ", ".join(f"{found[code]} as {code}" for code in ranked)
    reason = (
        f"The {len(cases)} cases are stored in {len(ranked)} orientations ({counted}). All are turned to {first}, "
        f"{'the most frequent' if found[first] > found[second] else 'the first in the alphabet of the most frequent'}, "
        "so that the network sees every patient from the same side; no voxel is interpolated for it."
    )
    alternative = (
        f"To {second}, {len(cases) - found[second]} cases would be turned instead of {len(cases) - found[first]}."
    )
    return Decided(first, "common_orientation", facts, reason, alternative)


def turned(case: CaseFacts, orientation: str | None) -> CaseFacts:
    """The grid of a case as it is after turning, so that like axes are compared with like.

    Args:
        case: as stored.
        orientation: what the plan turns images to; None turns nothing.

    >>> sagittal = CaseFacts(name="a", shape=(20, 256, 240), spacing_mm=(5.0, 1.0, 0.9),
    ...                      shape_after_crop=(18, 200, 150), relative_size=0.44, orientation="PSR")
    >>> turned(sagittal, "LPS").spacing_mm
    (1.0, 0.9, 5.0)
    """
    if orientation is None or case.orientation is None:
        return case
    z, y, x = turn(case.orientation, orientation).axes
    return case.model_copy(
        update={
            "shape": (case.shape[z], case.shape[y], case.shape[x]),
            "spacing_mm": (case.spacing_mm[z], case.spacing_mm[y], case.spacing_mm[x]),
            "shape_after_crop": (case.shape_after_crop[z], case.shape_after_crop[y], case.shape_after_crop[x]),
            "orientation": orientation,
        }
    )
