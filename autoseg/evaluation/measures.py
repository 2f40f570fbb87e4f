"""Everything that is measured of one target in one case.

Comes in: a predicted and a true mask. Goes out: `Measures`; how each is defined is the description of its field, and
is written into every file of scores.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autoseg.evaluation.lesions import Lesions, match_lesions
from autoseg.evaluation.overlap import Voxels, count_voxels, ratio
from autoseg.evaluation.surfaces import SurfaceDistances, surface_distances
from autoseg.frozen import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class Measures(Frozen):
    """How well one target was found in one case; None where a measure does not count.

    >>> masks = np.array([[[True, True, False]], [[False, True, False]]])
    >>> measures = measure_masks(*masks, Scale((10.0, 10.0), voxel_ml=0.5, tolerance_mm=2.0, farthest_mm=30.0))
    >>> measures.dice, measures.volume_difference_ml, measures.hd95_mm
    (0.6666666666666666, 0.5, 9.5)
    """

    dice: Share | None = Field(
        default=None, ge=0, le=1, description="2 |P ∩ R| / (|P| + |R|) in voxels, P predicted and R true."
    )
    iou: Share | None = Field(default=None, description="|P ∩ R| / |P ∪ R| in voxels.")
    precision: Share | None = Field(
        default=None, ge=0, le=1, description="|P ∩ R| / |P|; null when nothing is predicted."
    )
    recall: Share | None = Field(default=None, description="|P ∩ R| / |R|; null when nothing is true.")
    surface_dice: Share | None = Field(
        default=None,
        description="The share of the boundary voxels of P and of R that lie within tolerance_mm of the other's. A "
        "boundary voxel has a face neighbour outside its mask or lies at the edge of the image; distances are between "
        "voxel centres. 0 when one of P and R is empty.",
    )
    hd95_mm: float | None = Field(
        default=None,
        description="The larger of two 95th percentiles: of the distances of P's boundary voxels to R's, and of R's to "
        "P's. When one of P and R is empty, the diagonal of the image: no distance in it is larger.",
    )
    assd_mm: float | None = Field(
        default=None,
        description="The mean distance to the other's, over the boundary voxels of P and of R. When one of P and R is "
        "empty, the diagonal of the image.",
    )
    predicted_ml: float | None = Field(default=None, description="The volume of P; pixels of a picture are 1 mm thick.")
    true_ml: float | None = Field(default=None, description="The volume of R.")
    volume_difference_ml: float | None = Field(default=None, description="predicted_ml - true_ml.")
    relative_volume_difference: float | None = Field(
        default=None, description="volume_difference_ml / true_ml; null when nothing is true."
    )
    lesion_f1: Share | None = Field(
        default=None,
        description="2 matched / (predicted + true) lesions. Lesions are connected components (26 neighbours, 8 in "
        "2-D). A predicted and a true one may be matched when their intersection is at least 0.1 of their union; each "
        "is matched once at most, and as many are as can be.",
    )
    lesion_precision: Share | None = Field(
        default=None, description="matched / predicted lesions; null when none is predicted."
    )
    lesion_recall: Share | None = Field(default=None, description="matched / true lesions; null when none is true.")
    predicted_lesions: int | None = Field(default=None, description="The number of lesions in P.")
    true_lesions: int | None = Field(default=None, description="The number of lesions in R.")
    matched_lesions: int | None = Field(default=None, description="The number of matched lesions.")


DEFINITIONS = {name: str(field.description) for name, field in Measures.model_fields.items()}


class Scale(NamedTuple):
    """What turns voxels into mm and ml.

    Attributes:
        spacing_mm: between voxel centres, in the order of the axes of the masks.
        voxel_ml: volume of a voxel.
        tolerance_mm: of surface Dice.
        farthest_mm: the distance to a surface that is not there.
    """

    spacing_mm: tuple[float, ...]
    voxel_ml: float
    tolerance_mm: float
    farthest_mm: float


def measure_masks(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], scale: Scale) -> Measures:
    """Measures two masks of one target; nothing counts where both are empty.

    Args:
        prediction: 2-D or 3-D; the box around both masks is enough.
        reference: of the same shape.
        scale: what turns voxels into mm and ml.

    Raises:
        ValueError: the shapes differ.
    """
    voxels = count_voxels(prediction, reference)
    if not voxels.predicted and not voxels.true:
        return Measures()
    apart = surface_distances(prediction, reference, scale.spacing_mm) if voxels.predicted and voxels.true else None
    return Measures(
        **_overlap(voxels, scale.voxel_ml),
        **_surface(apart, scale),
        **_lesion(match_lesions(prediction, reference)),
    )


def _overlap(voxels: Voxels, voxel_ml: float) -> dict[str, float | None]:
    excess = voxels.predicted - voxels.true
    return {
        "dice": voxels.dice,
        "iou": voxels.iou,
        "precision": voxels.precision,
        "recall": voxels.recall,
        "predicted_ml": voxels.predicted * voxel_ml,
        "true_ml": voxels.true * voxel_ml,
        "volume_difference_ml": excess * voxel_ml,
        "relative_volume_difference": ratio(excess, voxels.true),
    }


def _surface(apart: SurfaceDistances | None, scale: Scale) -> dict[str, float]:
    if apart is None:
        return {"surface_dice": 0.0, "hd95_mm": scale.farthest_mm, "assd_mm": scale.farthest_mm}
    return {"surface_dice": apart.surface_dice(scale.tolerance_mm), "hd95_mm": apart.hd95_mm, "assd_mm": apart.assd_mm}


def _lesion(found: Lesions) -> dict[str, float | int | None]:
    return {
        "lesion_f1": found.f1,
        "lesion_precision": found.precision,
        "lesion_recall": found.recall,
        "predicted_lesions": found.predicted,
        "true_lesions": found.true,
        "matched_lesions": found.matched,
    }
