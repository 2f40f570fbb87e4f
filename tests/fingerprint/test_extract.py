"""Fingerprints of small datasets, worked out by hand or by NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage as ndi

from autoseg.dataset import Case, Dataset, Description, Labels, Region, files_hash
from autoseg.errors import DatasetError
from autoseg.fingerprint import Spread, extract, extract_fingerprint

LABELS = Labels(values={"background": 0, "organ": 2, "lesion": 7}, ignore=9)


def write(path, array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 1.0, 3.0))
    sitk.WriteImage(image, str(path))
    return path


def make_case(folder, name, image, label):
    images = tuple(write(folder / f"{name}_{c:04d}.nii.gz", channel) for c, channel in enumerate(image))
    return Case(name, images, None if label is None else write(folder / f"{name}.nii.gz", label))


def make_dataset(folder, cases, labels=LABELS, channels=("T1", "T2")):
    return Dataset(folder, Description(name="invented", channels=channels, labels=labels), tuple(cases))


@pytest.fixture
def two_cases(tmp_path):
    """Case a has an organ in two parts, a lesion and an unannotated voxel; case b an organ only."""
    random = np.random.default_rng(0)
    images, labels = random.normal(5, 2, (2, 2, 6, 8, 10)).astype(np.float32), np.zeros((2, 6, 8, 10), np.uint8)
    images[:, :, 0], images[:, :, :, 7] = 0, 0
    labels[0, 1, 1, 1:4], labels[0, 2, 2, 4] = 2, 2  # joined at a corner
    labels[0, 5, 5, 5], labels[0, 3, 6, 6:8], labels[0, 5, 1, 9] = 2, 7, 9
    labels[1, 2:4, 2:4, 2:4] = 2
    cases = [make_case(tmp_path, name, images[i], labels[i]) for i, name in enumerate("ab")]
    return make_dataset(tmp_path, cases), images, labels


def test_grids(two_cases):
    fingerprint = extract_fingerprint(two_cases[0], processes=1)
    assert [case.name for case in fingerprint.cases] == ["a", "b"]
    for case in fingerprint.cases:
        assert case.shape == (6, 8, 10)
        assert case.spacing_mm == (3.0, 1.0, 0.5)
        assert case.shape_after_crop == (5, 7, 10)
        assert case.relative_size == pytest.approx(350 / 480)
        assert case.orientation == "LPS"
    assert fingerprint.median_relative_size == pytest.approx(350 / 480)


def test_intensities_of_all_that_bears_a_label(two_cases):
    dataset, images, labels = two_cases
    fingerprint = extract_fingerprint(dataset, processes=1)
    for channel, found in enumerate(fingerprint.intensities):
        values = images[:, channel][(labels == 2) | (labels == 7)].astype(np.float64)  # without the ignored voxel
        assert found.mean == pytest.approx(values.mean())
        assert found.std == pytest.approx(values.std())
        assert found.median == pytest.approx(np.median(values))
        assert (found.min, found.max) == (values.min(), values.max())
        assert found.percentile_00_5 == pytest.approx(np.percentile(values, 0.5))
        assert found.percentile_99_5 == pytest.approx(np.percentile(values, 99.5))


def test_labels(two_cases):
    labels = extract_fingerprint(two_cases[0], processes=1).labels
    assert labels["organ"].voxels == 5 + 8
    assert labels["organ"].share_of_cases == 1.0
    assert labels["organ"].volume_mm3 == Spread(min=7.5, median=9.75, max=12.0)  # voxels of 1.5 mm³
    assert labels["organ"].components == Spread(min=1, median=1.5, max=2)
    assert labels["lesion"].values == (7,)
    assert labels["lesion"].share_of_cases == 0.5
    assert labels["lesion"].components == Spread(min=1, median=1, max=1)


def test_regions_are_measured_as_wholes(two_cases):
    dataset, images, labels = two_cases
    regions = {"whole": Region(values=(2, 7), paint=2), "core": Region(values=(7,), paint=7)}
    described = Labels(values=LABELS.values, regions=regions, ignore=9)
    found = extract_fingerprint(make_dataset(dataset.path, dataset.cases, described), processes=1).labels
    assert list(found) == ["whole", "core"]
    assert found["whole"].voxels == 7 + 8
    assert found["whole"].values == (2, 7)


def test_a_label_no_case_contains(two_cases):
    dataset = two_cases[0]
    found = extract_fingerprint(make_dataset(dataset.path, dataset.cases[1:]), processes=1).labels["lesion"]
    assert (found.voxels, found.share_of_cases, found.volume_mm3, found.components) == (0, 0.0, None, None)


def test_the_number_of_jobs_changes_nothing(two_cases, monkeypatch):
    monkeypatch.setattr(extract, "SAMPLES", 6)  # so that case b, of 8 voxels, is sampled
    assert extract_fingerprint(two_cases[0], processes=2) == extract_fingerprint(two_cases[0], processes=1)


def test_samples_are_drawn_from_the_foreground_none_twice():
    image = np.arange(2000, dtype=np.float32).reshape(2, 10, 10, 10)
    foreground = np.zeros((10, 10, 10), dtype=bool)
    foreground[4:8] = True
    drawn = extract._sample(image, foreground, 300, np.random.default_rng(0))
    assert drawn.shape == (2, 300)
    assert len(np.unique(drawn[0])) == 300
    assert set(drawn[0]) <= set(range(400, 800))
    assert np.array_equal(drawn[1], drawn[0] + 1000)  # channels stay together


def test_pictures(tmp_path):
    picture, label = np.full((12, 9), 7, np.uint8), np.zeros((12, 9), np.uint8)
    label[3:5, 3:5] = 2
    case = Case("p", (tmp_path / "p_0000.png",), tmp_path / "p.png")
    for path, array in ((case.images[0], picture), (case.label, label)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    fingerprint = extract_fingerprint(make_dataset(tmp_path, [case], channels=("grey",)), processes=1)
    assert fingerprint.cases[0].shape == (1, 12, 9)
    assert fingerprint.cases[0].orientation is None
    assert fingerprint.labels["organ"].volume_mm3 == Spread(min=4, median=4, max=4)


IMAGE, LABEL = np.ones((2, 4, 4, 4), np.float32), np.full((4, 4, 4), 2, np.uint8)


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (IMAGE, None, "no label map. Add it, or take the case out of the training cases."),
        (IMAGE[:1], LABEL, "the image has 1 channel, the dataset declares 2 (T1, T2)."),
        (IMAGE, LABEL[:3], "label and image lie on different grids\n"),
        (IMAGE, LABEL * 3, "the label map holds value 6, which the dataset does not declare"),
    ],
)
def test_errors_name_the_case(tmp_path, image, label, message):
    dataset = make_dataset(tmp_path, [make_case(tmp_path, "kidney_17", image, label)])
    with pytest.raises(DatasetError) as error:
        extract_fingerprint(dataset, processes=1)
    assert str(error.value).startswith(f"case 'kidney_17': {message}")
    assert str(error.value).endswith(f"`autoseg check {tmp_path}` lists all that is wrong with the dataset.")


def test_errors_of_the_dataset(tmp_path):
    with pytest.raises(DatasetError, match="holds no training cases"):
        extract_fingerprint(make_dataset(tmp_path, []), processes=1)
    for value in (0, 9):  # background, not annotated
        case = make_case(tmp_path, "a", IMAGE, np.full_like(LABEL, value))
        with pytest.raises(DatasetError, match="every label map is empty, there is nothing to learn"):
            extract_fingerprint(make_dataset(tmp_path, [case]), processes=1)


def test_the_files_it_was_measured_from(two_cases):
    dataset = two_cases[0]
    assert extract_fingerprint(dataset, processes=1).files == files_hash(dataset.cases)


def test_whole_images(tmp_path):
    """Three cases; intensities outside the label count, and each number is a median over the cases."""
    label = np.zeros((3, 4, 5), np.uint8)
    label[1, 1, 1] = 2
    cases = []
    for name, lowest, highest, odd in (("a", -1024, 900, 0.0), ("b", -1000, 3071, 0.5), ("c", -2048, 1500, 0.0)):
        image = np.zeros((2, 3, 4, 5), np.float32)
        image[0, 0, 0, 0], image[0, 2, 3, 4], image[0, 2, 0, 0] = lowest, highest, odd
        image[1] = 0.25
        cases.append(make_case(tmp_path, name, image, label))
    found = extract_fingerprint(make_dataset(tmp_path, cases), processes=1)
    first, second = found.image_intensities
    assert (first.min, first.max, first.whole_numbers) == (-1024, 1500, pytest.approx(2 / 3))
    assert (second.min, second.max, second.whole_numbers) == (0.25, 0.25, 0)
    assert found.intensities[0].min == 0  # under the label there is nothing


@pytest.fixture
def label_maps(two_cases):
    """The dataset of `two_cases`, its images removed."""
    for case in two_cases[0].cases:
        for image in case.images:
            image.unlink()
    return two_cases[0]


def test_label_maps_without_images(two_cases, caplog):
    dataset = two_cases[0]
    whole = extract_fingerprint(dataset, processes=1)
    for case in dataset.cases:
        for image in case.images:
            image.unlink()
    found = extract_fingerprint(dataset, processes=1)
    assert not found.has_images
    assert found.intensities == found.image_intensities == ()
    assert found.labels == whole.labels
    assert found.median_relative_size == 1.0
    for case, complete in zip(found.cases, whole.cases, strict=True):
        assert (case.shape, case.spacing_mm, case.orientation) == ((6, 8, 10), (3.0, 1.0, 0.5), "LPS")
        assert case == complete.model_copy(update={"shape_after_crop": (6, 8, 10), "relative_size": 1.0})
    assert found.files not in ("", whole.files)  # once the images are there, it is outdated
    assert caplog.messages == [
        f"warning: {dataset.path}: 2 cases with label maps and not one image (looked for a_0000.nii.gz and so on). "
        "Such a dataset can be measured and planned for. To train, add the images and derive the plan again."
    ]


def test_one_image_among_label_maps_is_a_mistake(label_maps):
    write(label_maps.cases[0].images[0], np.ones((6, 8, 10), np.float32))
    with pytest.raises(DatasetError, match=r"^case 'a': .*a_0001.nii.gz: no such file"):
        extract_fingerprint(label_maps, processes=1)


def test_faults_of_label_maps_without_images(tmp_path, label_maps):
    write(label_maps.cases[1].label, np.full((6, 8, 10), 5, np.uint8))
    with pytest.raises(DatasetError, match="^case 'b': the label map holds value 5"):
        extract_fingerprint(label_maps, processes=1)
    for case in label_maps.cases:
        write(case.label, np.zeros((6, 8, 10), np.uint8))
    with pytest.raises(DatasetError, match="every label map is empty, there is nothing to learn"):
        extract_fingerprint(label_maps, processes=1)


def test_nested_regions_and_a_label_on_a_single_slice(tmp_path):
    """BraTS's way: whole ⊃ core ⊃ enhancing, where "enhancing" is one slice of two separate parts."""
    image, label = np.ones((1, 5, 6, 7), np.float32), np.zeros((5, 6, 7), np.uint8)
    label[1:4, 1:5, 1:6] = 2  # 3 × 4 × 5 = 60 voxels of 1.5 mm³
    label[2, 1:5, 1:6] = 1  # the middle slice, 20 of them
    label[2, 1, 1], label[2, 4, 5] = 4, 4  # two of these, in opposite corners
    regions = {
        "whole": Region(values=(1, 2, 4), paint=2),
        "core": Region(values=(1, 4), paint=1),
        "enhancing": Region(values=(4,), paint=4),
    }
    labels = Labels(values={"background": 0, "core only": 1, "oedema": 2, "enhancing only": 4}, regions=regions)
    dataset = make_dataset(tmp_path, [make_case(tmp_path, "a", image, label)], labels, channels=("T1",))
    found = extract_fingerprint(dataset, processes=1).labels
    assert {name: facts.voxels for name, facts in found.items()} == {"whole": 60, "core": 20, "enhancing": 2}
    assert {name: facts.volume_mm3.median for name, facts in found.items()} == {
        "whole": 90.0,
        "core": 30.0,
        "enhancing": 3.0,
    }
    assert {name: facts.components.median for name, facts in found.items()} == {"whole": 1, "core": 1, "enhancing": 2}
    # taken apart, oedema is two slabs with the core between them
    apart = Labels(values=labels.values)
    found = extract_fingerprint(make_dataset(tmp_path, dataset.cases, apart, ("T1",)), processes=1).labels
    assert {name: facts.components.median for name, facts in found.items()} == {
        "core only": 1,
        "oedema": 2,
        "enhancing only": 2,
    }


