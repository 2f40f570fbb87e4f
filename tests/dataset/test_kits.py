from __future__ import annotations

from autoseg.dataset import Case, Dataset


def test_the_layout(tmp_path, write_volume, label_map):
    for name in ("case_00001", "case_00000", "case_00210"):
        write_volume(tmp_path / "KiTS19" / name / "imaging.nii.gz")
    for name in ("case_00001", "case_00000", "case_00300"):
        write_volume(tmp_path / "KiTS19" / name / "segmentation.nii.gz", label_map)
    (tmp_path / "KiTS19" / "case_empty").mkdir()
    dataset = Dataset.open(tmp_path / "KiTS19")
    assert dataset.description.name == "KiTS19"
    assert dataset.description.channels == ("CT",)
    assert dataset.description.labels.values == {"background": 0, "kidney": 1, "tumour": 2}
    assert [case.name for case in dataset.cases] == ["case_00000", "case_00001", "case_00300"]
    folder = tmp_path / "KiTS19" / "case_00210"
    assert dataset.test_cases == (Case("case_00210", (folder / "imaging.nii.gz",), None),)
    assert dataset.file_ending == ".nii.gz"


def test_real_label_maps_without_images_are_cases(real_data):
    dataset = Dataset.open(real_data("kits19_labels"))
    assert len(dataset.cases) == 10
    assert dataset.description.dimensions == 3
    assert all(not case.images[0].exists() and case.label and case.label.exists() for case in dataset.cases)
