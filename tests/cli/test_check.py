from __future__ import annotations

import json

import pytest


def test_a_good_dataset(finished):
    ran = finished.said["check"]
    assert ran.code == 0
    assert ran.out == ""
    assert "5 cases read: 0 errors, 0 warnings." in ran.err


def test_a_broken_dataset(autoseg, own_kidneys):
    (own_kidneys / "labelsTr" / "kidneys_001.nii.gz").unlink()
    truncated = own_kidneys / "imagesTr" / "kidneys_003_0000.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:200])
    ran = autoseg("check", own_kidneys, "--jobs", 1)
    assert ran.code == 1
    assert "case 'kidneys_001': " in ran.out
    assert "case 'kidneys_003': " in ran.out
    assert str(truncated) in ran.out
    assert "5 cases read: 2 errors, 0 warnings." in ran.err


def test_warnings_do_not_forbid_training(autoseg, own_kidneys):
    description = json.loads((own_kidneys / "dataset.json").read_text())
    (own_kidneys / "dataset.json").write_text(json.dumps({**description, "numTraining": 6}))
    ran = autoseg("check", own_kidneys, "--jobs", 1)
    assert ran.code == 0
    assert "announces 6 training cases (numTraining), but 5 are there" in ran.out
    assert "0 errors, 1 warning." in ran.err


@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_quiet_shows_findings_only(autoseg, own_kidneys, quiet):
    (own_kidneys / "labelsTr" / "kidneys_001.nii.gz").unlink()
    ran = autoseg("check", own_kidneys, "--jobs", 1, quiet)
    assert (ran.code, ran.err) == (1, "")
    assert "case 'kidneys_001': " in ran.out
