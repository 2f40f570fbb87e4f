from __future__ import annotations

import gzip
import itertools
import math
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset.images import read_header
from autoseg.dataset.nifti import plain_nifti_grid, read_nifti
from autoseg.errors import DatasetError


def nifti(order: str, voxels: bytes) -> bytes:
    """A header that declares 2 × 3 × 4 voxels of int16, and bytes for voxels."""
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 3, 2, 3, 4, 1, 1, 1, 1)
    struct.pack_into(order + "hh", header, 70, 4, 16)
    struct.pack_into(order + "8f", header, 76, *(1.0,) * 8)
    struct.pack_into(order + "f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, compress, order):
    path = tmp_path / ("a.nii" if compress is bytes else "a.nii.gz")
    content = nifti(order, np.arange(-10, 14, dtype=order + "i2").tobytes())
    path.write_bytes(compress(content + b"more"))  # more than needed does no harm
    assert read_nifti(path).tolist() == list(range(-10, 14))
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).ravel().tolist() == list(range(-10, 14))
    path.write_bytes(compress(content[:-1]))
    with pytest.raises(DatasetError, match="the file ends after 399 of 400 bytes"):
        read_nifti(path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize(
    ("slope", "intercept"), [(None, None), (0.0, 0.0), (1.0, 0.0), (1.0, -1024.0), (0.25, 3.0), (np.nan, 0.0)]
)
def test_voxels_are_those_itk_reads(tmp_path, dtype, slope, intercept):
    array = np.random.default_rng(0).integers(0, 120, (3, 4, 5, 6)).astype(dtype)
    path = tmp_path / "a.nii"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume) for volume in array]), str(path))
    if slope is not None:
        content = bytearray(path.read_bytes())
        struct.pack_into("<ff", content, 112, slope, intercept)
        path.write_bytes(content)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(read_nifti(path).reshape(array.shape), expected)


def test_vectors_lie_one_component_after_the_other(tmp_path):
    array = np.random.default_rng(0).normal(size=(4, 5, 6, 2)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").reshape(2, 4, 5, 6), np.moveaxis(array, -1, 0))


def test_nan_stays_nan_which_itk_turns_to_zero(tmp_path):
    """Why nifti.py is there, with the next test. Where they fail ITK has changed, and it can go."""
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), np.nan, np.float32)), str(path))
    assert np.isnan(read_nifti(path)).all()
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == 0).all()


def test_itk_reads_a_file_that_was_cut_short_without_complaint(tmp_path):
    array = np.random.default_rng(0).integers(0, 200, (30, 40, 50)).astype(np.int16)
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    path.write_bytes(path.read_bytes()[:-20_000])
    assert not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array)


def test_a_byte_that_changed_fails_the_checksum(tmp_path):
    content = bytearray(gzip.compress(nifti("<", bytes(range(48)))))
    content[-6] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"the compressed file is damaged \(CRC check failed.*copy it again"):
        read_nifti(tmp_path / "a.nii.gz")


def test_several_gzip_members_are_one_file(tmp_path):
    content = nifti("<", bytes(48))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]))
    assert read_nifti(tmp_path / "a.nii.gz").tolist() == [0] * 24


def test_what_is_not_nifti_is_left_to_itk(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"something else" * 100)
    assert read_nifti(tmp_path / "a.nii") is None


def test_colours_are_left_to_itk(tmp_path):
    content = bytearray(nifti("<", bytes(72)))
    struct.pack_into("<hh", content, 70, 128, 24)
    (tmp_path / "a.nii").write_bytes(content)
    assert read_nifti(tmp_path / "a.nii") is None


TURNS = [
    np.diag(signs)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
SFORM, QFORM, UNITS, QUATERNION, OFFSETS, AFFINE = 254, 252, 123, 256, 268, 280  # places in the header


def written(path, direction, changes=()):
    """A file that ITK wrote, with some bytes of its header changed afterwards: (place, format, *values)."""
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), dtype=np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120.3, 17.9, -1301.25))
    image.SetDirection(np.asarray(direction).ravel().tolist())
    sitk.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    for place, kind, *values in changes:
        struct.pack_into("<" + kind, content, place, *values)
    path.write_bytes(content)
    return path


def by_itk(path):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSize()[::-1], reader.GetSpacing()[::-1], reader.GetOrigin(), reader.GetDirection()


@pytest.mark.parametrize("direction", TURNS)
@pytest.mark.parametrize("changes", [(), [(QFORM, "h", 0)], [(SFORM, "h", 2)], [(UNITS, "B", 0)]])
def test_plain_grids_are_those_itk_reads(direction, changes, tmp_path):
    if np.linalg.det(direction) < 0:
        changes = [(QFORM, "h", 0), *changes]  # ITK writes no quaternion for mirrored axes that stands for them
    path = written(tmp_path / "a.nii", direction, changes)
    grid = plain_nifti_grid(path)
    assert grid is not None
    assert (grid.shape, grid.spacing_mm, grid.origin, grid.direction) == by_itk(path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param([(SFORM, "h", 0)], id="quaternion only"),
        pytest.param([(SFORM, "h", 0), (QFORM, "h", 0)], id="nothing is said"),
        pytest.param([(UNITS, "B", 3)], id="micrometres"),
        pytest.param([(OFFSETS, "f", 99.0)], id="two origins"),
        pytest.param([(QUATERNION, "3f", 0.0, 0.0, math.sqrt(0.5))], id="two directions"),
        pytest.param([(QUATERNION, "f", math.nan)], id="NaN in the quaternion"),
        pytest.param([(AFFINE, "f", math.nan)], id="NaN in the matrix"),
        pytest.param([(AFFINE, "f", -0.9)], id="another spacing in the matrix"),
        pytest.param([(76 + 4, "f", 0.0)], id="no spacing"),
        pytest.param([(40, "h", 4)], id="four dimensions"),
        pytest.param([(70, "h", 128)], id="colours"),
    ],
)
def test_what_leaves_a_doubt_is_left_to_itk(change, tmp_path):
    assert plain_nifti_grid(written(tmp_path / "a.nii", np.eye(3))) is not None
    assert plain_nifti_grid(written(tmp_path / "a.nii", np.eye(3), change)) is None


def test_oblique_grids_are_left_to_itk(tmp_path):
    cosine, sine = math.cos(0.3), math.sin(0.3)
    assert plain_nifti_grid(written(tmp_path / "a.nii", [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])) is None


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00no gzip", b"short", b"\0" * 400])
def test_other_files_have_no_plain_grid(content, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert plain_nifti_grid(tmp_path / "a.nii.gz") is None


def test_axes_that_are_not_finite_are_refused(tmp_path):
    path = written(tmp_path / "a.nii", np.eye(3), [(AFFINE, "f", math.nan), (80, "f", math.nan)])
    with pytest.raises(DatasetError, match=r"a.nii: the header's axes or origin are not finite numbers \(direction"):
        read_header(path)
