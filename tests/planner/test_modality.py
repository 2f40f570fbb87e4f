"""CT, or something else: by name, by values."""

from __future__ import annotations

import pytest

from autoseg.dataset import read_image
from autoseg.fingerprint import ImageIntensities
from autoseg.planner.modality import in_hounsfield_units, named_as


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        *((name, "CT") for name in ("CT", "ct", "CT scan", "abdominal_ct", "portalCT", "CTA", "NCCT", "low-dose CT")),
        ("Computed Tomography", "CT"),
        *((name, "other") for name in ("MR", "MRI", "mri_t2", "T1", "T1w", "T1ce", "t1gd", "T2-FLAIR", "FLAIR", "ADC")),
        *((name, "other") for name in ("cineMRI", "fMRI", "DWI b1000", "PET", "FDG-PET", "SUV", "ultrasound", "US")),
        *((name, "other") for name in ("X-ray", "xray", "CXR", "mammography", "EM", "fluorescence microscopy", "DAPI")),
        *((name, "other") for name in ("red", "grayscale", "RGB", "Tmax")),
        *(
            (name, "silent")
            for name in ("0", "image", "channel_0", "scan", "venous", "octopus", "actin", "input 1", "x")
        ),
        *((name, "silent") for name in ("arterial phase", "portal venous phase")),
        *((name, "both") for name in ("PET/CT", "CT_CBF", "CT perfusion", "synthetic CT from MR")),
    ],
)
def test_names(channel, expected):
    assert named_as(channel) == expected


@pytest.mark.parametrize(
    ("lowest", "highest", "whole", "expected"),
    [
        (-1024, 3071, 1.0, True),
        (-1000, 1200, 1.0, True),
        (-3024, 1650, 0.8, True),  # General Electric pads so; a fifth of the cases was resampled
        (-2048, 30710, 1.0, True),  # metal
        (-900, 300, 1.0, True),
        (-899, 1500, 1.0, False),  # cut to an organ
        (-1024, 299, 1.0, False),  # windowed: no bone
        (0, 4095, 1.0, False),  # MR, or a CT whose offset was lost
        (0, 255, 1.0, False),
        (-4096, 4094, 1.0, False),  # phases of an MR
        (-1000, 1000, 0.0, False),  # a map of fields
        (-5.5, 21.5, 0.0, False),  # scaled already
    ],
)
def test_values(lowest, highest, whole, expected):
    assert in_hounsfield_units(ImageIntensities(min=lowest, max=highest, whole_numbers=whole)) is expected


@pytest.mark.parametrize(("sample", "expected"), [("ct_3mm.nii.gz", True), ("brain.nrrd", False)])
def test_real_images(real_data, sample, expected):
    array = read_image(real_data(f"samples/{sample}")).array
    whole = float((array == array.round()).all())
    found = ImageIntensities(min=float(array.min()), max=float(array.max()), whole_numbers=whole)
    assert in_hounsfield_units(found) is expected
