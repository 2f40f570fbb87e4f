from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import (
    Header,
    read_grid,
    read_header,
    read_image,
    read_label_map,
    split_ending,
    write_image,
    write_label_map,
)
from autoseg.errors import DatasetError
from autoseg.geometry import Grid, plain_grid

OBLIQUE = Grid(
    shape=(4, 5, 6),
    spacing_mm=(3.0, 2.0, 1.0),
    origin=(10.0, -20.0, 30.5),
    direction=(1.0, 0.0, 0.0, 0.0, 0.8, -0.6, 0.0, 0.6, 0.8),
)
PICTURE = Grid((1, 5, 6), (1.0, 0.5, 0.25), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), dimensions=2)


def same(grid: Grid, other: Grid) -> bool:
    return grid.differs_from(other) is None and grid.dimensions == other.dimensions


def voxels(shape: tuple[int, ...], dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def itk(array: np.ndarray, path: Path, vectors: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vectors), str(path), True)
    return path


# --- what is read back --------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_volumes_come_back_with_their_grid(tmp_path, ending, dtype):
    array = voxels(OBLIQUE.shape, dtype)
    write_image(tmp_path / f"a{ending}", array, OBLIQUE)
    image = read_image(tmp_path / f"a{ending}")
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array, array[None])
    assert same(image.grid, OBLIQUE)
    assert read_header(tmp_path / f"a{ending}") == Header(image.grid, 1)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".png", ".tif"])
def test_pictures_have_one_slice_of_one_millimetre(tmp_path, ending):
    array = voxels(PICTURE.shape, np.uint8)
    write_image(tmp_path / f"a{ending}", array, PICTURE)
    image = read_image(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(image.array, array[None])
    assert same(image.grid, PICTURE)
    assert read_grid(tmp_path / f"a{ending}").spacing_mm[0] == 1.0


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_the_colours_of_a_picture_are_channels(tmp_path, ending):
    array = voxels((5, 6, 3), np.uint8)
    path = itk(array, tmp_path / f"rgb{ending}", vectors=True)
    image = read_image(path)
    assert image.array.shape == (3, 1, 5, 6)
    np.testing.assert_array_equal(image.array[:, 0], np.moveaxis(array, -1, 0))
    assert read_header(path).channels == 3


def test_the_transparency_of_a_png_is_dropped(tmp_path):
    path = itk(voxels((5, 6, 4), np.uint8), tmp_path / "rgba.png", vectors=True)
    assert read_image(path).array.shape == (3, 1, 5, 6)
    assert read_header(path).channels == 3


def test_vectors_of_a_volume_are_channels(tmp_path):
    array = voxels((4, 5, 6, 2), np.float32)
    image = read_image(itk(array, tmp_path / "v.nrrd", vectors=True))
    np.testing.assert_array_equal(image.array, np.moveaxis(array, -1, 0))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_the_fourth_axis_of_a_file_is_the_channels(tmp_path, ending):
    array = voxels((3, 4, 5, 6))
    stack = sitk.JoinSeries([sitk.GetImageFromArray(part) for part in array])
    stack.SetSpacing((1.0, 2.0, 3.0, 7.0))
    stack.SetOrigin((10.0, 20.0, 30.0, 5.0))
    path = tmp_path / f"four{ending}"
    sitk.WriteImage(stack, str(path))
    image = read_image(path)
    np.testing.assert_array_equal(image.array, array)
    assert image.grid == plain_grid((4, 5, 6), (3.0, 2.0, 1.0))._replace(origin=(10.0, 20.0, 30.0))
    assert same(read_grid(path), image.grid)
    assert read_header(path).channels == 3


def test_files_are_stacked_in_the_order_given(tmp_path, write_volume):
    first, second = write_volume(tmp_path / "a_0000.nii.gz"), write_volume(tmp_path / "a_0001.nii.gz")
    both = read_image(second, str(first)).array
    np.testing.assert_array_equal(both, np.concatenate([read_image(second).array, read_image(first).array]))


def test_slope_and_intercept_of_a_nifti_are_applied(tmp_path):
    path = itk(voxels((4, 5, 6)), tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<ff", content, 112, 2.0, -1000.0)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path).array[0], voxels((4, 5, 6)) * 2.0 - 1000.0)


@pytest.mark.parametrize(
    ("filename", "parts"),
    [
        ("a.b.nii.gz", ("a.b", ".nii.gz")),
        ("a.nii", ("a", ".nii")),
        ("A.NII.GZ", ("A", ".NII.GZ")),
        ("a.tiff", ("a", ".tiff")),
        ("a.gz", ("a.gz", "")),
        ("nii.gz", ("nii.gz", "")),
    ],
)
def test_split_ending(filename, parts):
    assert split_ending(filename) == parts


@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [("brain.nrrd", (25, 256, 256), (6.5, 0.78, 0.78)), ("ct_3mm.nii.gz", None, (3.0, 3.0, 3.0))],
)
def test_real_images(real_data, name, shape, spacing):
    path = real_data("samples") / name
    image = read_image(path)
    assert shape is None or image.grid.shape == shape
    assert image.grid.spacing_mm == pytest.approx(spacing, abs=0.01)
    assert same(read_grid(path), image.grid)


@pytest.mark.parametrize(
    ("image", "label", "values"),
    [("brain.nrrd", "brain_tumour.nrrd", 2), ("ct_3mm.nii.gz", "ct_3mm_labels.nii.gz", 42)],
)
def test_real_label_maps_lie_on_the_grid_of_their_image(real_data, image, label, values):
    samples = real_data("samples")
    label_map, grid = read_label_map(samples / label)
    assert read_grid(samples / image).differs_from(grid) is None
    assert len(np.unique(label_map)) == values


# --- label maps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".nii"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_label_maps_keep_their_type(tmp_path, ending, dtype):
    label_map = voxels(OBLIQUE.shape, dtype)
    write_label_map(tmp_path / f"l{ending}", label_map, OBLIQUE)
    found, grid = read_label_map(tmp_path / f"l{ending}")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, label_map)
    assert same(grid, OBLIQUE)


