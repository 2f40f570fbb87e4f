"""The key 'normalization' of dataset.json, from the file to the plan."""

from __future__ import annotations

import json

from autoseg.plan import read_plan


def declare(folder, **fields):
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, **fields}))


def test_a_key_that_is_added_makes_another_plan(autoseg, own_kidneys, tmp_path):
    work, options = tmp_path / "work", ("--device", "cpu", "--memory", 1, "--jobs", 1)
    assert autoseg("plan", own_kidneys, "-w", work, *options).code == 0
    plan = read_plan(work / "plans" / "default.json")
    assert [how.kind for how in plan.stages["2d"].preprocessing.normalisation] == ["ct"]
    declare(own_kidneys, normalization={"CT": "noNorm"})
    assert autoseg("plan", own_kidneys, "-w", work, *options).code == 0
    plan = read_plan(work / "plans" / "default.json")
    assert [how.kind for how in plan.stages["2d"].preprocessing.normalisation] == ["none"]
    decision = plan.decisions["stages.2d.preprocessing.normalisation"]
    assert decision.reason.startswith("dataset.json asks for 'none' (key normalization).")
    assert decision.alternative == "Without the key it would be 'ct', by its name."


def test_a_faulty_key_is_a_finding_of_the_check_and_stops_the_rest(autoseg, own_kidneys, tmp_path):
    declare(own_kidneys, normalization={"CT": "hounsfield"})
    fault = f"{own_kidneys / 'dataset.json'}: field 'normalization' gives channel 'CT' the scheme 'hounsfield', which"
    ran = autoseg("check", own_kidneys, "--jobs", 1)
    assert ran.code == 1
    assert ran.out.startswith(f"dataset: {fault}")
    assert "5 cases read: 1 error, 0 warnings." in ran.err
    for command in ("fingerprint", "plan", "run"):
        ran = autoseg(command, own_kidneys, "-w", tmp_path / "work")
        assert ran.code == 2
        assert ran.err.startswith(f"autoseg: {fault} is not known. Known are ct, zscore,")
    assert not (tmp_path / "work").exists()
