"""Pictures of predictions beside the truth: what is drawn, and where."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.reporting import Overlay, draw_overlays
from autoseg.reporting.overlay import _slices, _window

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2}, ignore=9)
REGIONS = Labels(
    values={"background": 0, "oedema": 1, "core": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
)


def overlay(
    shape: tuple[int, int, int] = (6, 8, 10),
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0),
    true: tuple[int, int, int] | None = (4, 5, 6),
    predicted: tuple[int, int, int] | None = (4, 5, 7),
) -> Overlay:
    """A case of one true and one predicted voxel; intensities say where a voxel lies."""
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    reference, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    if true:
        reference[true] = 1
    if predicted:
        prediction[predicted] = 2
    return Overlay("case", image, spacing_mm, reference, prediction, "Dice 0.50")


@pytest.mark.parametrize(
    ("item", "place", "shape"),
    [
        pytest.param(overlay(), "z = 4", (8, 10), id="across the coarsest axis"),
        pytest.param(overlay(spacing_mm=(1, 4, 1)), "y = 5", (6, 10), id="coarse y"),
        pytest.param(overlay(spacing_mm=(1, 1, 4)), "x = 6", (6, 8), id="coarse x"),
        pytest.param(overlay(spacing_mm=(1, 1, 1)), "z = 4", (8, 10), id="isotropic"),
        pytest.param(overlay((1, 8, 10), (1, 5, 1), (0, 5, 6), None), "z = 0", (8, 10), id="two dimensions"),
        pytest.param(overlay(true=None), "z = 4", (8, 10), id="nothing true: the prediction decides"),
        pytest.param(overlay(true=None, predicted=None), "z = 3", (8, 10), id="nothing at all: the middle"),
    ],
)
def test_slice(item: Overlay, place: str, shape: tuple[int, int]) -> None:
    row = _slices(item, LABELS)
    assert row.place == place
    assert row.image.shape == row.reference.shape == row.prediction.shape == shape


def test_the_slice_shows_most_of_the_targets_and_unannotated_voxels_are_none() -> None:
    item = overlay(true=None, predicted=None)
    item.reference[1] = 9  # not annotated
    item.reference[2, 2, :6] = 1  # kidney: 6 of 10 voxels
    item.reference[3, 2, :4] = 1  # kidney: 4 of 10
    assert _slices(item, LABELS).place == "z = 2"
    item.reference[3, 3, :1] = 2  # tumour: its only true voxel, 1 of 3
    assert _slices(item, LABELS).place == "z = 3"  # 4/10 + 1/3 > 6/10
    item.prediction[0, 0, :2] = 2  # tumour where none is: 2 of 3
    assert _slices(item, LABELS).place == "z = 3"  # 4/10 + 1/3 > 2/3
    item.prediction[0, 0, :4] = 2  # 4 of 5
    assert _slices(item, LABELS).place == "z = 0"  # 4/5 > 4/10 + 1/5


@pytest.mark.parametrize(
    ("spacing_mm", "aspect"), [((3.0, 1.0, 0.5), 2.0), ((1.0, 4.0, 0.5), 2.0), ((1.0, 0.5, 4.0), 2.0)]
)
def test_proportions_are_those_of_the_patient(spacing_mm: tuple[float, float, float], aspect: float) -> None:
    assert _slices(overlay(spacing_mm=spacing_mm), LABELS).aspect == aspect


def test_head_is_up() -> None:
    item = overlay(spacing_mm=(1, 4, 1))
    row = _slices(item, LABELS)
    np.testing.assert_array_equal(row.image[0], item.image[-1, 5])
    assert row.reference[6 - 1 - 4, 6] == 1 and row.prediction[6 - 1 - 4, 7] == 2


def test_window_is_that_of_the_surroundings() -> None:
    item = overlay()
    item.image[:] = 100
    item.image[:, 5] = np.linspace(0, 50, 10)
    item.image[:, 0, 0] = 1e6  # metal, far from what matters
    low, high = _window(_slices(item, LABELS), LABELS)
    assert 0 <= low < high <= 100
    flat = _slices(item._replace(image=np.zeros_like(item.image)), LABELS)
    assert _window(flat, LABELS) == (0.0, 1.0)


@pytest.mark.parametrize("labels", [LABELS, REGIONS])
def test_picture(tmp_path: Path, labels: Labels) -> None:
    path = tmp_path / "new" / "overlay.png"
    draw_overlays(path, [overlay(), overlay((1, 8, 10), true=(0, 0, 0), predicted=None)], labels)
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] == 1200 and picture.shape[2] == 4
    colours = picture[..., :3].reshape(-1, 3)
    # Truth is label 1, the first colour; the prediction is label 2, the second (in regions: both).
    for colour in ((0.902, 0.624, 0.0), (0.337, 0.706, 0.914)):
        assert (np.abs(colours - colour).max(axis=1) < 0.02).any()
    assert [file.name for file in path.parent.iterdir()] == ["overlay.png"]


def test_nothing_to_draw_but_the_image(tmp_path: Path) -> None:
    draw_overlays(tmp_path / "empty.png", [overlay(true=None, predicted=None)], LABELS)
    colours = matplotlib.image.imread(tmp_path / "empty.png")[..., :3]
    assert np.ptp(colours, axis=-1).max() < 0.01  # all grey


def test_more_targets_than_colours(tmp_path: Path) -> None:
    labels = Labels(values={"background": 0, **{f"organ {value}": value for value in range(1, 60)}})
    item = overlay((1, 8, 10), true=None, predicted=None)
    item.reference[0] = np.arange(80).reshape(8, 10) % 60
    draw_overlays(tmp_path / "many.png", [item], labels)
    assert matplotlib.image.imread(tmp_path / "many.png").shape[0] > 400
