from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset.nifti import read_nifti
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
