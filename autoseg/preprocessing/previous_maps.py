"""What a previous stage predicted for the training cases, in the store.

Comes in: its label maps, on the images' own grids; prepared cases. Goes out: maps of classes on the grid of the
prepared images, as quick to read as labels; a report of what its crop or mask loses.

    FOLDER/previous/PLAN/STAGE/
      NAME.previous.b2nd          int16 (1, z, y, x): class indices
      NAME.previous.json          `MapRecord`; written last
      lost.json                   where images are cropped or masked: true labels that are not seen

The label map is resampled as one, class by class, and not the logits that it was decided from, as nnU-Net does in
training: so it is made alike in training and at test time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.images import read_label_map
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.files import read_frozen, write_json
from autoseg.frozen import Frozen
from autoseg.geometry import Shape
from autoseg.parallel import map_items
from autoseg.phrases import by, percent
from autoseg.plan.preprocessing import Preprocessing
from autoseg.plan.previous import CropFixed, Previous
from autoseg.preprocessing.arrays import write_array
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.preparing import prepare_labels
from autoseg.preprocessing.record import Source
from autoseg.preprocessing.sources import describe_source, is_untouched
from autoseg.preprocessing.store import PreparedCase
from autoseg.progress import Progress, silent

logger = logging.getLogger(__name__)

WORTH_A_WARNING = 1e-3  # share of the true labels that a stage does not see
REPORT = "lost.json"


class Refining(NamedTuple):
    """How a stage uses what another predicted, and where that is.

    Attributes:
        previous: the plan's.
        predictions: name of a case → its label map, predicted by a model that did not see the case.
        maps: folder for the maps and the report.
    """

    previous: Previous
    predictions: Mapping[str, Path]
    maps: Path


class MapRecord(Frozen):
    """What a map was made from.

    Attributes:
        prediction: the file.
        placement: of the prepared image.
        size: bytes of the map's file; a power cut may shorten it.
    """

    format: Literal[1] = 1
    prediction: Source
    placement: Placement
    size: int


def prepare_maps(
    cases: Sequence[PreparedCase],
    refining: Refining,
    labels: Labels,
    preprocessing: Preprocessing,
    patch_size: Shape,
    processes: int,
    progress: Progress = silent,
) -> None:
    """Brings predictions onto the grids of prepared images; those that are there already are left alone.

    Args:
        cases: prepared, with a folder for maps.
        refining: the predictions.
        labels: of the dataset.
        preprocessing: the plan's.
        patch_size: what the arrays are divided for on disk.
        processes: how many may work at once.
        progress: told of every finished case.

    Raises:
        DatasetError: a prediction cannot be read, or is not on its image's grid.
        WorkspaceError: a map cannot be written.
    """
    undone = [case for case in cases if not _is_done(case, refining.predictions[case.name])]
    prepare = partial(
        _prepare_map,
        predictions=refining.predictions,
        labels=labels,
        label_order=preprocessing.label_order,
        patch_size=patch_size,
    )
    what = f"preparing predictions of {refining.previous.stage}"
    map_items(prepare, undone, processes, what, progress, name=lambda case: case.name)


def map_digest(case: PreparedCase) -> str:
    """Content of the prediction that a case's map was made from.

    Raises:
        WorkspaceError: there is no record of it.
    """
    return _read_record(case).prediction.sha256


def report_lost(cases: Sequence[PreparedCase], refining: Refining) -> None:
    """Says how much of the true labels the cropped and masked images do not show, and writes it beside the maps."""
    refined = {case.name: found for case in cases if (found := case.record.refined) is not None}
    stage = refining.previous.stage
    for name, one in refined.items():
        if not one.found:
            logger.warning("warning: case '%s': %s found nothing to crop or mask by; all of it is seen", name, stage)
    targets = next(iter(refined.values())).voxels if refined else {}
    total = {name: sum(one.voxels[name] for one in refined.values()) for name in targets}
    outside = {name: sum(one.outside[name] for one in refined.values()) for name in targets}
    sizes = [one.covering_mm for one in refined.values() if one.covering_mm is not None]
    covering = [max(along) for along in zip(*sizes, strict=True)] if sizes else None
    lost, share = sum(outside.values()), sum(outside.values()) / max(1, sum(total.values()))
    told = ", ".join(f"{name} {count} of {total[name]} voxels" for name, count in outside.items() if count)
    if lost:
        fitting = (
            f" A box of {' × '.join(f'{size:.1f}' for size in covering)} mm holds all."
            if covering is not None and isinstance(refining.previous.crop, CropFixed)
            else ""
        )
        severe = share > WORTH_A_WARNING
        logger.log(
            logging.WARNING if severe else logging.INFO,
            "%sof the true labels, %s lie outside of what %s leaves (%s).%s",
            "warning: " * severe,
            percent(share),
            stage,
            told,
            fitting,
        )
    else:
        logger.info("all true labels lie in what %s leaves", stage)
    report: dict[str, Any] = {
        "format": 1,
        "voxels": total,
        "outside": outside,
        "share_outside": share,
        "covering_mm": covering,
        "cases": {
            name: {"found": one.found, "voxels": one.voxels, "outside": one.outside} for name, one in refined.items()
        },
    }
    write_json(refining.maps / REPORT, report)


def read_prediction(path: Path, shape: Shape, labels: Labels) -> NDArray[np.integer]:
    """Reads a label map that was predicted for an image, (z, y, x), in the values of the files.

    Args:
        path: of the map.
        shape: of the image.
        labels: what may be predicted.

    Raises:
        DatasetError: it cannot be read, is another image's, or holds other values.
    """
    remedy = "Remove the folder it is in, and run the same command again: the cases are predicted anew."
    try:
        label_map, grid = read_label_map(path)
    except DatasetError as problem:
        raise DatasetError(f"{problem} It was predicted: {remedy[0].lower()}{remedy[1:]}") from None
    if grid.shape != tuple(shape):
        raise DatasetError(f"{path}: a prediction of {by(grid.shape)} voxels for an image of {by(shape)}. {remedy}")
    if unknown := labels.undeclared(np.unique(label_map).tolist()):
        raise DatasetError(f"{path}: {unknown}. {remedy}")
    return label_map


def _prepare_map(
    case: PreparedCase, predictions: Mapping[str, Path], labels: Labels, label_order: int, patch_size: Shape
) -> None:
    path, placement = predictions[case.name], case.placement
    source = describe_source(path)
    class_map = prepare_labels(read_prediction(path, placement.native_shape, labels), placement, labels, label_order)
    _record_path(case).unlink(missing_ok=True)
    write_array(case.previous_path, class_map[None], patch_size)
    record = MapRecord(prediction=source, placement=placement, size=case.previous_path.stat().st_size)
    write_json(_record_path(case), record.model_dump(mode="json"), durable=False)


def _is_done(case: PreparedCase, prediction: Path) -> bool:
    try:
        record = _read_record(case)
        whole = record.size == case.previous_path.stat().st_size
    except (WorkspaceError, OSError):
        return False
    return whole and record.placement == case.placement and is_untouched(prediction, record.prediction)


def _read_record(case: PreparedCase) -> MapRecord:
    remedy = "Remove it and run `autoseg preprocess DATASET`."
    return read_frozen(MapRecord, _record_path(case), WorkspaceError, "a record of this version of autoseg", remedy)


def _record_path(case: PreparedCase) -> Path:
    return case.previous_path.with_suffix(".json")