def test_a_written_label_map_is_compressed_and_nothing_lies_beside_it(tmp_path):
    write_label_map(tmp_path / "new" / "l.nrrd", np.zeros((40, 50, 60), np.uint8), plain_grid((40, 50, 60), (1, 1, 1)))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["l.nrrd"]
    assert (tmp_path / "new" / "l.nrrd").stat().st_size < 2000


def test_whole_numbers_stored_as_floating_point_are_accepted(tmp_path):
    found, _ = read_label_map(itk(np.array([[[0.0, 1.0, 2.0, -5.0]]], np.float64), tmp_path / "l.nii.gz"))
    assert found.dtype == np.int32
    assert found.tolist() == [[[0, 1, 2, -5]]]


FRACTION = (
    "which is not a whole number (2 voxels are not). Resample label maps by nearest neighbour only, and store integers."
)
TOO_LARGE = (
    "which is too large for a label. Give labels numbers of 32 bits, there and in dataset.json, and store integers."
)


@pytest.mark.parametrize(
    ("value", "shown", "complaint"),
    [
        (0.5, "0.5", FRACTION),
        (np.nan, "nan", FRACTION),
        (np.inf, "inf", FRACTION),
        (1e12, "1e+12", TOO_LARGE),
        (-1e30, "-1e+30", TOO_LARGE),
    ],
)
def test_other_floating_point_values_are_refused(tmp_path, value, shown, complaint):
    path = itk(np.array([[[0.0, 1.0, value, value]]], np.float32), tmp_path / "l.nii.gz")
    with pytest.raises(DatasetError) as raised:
        read_label_map(path)
    assert str(raised.value) == f"{path}: the label map holds {shown}, {complaint}"


def test_a_label_map_has_one_channel(tmp_path):
    path = itk(voxels((5, 6, 3), np.uint8), tmp_path / "l.png", vectors=True)
    with pytest.raises(DatasetError, match=r"l\.png: 3 channels, but a label map has one\. Store it as one channel of"):
        read_label_map(path)


