"""Preparing all cases of a dataset, several at a time; those that are done already are left alone.

Comes in: `Dataset`, the plan's `Preprocessing`, a folder; what a previous stage predicted, if one did. Goes out: a
`PreparedCase` a case.
"""

from __future__ import annotations

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
from autoseg.preprocessing.cost import predict_costs, processes_that_fit, require_room
from autoseg.preprocessing.locations import sample_locations
from autoseg.preprocessing.preparing import prepare_image, prepare_labels
from autoseg.preprocessing.previous import Rules, find_focus, find_lost, masked
from autoseg.preprocessing.previous_maps import Refining, prepare_maps, read_prediction, report_lost
from autoseg.preprocessing.record import Record, Refined, Source
from autoseg.preprocessing.sources import describe_source, is_untouched
from autoseg.preprocessing.store import PreparedCase, update_record, write_prepared
from autoseg.progress import Progress, silent


def prepare_dataset(
    dataset: Dataset,
    preprocessing: Preprocessing,
    patch_size: Shape,
    folder: Path,
    processes: int | None = None,
    progress: Progress = silent,
    refining: Refining | None = None,
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
        processes: how many; None takes as many as there are cores, and as the memory holds cases.
        progress: told of every finished case.
        refining: what a previous stage predicted, and how it is used; None where there is none.

    Returns:
        All training cases, in the order of the dataset.

    Raises:
        DatasetError: no case has an image, a case cannot be read, or it contradicts the dataset. What is done
            is kept.
        WorkspaceError: the disk has too little room.
        AutosegError: a process died over a case, though nothing else ran beside it. All others are done.
    """
    dataset.require_images()
    focusing = refining if refining is not None and refining.previous.changes_image else None
    undone = [case for case in dataset.cases if not _is_done(case, folder, focusing)]
    costs = predict_costs(undone, preprocessing)
    require_room(costs, folder)
    if any(cost.resampled for cost in costs):
        import autoseg.preprocessing.resampling_classes  # noqa: F401  # torch, before there are processes to wait for it
    fitting = min(available_cores(), processes_that_fit(costs, available_memory_bytes()))
    prepare = partial(
        prepare_case,
        dataset=dataset.path,
        preprocessing=preprocessing,
        description=dataset.description,
        patch_size=patch_size,
        folder=folder,
        refining=focusing,
    )
    count = fitting if processes is None else processes
    map_items(prepare, undone, count, "preparing cases", progress, name=lambda case: case.name, apart=processes is None)
    maps = refining.maps if refining is not None and refining.previous.as_channels else None
    prepared = [PreparedCase(case.name, folder, maps) for case in dataset.cases]
    if undone and focusing is not None:
        report_lost(prepared, focusing)
    if maps is not None and refining is not None:
        prepare_maps(prepared, refining, dataset.description.labels, preprocessing, patch_size, count, progress)
    return prepared


def prepare_case(
    case: Case,
    dataset: Path,
    description: Description,
    preprocessing: Preprocessing,
    patch_size: Shape,
    folder: Path,
    refining: Refining | None = None,
) -> None:
    """Prepares one case and writes it.

    Raises:
        DatasetError: with the name of the case.
    """
    try:
        _prepare(case, description, preprocessing, patch_size, folder, refining)
    except DatasetError as problem:
        raise DatasetError(
            f"case '{case.name}': {problem}\n`autoseg check {dataset}` lists every such problem of the dataset."
        ) from None


def _prepare(
    case: Case,
    description: Description,
    preprocessing: Preprocessing,
    patch_size: Shape,
    folder: Path,
    refining: Refining | None,
) -> None:
    sources = tuple(map(describe_source, _files(case)))  # before reading: a change in between makes the record outdated
    focused = None if refining is None else describe_source(refining.predictions[case.name])
    prepared = PreparedCase(case.name, folder)
    before = _whole(prepared)
    if before is not None and _contents(before) == _contents_of(sources, focused):  # only moved, copied or touched
        refined = None if before.refined is None else before.refined.model_copy(update={"prediction": focused})
        update_record(prepared, before.model_copy(update={"sources": sources, "refined": refined}))
        return
    image, label_map = read_case(case, description)
    box, refined = None, None
    if refining is not None and focused is not None:
        rules = Rules(refining.previous, preprocessing, description.labels)
        prediction = read_prediction(refining.predictions[case.name], image.grid.shape, description.labels)
        focus = find_focus(prediction, image.grid, rules)
        lost = find_lost(label_map, prediction, image.grid, focus, rules)
        image, box = masked(image, focus, refining.previous), focus.box
        refined = Refined(prediction=focused, found=focus.found, **lost._asdict())
        del prediction, focus
    array, placement = prepare_image(image, preprocessing, box)
    del image
    class_map = prepare_labels(label_map, placement, description.labels, preprocessing.label_order)
    del label_map
    locations = sample_locations(class_map, description.labels)
    if _is_done(case, folder, refining):  # by another command, meanwhile: one that may be reading it already
        return
    write_prepared(prepared, array, class_map, locations, sources, placement, patch_size, refined)


def _is_done(case: Case, folder: Path, refining: Refining | None) -> bool:
    record = _whole(PreparedCase(case.name, folder))
    if record is None:
        return False
    found, sources = list(_files(case)), list(record.sources)
    if refining is not None and record.refined is not None:
        found.append(refining.predictions[case.name])
        sources.append(record.refined.prediction)
    return len(found) == len(sources) and all(map(is_untouched, found, sources))


def _whole(prepared: PreparedCase) -> Record | None:
    """The record of a prepared case that has all its files, of the sizes they were written with."""
    try:
        record = prepared.record
        return record if record.sizes == prepared.sizes() else None
    except (WorkspaceError, OSError):
        return None


def _contents(record: Record) -> list[str]:
    return _contents_of(record.sources, None if record.refined is None else record.refined.prediction)


def _contents_of(sources: tuple[Source, ...], prediction: Source | None) -> list[str]:
    return [source.sha256 for source in (*sources, *([] if prediction is None else [prediction]))]


def _files(case: Case) -> tuple[Path, ...]:
    return (*case.images, case.label) if case.label else case.images
