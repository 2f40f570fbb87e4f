from __future__ import annotations

import gzip
import struct

import pytest

from autoseg.dataset.nifti import verify_nifti
from autoseg.errors import DatasetError


def nifti(version: int, order: str, voxels: int) -> bytes:
    """A header that declares 2 × 3 × 4 voxels of 16 bits, and that many bytes of voxels."""
    header = bytearray(352 if version == 1 else 544)
    sizes = (3, 2, 3, 4, 1, 1, 1, 1)
    if version == 1:
        struct.pack_into(order + "i", header, 0, 348)
        struct.pack_into(order + "8h", header, 40, *sizes)
        struct.pack_into(order + "h", header, 72, 16)
        struct.pack_into(order + "f", header, 108, 352.0)
    else:
        struct.pack_into(order + "i", header, 0, 540)
        struct.pack_into(order + "h", header, 14, 16)
        struct.pack_into(order + "8q", header, 16, *sizes)
        struct.pack_into(order + "q", header, 168, 544)
    return bytes(header) + bytes(voxels)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("version", "total"), [(1, 400), (2, 592)])
def test_bytes_are_counted(tmp_path, compress, order, version, total):
    path = tmp_path / "a.nii"
    path.write_bytes(compress(nifti(version, order, 48)))
    verify_nifti(path)
    path.write_bytes(compress(nifti(version, order, 49)))  # more than needed does no harm
    verify_nifti(path)
    path.write_bytes(compress(nifti(version, order, 47)))
    with pytest.raises(DatasetError, match=f"the file ends after {total - 1} of {total} bytes"):
        verify_nifti(path)


def test_several_gzip_members_are_one_file(tmp_path):
    content = nifti(1, "<", 48)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]))
    verify_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd"])
def test_other_formats_are_left_to_itk(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else")
    verify_nifti(tmp_path / name)
