"""Preparing all cases of a dataset, several at a time; those that are done already are left alone.

Comes in: `Dataset`, the plan's `Preprocessing`, a folder. Goes out: a `PreparedCase` a case.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.reading import read_case
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.geometry import Shape
from autoseg.memory import available_memory_bytes
from autoseg.parallel import available_cores, map_items
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing.cost import jobs_that_fit, predict_costs, require_room
from autoseg.preprocessing.locations import sample_locations
from autoseg.preprocessing.preparing import prepare_image, prepare_labels
from autoseg.preprocessing.store import PreparedCase, Record, Source, update_record, write_prepared
from autoseg.progress import Progress, silent


def prepare_dataset(
    dataset: Dataset,
    preprocessing: Preprocessing,
    patch_size: Shape,
    folder: Path,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[PreparedCase]:
    """Prepares the training cases of a dataset and keeps them in a folder.

    A case is done when its record is there and its files have the content they were prepared from; so a second
    run does what a first one left, and what changed. Content is compared only where a path, a size or a time of
    change differs from the record.

    Args:
        dataset: its training cases are prepared.
        preprocessing: the plan's.
        patch_size: voxels, (z, y, x) or (y, x); decides how arrays are divided on disk, no more.
        folder: where the files go; one for each `prepared_key`.
        jobs: processes; None takes as many as there are cores, and as the memory holds cases.
        progress: told of every finished case.

    Returns:
        All training cases, in the order of the dataset.

    Raises:
        DatasetError: no case has an image, a case cannot be read, or it contradicts the dataset. What is done
            is kept.
        WorkspaceError: the disk has too little room.
        AutosegError: a process died over a case, though nothing else ran beside it. All others are done.
    """
    dataset.require_images()
    undone = [case for case in dataset.cases if not _is_done(case, folder)]
    costs = predict_costs(undone, preprocessing)
    require_room(costs, folder)
    if any(cost.resampled for cost in costs):
        import autoseg.preprocessing.resampling_classes  # noqa: F401  # torch, before there are processes to wait for it
    fitting = min(available_cores(), jobs_that_fit(costs, available_memory_bytes()))
    prepare = partial(
        prepare_case,
        dataset=dataset.path,
        preprocessing=preprocessing,
        description=dataset.description,
        patch_size=patch_size,
        folder=folder,
    )
    count = fitting if jobs is None else jobs
    map_items(prepare, undone, count, "preparing cases", progress, name=lambda case: case.name, apart=jobs is None)
    return [PreparedCase(case.name, folder) for case in dataset.cases]


def prepare_case(
    case: Case, dataset: Path, description: Description, preprocessing: Preprocessing, patch_size: Shape, folder: Path
) -> None:
    """Prepares one case and writes it.

    Raises:
        DatasetError: with the name of the case.
    """
    try:
        _prepare(case, description, preprocessing, patch_size, folder)
    except DatasetError as problem:
        raise DatasetError(
            f"case '{case.name}': {problem}\n`autoseg check {dataset}` lists every such problem of the dataset."
        ) from None


def _prepare(
    case: Case, description: Description, preprocessing: Preprocessing, patch_size: Shape, folder: Path
) -> None:
    sources = _sources(case)  # before reading: a change in between makes the record outdated, not wrong
    prepared = PreparedCase(case.name, folder)
    before = _whole(prepared)
    if before is not None and _contents(before.sources) == _contents(sources):  # only moved, copied or touched
        update_record(prepared, before.model_copy(update={"sources": sources}))
        return
    image, label_map = read_case(case, description)
    array, placement = prepare_image(image, preprocessing)
    del image
    class_map = prepare_labels(label_map, placement, description.labels, preprocessing.label_order)
    del label_map
    locations = sample_locations(class_map, description.labels)
    if _is_done(case, folder):  # by another command, meanwhile: one that may be reading it already
        return
    write_prepared(prepared, array, class_map, locations, sources, placement, patch_size)


def _is_done(case: Case, folder: Path) -> bool:
    record = _whole(PreparedCase(case.name, folder))
    if record is None:
        return False
    try:
        found = [_stamp(path) for path in _files(case)]
    except OSError:
        return False
    return [(source.path, source.size, source.modified_ns) for source in record.sources] == found


def _whole(prepared: PreparedCase) -> Record | None:
    """The record of a prepared case that has all its files, of the sizes they were written with."""
    try:
        record = prepared.record
        return record if record.sizes == prepared.sizes() else None
    except (WorkspaceError, OSError):
        return None


def _contents(sources: tuple[Source, ...]) -> list[str]:
    return [source.sha256 for source in sources]


def _sources(case: Case) -> tuple[Source, ...]:
    try:
        return tuple(_source(path) for path in _files(case))
    except OSError as problem:
        raise DatasetError(
            f"{problem.filename}: cannot be read ({problem.strerror}). Restore the file, or leave the case out."
        ) from None


def _source(path: Path) -> Source:
    name, size, modified_ns = _stamp(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(path=name, size=size, modified_ns=modified_ns, sha256=digest)


def _stamp(path: Path) -> tuple[str, int, int]:
    """What tells at a glance whether a file has changed: path, size, time of the last change."""
    resolved = path.resolve()
    status = resolved.stat()
    return str(resolved), status.st_size, status.st_mtime_ns


def _files(case: Case) -> tuple[Path, ...]:
    return (*case.images, case.label) if case.label else case.images
