from __future__ import annotations

from autoseg.plan import read_plan


def test_explain(finished):
    ran = finished.said["plan"]
    plan = read_plan(finished.work / "plans" / "default.json")
    told = " ".join(ran.out.split())
    assert told.startswith("Plan 'default'")
    for stage in ("Stage 2d", "Stage 3d_fullres"):
        assert stage in told
    for word in ("spacing_mm", "patch_size", "rule: hand-set", "budget cpu, 1 GB of memory"):
        assert word in told
    assert told.count("rule: ") == len(plan.decisions)
    assert f"Plan: {finished.work / 'plans' / 'default.json'}" in ran.err


def test_a_plan_is_written_elsewhere_as_well(finished):
    assert read_plan(finished.data.parent / "plan.json") == read_plan(finished.work / "plans" / "default.json")


def test_a_plan_that_is_there_is_used_again(autoseg, finished, contents):
    before = contents(finished.work)
    ran = autoseg("plan", finished.data, "-w", finished.work, "--memory", 1, "--explain")
    assert ran.code == 0
    assert ran.out == finished.said["plan"].out
    assert contents(finished.work) == before


def test_a_plan_like_another(autoseg, finished, own_work):
    arguments = ("--like", finished.data.parent / "plan.json", "--set", "stages.2d.training.seed=4", "--name", "mine")
    for _ in range(2):
        ran = autoseg("plan", finished.data, "-w", own_work, *arguments)
        assert ran.code == 0
    mine, other = read_plan(own_work / "plans" / "mine.json"), read_plan(own_work / "plans" / "default.json")
    assert (mine.name, mine.stages["2d"].training.seed) == ("mine", 4)
    assert mine.stages["3d_fullres"] == other.stages["3d_fullres"]


def test_the_default_workspace(autoseg, kidneys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert autoseg("fingerprint", kidneys, "--jobs", 1).code == 0
    assert [path.name for path in (tmp_path / "autoseg-work" / "kidneys").iterdir()] == ["fingerprint.json"]


def test_minutes(autoseg, finished, own_work):
    """The candidates are timed, and the cheapest is taken where nothing is fast enough."""
    ran = autoseg("plan", finished.data, "-w", own_work, "--device", "cpu", "--minutes", 0.01, "--name", "quick")
    assert ran.code == 0
    plan = read_plan(own_work / "plans" / "quick.json")
    assert plan.budget.minutes == 0.01
    assert {stage.training.minutes for stage in plan.stages.values()} == {0.01}