def test_pictures_of_several_channels_with_a_border_and_spacing(tmp_path):
    picture, label = np.zeros((12, 9, 3), np.uint8), np.zeros((12, 9), np.uint8)
    picture[2:10, 1:9, 1] = 200  # the border is empty in all channels
    label[3:5, 3:5], label[8, 8] = 2, 2
    files = Case("p", (tmp_path / "p_0000.mha",), tmp_path / "p.mha")
    for path, array, vectors in ((files.images[0], picture, True), (files.label, label, False)):
        image = sitk.GetImageFromArray(array, isVector=vectors)
        image.SetSpacing((0.5, 0.25))
        sitk.WriteImage(image, str(path))
    found = extract_fingerprint(make_dataset(tmp_path, [files], channels=("red", "green", "blue")), processes=1)
    case = found.cases[0]
    assert (case.shape, case.spacing_mm, case.shape_after_crop) == ((1, 12, 9), (1.0, 0.25, 0.5), (1, 8, 8))
    assert case.relative_size == pytest.approx(64 / 108)
    assert [channel.max for channel in found.image_intensities] == [0, 200, 0]
    assert found.labels["organ"].volume_mm3 == Spread(min=0.625, median=0.625, max=0.625)  # 5 pixels of 0.125
    assert found.labels["organ"].components == Spread(min=2, median=2, max=2)


def test_hippocampus(real_data):
    whole = Dataset.open(real_data("hippocampus"))
    dataset = Dataset(whole.path, whole.description, whole.cases[:12])
    fingerprint = extract_fingerprint(dataset, processes=2)
    case = dataset.cases[3]
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))
    assert fingerprint.cases[3].shape == label.shape
    maps = [sitk.GetArrayFromImage(sitk.ReadImage(str(case.label))) for case in dataset.cases]
    for value, (_, facts) in enumerate(fingerprint.labels.items(), start=1):
        parts = [ndi.label(label == value, np.ones((3, 3, 3)))[1] for label in maps]
        assert facts.components.median == np.median(parts)
        assert facts.voxels == sum(int((label == value).sum()) for label in maps)
