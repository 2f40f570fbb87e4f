"""`predictions.json`: by which model a folder of predictions was made, and from which images.

Comes in: a folder, the model that fills it, the images of a case. Goes out: whether a file in the folder is the
prediction of just those images. The record of a file is written before the file: a kill in between
leaves a record without its file, which is made again, and never a file that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from autoseg.dataset import Labels
from autoseg.errors import AutosegError, DatasetError
from autoseg.files import read_frozen, write_json
from autoseg.frozen import Frozen
from autoseg.plan.postprocessing import Rule

RECORD: Final = "predictions.json"


class ImageFile(Frozen):
    """An image file as it was when it was predicted, told from its folder's listing: no image is read to know it again.

    Attributes:
        file: its name, without the folder, so that images and predictions can be moved.
        size: bytes.
        modified_ns: time of its last change, nanoseconds since 1970.
    """

    file: str
    size: int
    modified_ns: int


class Record(Frozen):
    """What is known of the predictions in a folder.

    Attributes:
        plan: name of the model's plan.
        stage: of the plan; several are joined by ' + '.
        folds: how many were averaged.
        trained: when the model was, after those it builds on; "" if nobody knows.
        mirrored: whether mirrored views were averaged.
        labels: what the values mean.
        postprocessing: rules that were applied, in order.
        machine: that made the first of them.
        files: name of a label map or of its probabilities → the images they were made from.
    """

    format: Literal[1] = 1
    plan: str
    stage: str
    folds: int
    trained: str
    mirrored: bool
    labels: Labels
    postprocessing: tuple[Rule, ...] = ()
    machine: dict[str, str] = Field(default_factory=dict)
    files: dict[str, tuple[ImageFile, ...]] = Field(default_factory=dict)


def read_labels(output: Path) -> Labels | None:
    """What the values of predictions in a folder mean; None where nobody recorded it.

    Raises:
        AutosegError: the record is broken.
    """
    return read_record(output).labels if (output / RECORD).is_file() else None


def read_record(output: Path) -> Record:
    """Reads the record of a folder.

    Raises:
        AutosegError: it is absent or broken.
    """
    remedy = "Remove it, or predict into a fresh folder."
    return read_frozen(Record, output / RECORD, AutosegError, "a record of predictions", remedy)


def recorded_files(output: Path) -> dict[str, tuple[ImageFile, ...]]:
    """`Record.files` of a folder; nothing where there is no record."""
    return read_record(output).files if (output / RECORD).is_file() else {}


def claim_folder(output: Path, record: Record) -> None:
    """Records the model that fills a folder.

    Raises:
        AutosegError: another model has filled it.
    """
    must_be_by(output, record)
    if not (output / RECORD).is_file():
        write_json(output / RECORD, record.model_dump(mode="json"))


def must_be_by(output: Path, record: Record) -> None:
    """Refuses a folder that another model has filled.

    Raises:
        AutosegError: one has.
    """
    if not (output / RECORD).is_file():
        return
    before, now = _model(read_record(output)), _model(record)
    for key, value in now.items():
        if before[key] != value:
            raise AutosegError(
                f"{output}: holds predictions of another model ({key}: {before[key]} there, {value} now). "
                "Give another output folder, or remove that one."
            )


def describe_images(images: Sequence[Path]) -> tuple[ImageFile, ...]:
    """The image files of a case as they are now.

    Raises:
        DatasetError: one is absent.
    """
    try:
        status = [path.stat() for path in images]
    except FileNotFoundError as absent:
        raise DatasetError(f"{absent.filename}: no such file. Give the path of an image.") from None
    return tuple(
        ImageFile(file=path.name, size=found.st_size, modified_ns=found.st_mtime_ns)
        for path, found in zip(images, status, strict=True)
    )


def is_made(
    files: Sequence[Path], sources: tuple[ImageFile, ...], recorded: Mapping[str, tuple[ImageFile, ...]]
) -> bool:
    """Whether files are there already, made from these images.

    Args:
        files: all in one folder.
        sources: what they are to be made from.
        recorded: `Record.files` of the folder.

    Raises:
        AutosegError: one of them is there and is something else.
    """
    there = [file for file in files if file.is_file()]
    for file in there:
        if recorded.get(file.name) == sources:
            continue
        found = (
            "the prediction of another image of this name, or of this one before it was changed"
            if file.name in recorded
            else f"a file that is no prediction made here ({RECORD} does not list it)"
        )
        raise AutosegError(f"{file}: {found}. Give another output folder, or remove the file.")
    return len(there) == len(files)


def record_files(files: Sequence[Path], sources: tuple[ImageFile, ...]) -> None:
    """Records what files, all in one folder with a record, are about to be made from."""
    output = files[0].parent
    before = read_record(output)  # anew: another process may be filling the folder, too
    now = before.model_copy(update={"files": before.files | {file.name: sources for file in files}})
    write_json(output / RECORD, now.model_dump(mode="json"))


def _model(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={"machine", "files"})
