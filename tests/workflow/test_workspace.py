from __future__ import annotations

from types import SimpleNamespace

import pytest

from autoseg.dataset import Fold
from autoseg.errors import PlanError, WorkspaceError
from autoseg.plan import with_settings, write_plan
from autoseg.workflow.workspace import Workspace, find_fold, find_stage

FOLDS = [Fold(("b", "c", "d"), ("a",)), Fold(("a", "c", "d"), ("b",)), Fold(("a", "b"), ("c", "e"))]


def test_where_things_lie(tmp_path, plan):
    workspace = Workspace(str(tmp_path))
    assert repr(workspace) == f"Workspace({str(tmp_path)!r})"
    assert workspace.fingerprint_file == tmp_path / "fingerprint.json"
    assert workspace.plan_file("mine") == tmp_path / "plans" / "mine.json"
    assert workspace.prepared_folder(plan, "2d").parent == tmp_path / "prepared"
    assert workspace.stage_folder(plan, "2d") == tmp_path / "models" / "default" / "2d"
    assert workspace.fold_folder(plan, "2d", 3) == tmp_path / "models" / "default" / "2d" / "fold_3"
    assert workspace.fold_folder(plan, "2d", "all") == tmp_path / "models" / "default" / "2d" / "fold_all"
    assert not any(tmp_path.iterdir())


def test_plans_that_agree_share_prepared_arrays(workspace, plan):
    def folder(*settings: str, stage: str = "3d_fullres"):
        return workspace.prepared_folder(with_settings(plan, settings), stage)

    assert folder("stages.3d_fullres.training.epochs=7", "stages.3d_fullres.sampling.batch_size=5") == folder()
    assert folder("stages.3d_fullres.preprocessing.spacing_mm=[9, 9, 9]") != folder()
    assert folder("stages.3d_fullres.preprocessing.image_order=1") != folder()
    assert folder(stage="2d") != folder()


def test_whether_training_has_begun(workspace, plan):
    assert not workspace.has_models("default")
    folder = workspace.fold_folder(plan, "2d", 0)
    folder.mkdir(parents=True)
    assert not workspace.has_models("default")
    (folder / "resume.pt").touch()
    assert workspace.has_models("default")
    assert not workspace.has_models("other")


def test_plans_are_read_by_name(workspace, plan):
    with pytest.raises(WorkspaceError) as raised:
        workspace.read_plan()
    assert str(raised.value) == (
        f"{workspace.path}: no plan 'default' in this workspace. Derive one with 'autoseg plan DATASET'."
    )
    for name in ("slow", "quick"):
        write_plan(workspace.plan_file(name), plan)
    assert workspace.read_plan("quick") == plan
    with pytest.raises(WorkspaceError) as raised:
        workspace.read_plan()
    assert str(raised.value).endswith("no plan 'default' in this workspace. There is: quick, slow (--plan NAME).")


def test_a_plan_with_a_typo_is_refused(workspace, plan):
    write_plan(workspace.plan_file("default"), plan)
    text = workspace.plan_file("default").read_text()
    workspace.plan_file("default").write_text(text.replace('"batch_size"', '"btch_size"'))
    with pytest.raises(PlanError, match=r"btch_size: no such field; did you mean 'batch_size'\?"):
        workspace.read_plan()


def test_folds_are_written_and_read(workspace):
    workspace.write_folds(FOLDS)
    assert [workspace.read_fold(number) for number in range(3)] == FOLDS
    assert workspace.read_fold("all") == Fold(("a", "b", "c", "d", "e"), ())


@pytest.mark.parametrize("fold", [3, -1, 99, "some", "0", None])
def test_folds_that_are_not_there(workspace, fold):
    workspace.write_folds(FOLDS)
    with pytest.raises(WorkspaceError) as raised:
        workspace.read_fold(fold)
    assert str(raised.value) == f"no fold {fold}: this dataset has folds 0 to 2, and 'all'."
    with pytest.raises(WorkspaceError):
        find_fold(FOLDS, fold)


def test_folds_before_anything_is_preprocessed(workspace):
    with pytest.raises(
        WorkspaceError, match=r"nothing is preprocessed here\. Run 'autoseg preprocess DATASET' first\."
    ):
        workspace.read_fold(0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"format": 1, "folds": [{"train', "not a JSON file"),
        ("[]", "not a record of folds: must be an object {…} (found [])"),
        ("{}", "field 'folds': is missing"),
        ('{"folds": 3}', "field 'folds': must be a list"),
        ('{"folds": []}', "field 'folds': must have 1 entry or more (found [])"),
        ('{"folds": [{"training": ["a"]}]}', "field 'folds.0.validation': is missing"),
        ('{"folds": [{"training": [1], "validation": ["a"]}]}', "field 'folds.0.training.0': must be a"),
        ('{"folds": [{"training": ["a", "b"], "validation": ["b"]}]}', "a fold has 'b' more than once"),
        ('{"folds": [{"training": ["a", "a"], "validation": ["b"]}]}', "a fold has 'a' more than once"),
        ('{"format": 99, "folds": [{"training": ["a"], "validation": ["b"]}]}', "field 'format': "),
        ('{"asked": {"split": 3}, "folds": [{"training": ["a"], "validation": ["b"]}]}', "field 'asked.split': "),
    ],
)
def test_a_broken_record_of_folds(workspace, content, fault):
    """It is told, and never replaced: the folds may be those that somebody asked for."""
    workspace.path.mkdir()
    workspace.folds_file.write_text(content)
    dataset = SimpleNamespace(splits=None, cases=[])
    for read in (
        lambda: workspace.read_fold(0),
        lambda: workspace.folds_of(dataset),
        lambda: workspace.record_folds(dataset),
    ):
        with pytest.raises(WorkspaceError) as raised:
            read()
        assert str(raised.value).startswith(f"{workspace.folds_file}: ")
        assert fault in str(raised.value)
        assert str(raised.value).endswith(
            "Folds that were asked for (--group-by, --stratify, --split) must then be asked for again."
        )
    assert workspace.folds_file.read_text() == content


def test_stages_by_name(plan):
    assert find_stage(plan, "2d") == "2d"
    assert find_stage(plan, None) == "3d_fullres"
    flat = plan.model_copy(update={"stages": {"2d": plan.stages["2d"]}})
    assert find_stage(flat, None) == "2d"
    with pytest.raises(WorkspaceError) as raised:
        find_stage(plan, "3d_lowres")
    assert str(raised.value) == "plan 'default' has no stage '3d_lowres'. There is: 2d, 3d_fullres."
