"""Normalisation by the names of channels."""

from __future__ import annotations

import pytest

from autoseg.fingerprint import Intensities
from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, RescaleToUnit, ZScore
from autoseg.planner.normalisation import normalisation

FOREGROUND = Intensities(mean=100, median=99, std=77, min=-1000, max=3000, percentile_00_5=-79, percentile_99_5=304)
WINDOW = CTWindow(lower=-79, upper=304, mean=100, std=77)


@pytest.mark.parametrize(
    ("channel", "relative_size", "expected"),
    [
        ("CT", 1.0, WINDOW),
        ("ct", 0.2, WINDOW),  # a CT's border is air, not nothing
        ("T1w", 1.0, ZScore()),
        ("T1w", 0.75, ZScore()),
        ("T1w", 0.74, ZScore(inside_mask=True)),
        ("CTA", 1.0, ZScore()),  # only the name itself
        ("noNorm", 0.2, NoNormalisation()),
        ("rescale_to_0_1", 0.2, RescaleToUnit()),
        ("rgb_to_0_1", 0.2, DivideBy255()),
    ],
)
def test_chosen_by_name(channel, relative_size, expected):
    assert normalisation([channel], [FOREGROUND], relative_size).value == (expected,)


def test_constant_foreground_can_be_divided_by():
    constant = FOREGROUND.model_copy(update={"std": 0.0})
    assert normalisation(["CT"], [constant], 1.0).value[0].std == 1e-8


def test_reason_speaks_of_every_channel():
    assert normalisation(["CT", "PET"], [FOREGROUND, FOREGROUND], 0.27).reason == (
        "CT: CT numbers mean the same in every scan, so all are clipped to -79 … 304, where 99 % of the labelled "
        "voxels lie, then shifted by their mean 100 and divided by their deviation 77. "
        "PET: intensities have no fixed unit, so each image is scaled by its own mean and deviation; inside the "
        "non-zero region only, because that is 27 % of the median image."
    )