@pytest.mark.parametrize(
    ("name", "dtype", "grid", "text"),
    [
        ("l.xyz", np.uint8, OBLIQUE, "l.xyz: no image format has this ending. Use one of .nii.gz, .nii, .nrrd, .mha"),
        ("l.png", np.uint8, OBLIQUE, "a PNG file cannot hold a volume (4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm)"),
        ("l.png", np.int32, PICTURE, "l.png: cannot be written (PNG supports"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, name, dtype, grid, text):
    with pytest.raises(DatasetError) as raised:
        write_label_map(tmp_path / name, np.zeros(grid.shape, dtype), grid)
    assert text in str(raised.value)
    assert list(tmp_path.iterdir()) == []


FULL = "ITK ERROR: PNGImageIO(0x1): Error while writing Slice to file: l.png\nReason: No space left on device"


@pytest.mark.parametrize(
    ("name", "grid", "said", "reason"),
    [
        ("l.png", PICTURE, FULL, "Error while writing Slice to file: l.png Reason: No space left on device"),
        ("l.nii", OBLIQUE, None, "less arrived on the disk than was sent"),
        ("l.nii.gz", OBLIQUE, None, "less arrived on the disk than was sent"),
    ],
)
def test_a_full_disk(tmp_path, monkeypatch, name, grid, said, reason):
    def cut_short(image, filename, useCompression):
        if said:
            raise RuntimeError(said)
        write(image, filename, useCompression)
        with Path(filename).open("rb+") as written:  # what ITK leaves, without a word
            written.truncate(Path(filename).stat().st_size - 1)

    write = sitk.WriteImage
    monkeypatch.setattr("autoseg.dataset.images.sitk.WriteImage", cut_short)
    with pytest.raises(DatasetError) as raised:
        write_label_map(tmp_path / name, np.ones(grid.shape, np.uint8), grid)
    assert str(raised.value) == (
        f"{tmp_path / name}: cannot be written ({reason}). "
        "Is the disk full, the folder writable? Can the format hold uint8?"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_does_not_fit_its_grid_is_a_bug():
    with pytest.raises(ValueError, match=r"array of shape \(3, 3, 3\) for a grid of shape \(4, 5, 6\)"):
        write_image("l.nrrd", np.zeros((3, 3, 3), np.uint8), OBLIQUE)


# --- what cannot be read ------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_image, read_label_map, read_header])
def test_absent_files_and_folders(tmp_path, read):
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: no such file\. Give the path of an image\."):
        read(tmp_path / "a.nii.gz")
    with pytest.raises(DatasetError, match="a folder, not an image file"):
        read(tmp_path)


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.png", "a.tif"])
def test_files_that_are_no_images(tmp_path, capfd, read, name):
    path = tmp_path / name
    path.write_bytes(b"no image")
    with pytest.raises(DatasetError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: cannot be read as an image (Unable to determine ImageIO reader). ")
    assert str(raised.value).endswith("of another format: copy it again from its source, or convert it.")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("missing", [1, 8, 100, 20_000])
def test_a_nifti_that_was_cut_short_is_refused(tmp_path, missing):
    path = itk(voxels((30, 40, 50)), tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(DatasetError) as raised:
        read_image(path)
    assert str(raised.value) == (
        f"{path}: the compressed file is damaged (Compressed file ended before the end-of-stream marker was reached). "
        "It was probably not copied to its end: copy it again from its source."
    )


def test_a_nifti_whose_bytes_changed_is_refused(tmp_path):
    path = itk(voxels((30, 40, 50)), tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="file is damaged"):
        read_image(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "compressed"])
def test_a_nifti_that_holds_fewer_bytes_than_it_says_is_refused(tmp_path, compress):
    whole = itk(voxels((4, 5, 6)), tmp_path / "a.nii").read_bytes()
    path = tmp_path / ("b.nii" if compress is bytes else "b.nii.gz")
    path.write_bytes(compress(whole[:-10]))
    with pytest.raises(DatasetError, match=r"b\.nii(\.gz)?: the file ends after 582 of 592 bytes\. It was"):
        read_image(path)


def test_a_plain_nifti_that_is_called_gz_is_read(tmp_path):
    itk(voxels((4, 5, 6)), tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").array[0], voxels((4, 5, 6)))


def test_a_truncated_nrrd_is_refused(tmp_path):
    path = itk(voxels((30, 40, 50)), tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DatasetError, match=r"a\.nrrd: cannot be read as an image \("):
        read_image(path)


def test_axes_that_are_not_at_right_angles_are_refused(tmp_path, capfd):
    path = itk(voxels((4, 5, 6)), tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<hh", content, 252, 0, 1)  # qform_code, sform_code
    struct.pack_into("<12f", content, 280, 1, 0.5, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path.write_bytes(content)
    with pytest.raises(DatasetError) as raised:
        read_image(path)
    assert "ITK only supports orthonormal direction cosines" in str(raised.value)
    assert "not at right angles: resample it onto a grid whose axes are." in str(raised.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_voxels_that_are_not_finite_are_refused(tmp_path, ending):
    array = np.zeros((3, 4, 5, 6), np.float32)
    array[0, 0, 0, :2], array[2, 1, 1, 1] = np.nan, np.inf
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume) for volume in array]), str(path))
    with pytest.raises(DatasetError) as raised:
        read_image(path)
    assert str(raised.value) == (
        f"{path}: 3 voxels are NaN or infinite (2 in channel 0, 1 in channel 2). "
        "Replace them by the value of the background."
    )


def test_colours_of_a_nifti_are_channels(tmp_path):
    array = voxels((4, 5, 6, 3), np.uint8)
    path = itk(array, tmp_path / "a.nii.gz", vectors=True)
    np.testing.assert_array_equal(read_image(path).array, np.moveaxis(array, -1, 0))


def test_five_dimensions_are_refused(tmp_path):
    path = itk(np.zeros((2, 2, 3, 4, 5), np.float32), tmp_path / "a.nrrd")
    with pytest.raises(DatasetError, match=r"an image of 5 dimensions\. Store each channel as a 2-D or 3-D image"):
        read_header(path)


def test_channels_on_different_grids_are_shown(tmp_path, write_volume):
    first = write_volume(tmp_path / "a_0000.nii.gz")
    second = write_volume(tmp_path / "a_0001.nii.gz", np.zeros((4, 5, 7), np.uint8), spacing=(3, 2, 1.5))
    with pytest.raises(DatasetError) as raised:
        read_image(first, second)
    assert str(raised.value) == (
        "channels lie on different grids\n"
        f"  channel 0  4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm   {first}\n"
        f"  channel 1  4 × 5 × 7 voxels of 3.00 × 2.00 × 1.50 mm   {second}\n"
        "Resample the channels onto one grid."
    )


def test_voxels_of_a_negative_size(tmp_path):
    path = tmp_path / "a.nii"
    write_image(path, np.zeros((2, 3, 4), np.int16), plain_grid((2, 3, 4), (1.0, 1.0, 1.0)))
    header = bytearray(path.read_bytes())
    header[80:84] = np.float32(-2.0).tobytes()  # pixdim[1], the voxel size along x
    path.write_bytes(header)
    with pytest.raises(DatasetError) as refused:
        read_grid(path)
    assert str(refused.value) == (
        f"{path}: voxels of -2 × 1 × 1 mm. Correct the spacing in the file's header: it lies between 1e-06 and 100000."
    )


def test_axes_that_span_no_volume_are_refused(tmp_path):
    path = tmp_path / "flat.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.float32)), str(path))
    content = path.read_bytes()
    assert content.count(b"TransformMatrix = 1 0 0 0 1 0 0 0 1") == 1
    path.write_bytes(content.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 0 1 0 0 1 0"))
    with pytest.raises(DatasetError) as refused:
        read_header(path)
    assert str(refused.value) == (
        f"{path}: the header's axes span no volume (direction [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]). Mend the "
        "header, or leave the image out."
    )
