"""The layout of the Kidney Tumour Segmentation challenge, KiTS19.

    case_00000/      imaging.nii.gz, segmentation.nii.gz
    case_00210/      imaging.nii.gz alone: a test case

Comes in: a folder. Goes out: a `Dataset`.

Source: Heller et al. 2019, arXiv:1904.00445.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})


def is_kits(folder: Path) -> bool:
    """Does the folder hold at least one case as KiTS19 has them?"""
    return any(_case_folders(folder))


def open_kits(folder: Path) -> Dataset:
    """Lists the cases; those without a label map are test cases."""
    cases, test_cases = [], []
    for case in _case_folders(folder):
        label = case / "segmentation.nii.gz"
        if label.exists():
            cases.append(Case(case.name, (case / "imaging.nii.gz",), label))
        else:
            test_cases.append(Case(case.name, (case / "imaging.nii.gz",), None))
    return Dataset(
        path=folder,
        description=Description(name=folder.resolve().name, channels=("CT",), labels=LABELS),
        cases=tuple(cases),
        test_cases=tuple(test_cases),
    )


def _case_folders(folder: Path) -> list[Path]:
    files = [file for name in ("imaging", "segmentation") for file in folder.glob(f"case_*/{name}.nii.gz")]
    return sorted({file.parent for file in files})
