"""Scoring folders of label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.images import write_label_map
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.evaluation import evaluate
from autoseg.geometry import Grid, plain_grid

LABELS = Labels(values={"background": 0, "kidney": 1})
GRID = plain_grid((1, 2, 2), (3.0, 1.0, 1.0))


def write(folder: Path, maps: Mapping[str, list[int]], grid: Grid = GRID) -> Path:
    """Label maps of four voxels, file name → values."""
    folder.mkdir(exist_ok=True)
    for name, values in maps.items():
        write_label_map(folder / name, np.array(values, np.uint8).reshape(grid.shape), grid)
    return folder


@pytest.mark.parametrize("processes", [1, 2])
def test_folders_are_paired_by_name(tmp_path: Path, processes: int) -> None:
    predictions = write(tmp_path / "predictions", {"b.nii.gz": [0, 1, 1, 0], "a.nii.gz": [0, 0, 0, 0]})
    references = write(tmp_path / "labelsTr", {name: [0, 1, 0, 0] for name in ("a.nii.gz", "b.nrrd")})
    (predictions / "plan.json").write_text("{}")
    (predictions / ".b.nii.gz.17.tmp.nii.gz").write_text("half-written")
    scores = evaluate(predictions, references, LABELS, processes=processes)
    assert scores.dice == {"a": {"kidney": 0.0}, "b": {"kidney": pytest.approx(2 / 3)}}
    assert list(scores.dice) == ["a", "b"]
    assert (scores.unpredicted, scores.counted_as_empty, scores.averaged) == ((), (), ("kidney",))


@pytest.fixture
def one_of_three(tmp_path: Path) -> tuple[Path, Path]:
    predictions = write(tmp_path / "predictions", {"b.nii.gz": [0, 1, 1, 0]})
    maps = {"a.nii.gz": [0, 1, 0, 0], "b.nii.gz": [0, 1, 1, 0], "c.nii.gz": [0, 0, 0, 0]}
    return predictions, write(tmp_path / "labelsTr", maps)


def test_a_missing_prediction_is_an_error(one_of_three: tuple[Path, Path]) -> None:
    predictions, references = one_of_three
    with pytest.raises(DatasetError) as error:
        evaluate(*one_of_three, LABELS, processes=1)
    assert str(error.value) == (
        f"{predictions}: no prediction of a, c; there are references of them among the 3 in {references}. Predict what "
        "is missing, or say what it counts as: --missing empty scores it as if nothing was found, --missing skip "
        "leaves it out."
    )
    given = {name: references / f"{name}.nii.gz" for name in "ab"}
    with pytest.raises(DatasetError, match="no prediction of a; there are references of it among the 2 given"):
        evaluate(predictions, given, LABELS, processes=1)


def test_a_missing_prediction_may_count_as_empty(one_of_three: tuple[Path, Path]) -> None:
    scores = evaluate(*one_of_three, LABELS, processes=1, missing="empty")
    assert scores.dice == {"a": {"kidney": 0.0}, "b": {"kidney": 1.0}, "c": {"kidney": None}}
    assert (scores.counted_as_empty, scores.unpredicted) == (("a", "c"), ())
    assert scores.cases["a"]["kidney"].hd95_mm == pytest.approx((2**2 + 2**2) ** 0.5)  # one slice of 2 × 2 pixels


def test_a_missing_prediction_may_be_left_out(one_of_three: tuple[Path, Path]) -> None:
    scores = evaluate(*one_of_three, LABELS, processes=1, missing="skip")
    assert scores.dice == {"b": {"kidney": 1.0}}
    assert (scores.counted_as_empty, scores.unpredicted) == ((), ("a", "c"))


def test_spacing_tolerance_and_regions(tmp_path: Path) -> None:
    """Two voxels 3 mm apart along z; spacing comes from the files."""
    grid = plain_grid((2, 1, 2), (3.0, 1.0, 1.0))
    labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    predictions = write(tmp_path / "predictions", {"a.nii.gz": [1, 0, 0, 2]}, grid)
    references = write(tmp_path / "references", {"a.nii.gz": [0, 0, 1, 2]}, grid)
    scores = [
        evaluate(predictions, references, labels, processes=1, tolerance_mm=tolerance, regions={"both": (1, 2)})
        for tolerance in (2.9, 3.0)
    ]
    assert [one.cases["a"]["kidney"].surface_dice for one in scores] == [0.0, 1.0]
    assert [one.tolerance_mm for one in scores] == [2.9, 3.0]
    assert scores[0].cases["a"]["kidney"].assd_mm == 3.0
    assert scores[0].dice == {"a": {"kidney": 0.0, "tumour": 1.0, "both": 0.5}}
    assert (scores[0].averaged, scores[0].mean) == (("kidney", "tumour"), 0.5)


@pytest.mark.parametrize("tolerance_mm", [-1.0, float("nan"), float("inf"), 1e308])
def test_tolerance_that_is_none(tmp_path: Path, tolerance_mm: float) -> None:
    with pytest.raises(ValueError, match=r"(-1\.0|nan|inf|1e\+308) mm; it must be 0 or more, and 1e\+06 at most"):
        evaluate(tmp_path, tmp_path, LABELS, tolerance_mm=tolerance_mm)


def test_references_by_name(tmp_path: Path) -> None:
    predictions = write(tmp_path / "predictions", {"case.nii.gz": [0, 1, 1, 0]})
    references = write(tmp_path / "anywhere", {"segmentation.nii.gz": [0, 1, 1, 0]})
    scores = evaluate(str(predictions), {"case": references / "segmentation.nii.gz"}, LABELS, processes=1)
    assert scores.dice == {"case": {"kidney": 1.0}}
    assert scores.unpredicted == ()


def test_prediction_without_reference(tmp_path: Path) -> None:
    predictions = write(tmp_path / "predictions", {f"p{number}.nii.gz": [0] * 4 for number in range(7)})
    references = write(tmp_path / "references", {"p0.nii.gz": [0] * 4})
    with pytest.raises(DatasetError, match=r"p1, p2, p3, p4, p5 and 1 more have no reference among the 1 in"):
        evaluate(predictions, references, LABELS, processes=1)
    with pytest.raises(DatasetError, match=r"p6 has no reference among the 6 given"):
        evaluate(predictions, {f"p{number}": tmp_path for number in range(6)}, LABELS, processes=1)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (plain_grid((1, 4, 1), (3.0, 1.0, 1.0)), "  reference   1 × 4 × 1 voxels of 3.00 × 1.00 × 1.00 mm "),
        (plain_grid((1, 2, 2), (2.5, 1.0, 1.0)), "  reference   1 × 2 × 2 voxels of 2.50 × 1.00 × 1.00 mm "),
        (GRID._replace(origin=(0.0, 5.0, 0.0)), " mm, origin (0.00, 5.00, 0.00) mm "),
    ],
)
def test_grids_must_agree(tmp_path: Path, grid: Grid, message: str) -> None:
    predictions = write(tmp_path / "predictions", {"case.nii.gz": [0, 1, 1, 0]})
    references = write(tmp_path / "references", {"case.nii.gz": [0, 1, 1, 0]}, grid)
    with pytest.raises(DatasetError) as error:
        evaluate(predictions, references, LABELS, processes=1)
    text = str(error.value)
    assert text.startswith("case 'case': prediction and reference lie on different grids\n  prediction  1 × 2 × 2")
    assert message in text
    assert str(predictions / "case.nii.gz") in text and str(references / "case.nii.gz") in text
    assert text.endswith("resample the prediction onto the reference's grid (nearest neighbour).")


def test_undeclared_value_names_case_and_files(tmp_path: Path) -> None:
    predictions = write(tmp_path / "predictions", {"case.nii.gz": [0, 5, 1, 0]})
    references = write(tmp_path / "references", {"case.nii.gz": [0, 1, 1, 0]})
    with pytest.raises(DatasetError, match=r"case 'case' \(.*case\.nii\.gz\): in the prediction, .* holds value 5"):
        evaluate(predictions, references, LABELS, processes=1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, r"predictions: no such folder of predictions\. Check the path\."),
        (["notes.txt"], r"predictions: no label map among the predictions\..* ends in \.nii\.gz"),
        (["case.nii.gz", "case.nrrd"], r"case 'case' has two files, case\.nii\.gz and case\.nrrd\. Remove one\."),
    ],
)
def test_folder_that_cannot_be_scored(tmp_path: Path, files: list[str] | None, message: str) -> None:
    folder = tmp_path / "predictions"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    with pytest.raises(DatasetError, match=message):
        evaluate(folder, {"case": tmp_path / "case.nii.gz"}, LABELS, processes=1)


def test_real_references_score_one_against_themselves(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    references = real_data("hippocampus") / "labelsTr"
    for file in sorted(references.glob("*.nii.gz"))[:3]:
        (tmp_path / file.name).symlink_to(file)
    labels = Labels(values={"background": 0, "anterior": 1, "posterior": 2})
    scores = evaluate(tmp_path, references, labels, processes=2, missing="skip")
    assert scores.per_target == {"anterior": 1.0, "posterior": 1.0}
    means = scores.means()["anterior"]
    perfect = ("surface_dice", "lesion_recall", "iou")
    assert {name: means[name].mean for name in perfect} == dict.fromkeys(perfect, 1.0)
    assert (means["hd95_mm"].mean, means["assd_mm"].mean, means["volume_difference_ml"].mean) == (0, 0, 0)
    assert len(scores.unpredicted) == 197
