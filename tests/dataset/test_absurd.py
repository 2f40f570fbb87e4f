"""Voxel sizes that are worth a warning."""

from __future__ import annotations

import pytest

from autoseg.dataset.absurd import absurd_sizes


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.001, 0.02, 0.02), (50.0, 0.5, 0.5), (10.0, 3.0, 3.0)])
def test_what_scanners_make(spacing_mm):
    assert absurd_sizes({"a": spacing_mm}) is None


@pytest.mark.parametrize("spacing_mm", [(0.0009, 1.0, 1.0), (1.0, 1.0, 50.1), (1000.0, 700.0, 700.0)])
def test_what_none_makes(spacing_mm):
    assert absurd_sizes({"fine": (1.0, 1.0, 1.0), "a": spacing_mm}).startswith("case 'a' has voxels of ")


def test_many_are_told_in_one_sentence():
    assert absurd_sizes({"a": (1.0, 1.0, 1.0), "b": (700.0, 700.0, 700.0), "c": (1e-4, 1e-4, 1e-4)}) == (
        "2 cases have voxels of sizes that no scanner makes, 'b' voxels of 700.00 × 700.00 × 700.00 mm: are their "
        "headers in other units?"
    )
