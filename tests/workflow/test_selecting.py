"""Which model is the best, on workspaces made by hand: label maps and probabilities of models that never were."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autoseg.dataset import Fold, Labels, read_label_map, write_label_map
from autoseg.dataset.description import Description
from autoseg.errors import AutosegError, DatasetError, ModelError, WorkspaceError
from autoseg.evaluation import Measures, Scores, evaluate
from autoseg.files import write_json
from autoseg.geometry import plain_grid
from autoseg.inference.averaging import write_probabilities
from autoseg.inference.model import Model
from autoseg.plan.postprocessing import KeepLargest, RemoveUncertain
from autoseg.workflow import pairing, selecting
from autoseg.workflow.predicting import load_team
from autoseg.workflow.selecting import rank, select
from autoseg.workflow.selection import find_selection, read_selection
from autoseg.workflow.workspace import Workspace

GRID = plain_grid((6, 12, 12), (2.0, 1.0, 1.0))
LABELS = Labels(values={"background": 0, "kidney": 1, "cyst": 2})  # nobody has a cyst
NAMES = [f"case_{number}" for number in range(6)]
FOLDS = [Fold(tuple(NAMES[3:]), tuple(NAMES[:3])), Fold(tuple(NAMES[:3]), tuple(NAMES[3:]))]


def truth(name: str) -> np.ndarray:
    label_map = np.zeros(GRID.shape, np.uint8)
    start = int(name[-1]) % 3
    label_map[1:5, start : start + 7, 2:9] = 1
    return label_map


def shares(name: str, wrong: int) -> np.ndarray:
    """Probabilities: sure of the truth, but for so many rows of the kidney, of which it thinks 0.4."""
    kidney = np.where(truth(name) == 1, 0.9, 0.1)
    start = int(name[-1]) % 3
    kidney[1:5, start : start + abs(wrong)] = np.where(truth(name)[1:5, start : start + abs(wrong)] == 1, 0.4, 0.1)
    if wrong < 0:  # from the other end
        kidney = np.where(truth(name) == 1, 0.9, 0.1)
        kidney[1:5, start + 7 + wrong : start + 7, 2:9] = 0.4
    return np.stack((1 - kidney, kidney, np.zeros_like(kidney)))


def fake_cases(workspace, plan, stage: str, names) -> list[SimpleNamespace]:
    """Prepared cases as far as they are looked at."""
    return [SimpleNamespace(name=name, placement=SimpleNamespace(grid=GRID), stage=stage) for name in names]


class Handmade:
    """A workspace with stages of which each is wrong in its own way."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, plan, wrong: dict[str, int]) -> None:
        self.workspace, self.wrong, self.asked = Workspace(root / "work"), wrong, []
        self.workspace.write_folds(FOLDS)
        self.references = {name: root / "labelsTr" / f"{name}.nii.gz" for name in NAMES}
        (root / "labelsTr").mkdir()
        for name, path in self.references.items():
            write_label_map(path, truth(name), GRID)
        self.dataset = SimpleNamespace(
            path=root, cases=[SimpleNamespace(name=name, label=path) for name, path in self.references.items()]
        )
        stage = next(iter(plan.stages.values()))
        description = Description(name="handmade", channels=("CT",), labels=LABELS)
        self.plan = plan.model_copy(update={"stages": dict.fromkeys(wrong, stage), "dataset": description})
        for name in wrong:
            for fold in (0, 1):
                self.add(name, fold)
        monkeypatch.setattr(Workspace, "open_prepared", fake_cases)
        monkeypatch.setattr(pairing.Predictor, "load", staticmethod(lambda folder, device: folder))
        monkeypatch.setattr(pairing, "_predict", self.predict)

    def add(self, stage: str, fold: int, date: str = "2026-01-01") -> None:
        folder = self.workspace.fold_folder(self.plan, stage, fold)
        (folder / "validation").mkdir(parents=True, exist_ok=True)
        (folder / "weights.safetensors").touch()
        training, names = FOLDS[fold]
        cases = {"training_cases": training, "validation_cases": names}
        model = Model(plan=self.plan, stage=stage, fold=fold, **cases, trained={"minutes": 4.0}, machine={"date": date})
        write_json(folder / "model.json", model.model_dump(mode="json"))
        for name in names:
            label_map = shares(name, self.wrong[stage]).argmax(axis=0).astype(np.uint8)
            write_label_map(folder / "validation" / f"{name}.nii.gz", self.spoilt(label_map, name), GRID)
        given = {name: self.references[name] for name in names}
        evaluate(folder / "validation", given, LABELS, processes=1).write(folder / "validation" / "scores.json")

    def spoilt(self, label_map: np.ndarray, name: str) -> np.ndarray:
        return label_map

    def predict(self, predictor: Path, case: SimpleNamespace, target: Path) -> None:
        fold = next(number for number, fold in enumerate(FOLDS) if case.name in fold.validation)
        assert predictor == self.workspace.fold_folder(self.plan, case.stage, fold)  # the one that does not know it
        self.asked.append((case.stage, case.name))
        write_probabilities(target, shares(case.name, self.wrong[case.stage]))

    def select(self):
        return select(self.dataset, self.plan, self.workspace, processes=1)


@pytest.fixture
def handmade(tmp_path, monkeypatch, plan):
    return lambda **wrong: Handmade(tmp_path, monkeypatch, plan, wrong)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_case_that_was_predicted_in_files_of_two_endings(handmade):
    made = handmade(only=1)
    folder = made.workspace.fold_folder(made.plan, "only", 1) / "validation"
    write_label_map(folder / "case_4.nrrd", truth("case_4"), GRID)
    with pytest.raises(DatasetError) as raised:
        made.select()
    assert str(raised.value) == f"{folder}: case 'case_4' has two files, case_4.nii.gz and case_4.nrrd. Remove one."


def test_a_pair_that_is_better_than_both(handmade):
    """One forgets rows at one end, the other at the other end, and each is surer of what it knows."""
    made = handmade(first=2, second=-3)
    selection = made.select()
    assert [one.stages for one in selection.candidates] == [("first", "second"), ("first",), ("second",)]
    assert selection.chosen.mean == 1.0
    forgetful = [[dice(shares(n, w).argmax(0) == 1, truth(n) == 1) for n in NAMES] for w in (2, -3)]
    assert [one.mean for one in selection.candidates[1:]] == pytest.approx(np.mean(forgetful, axis=1).tolist())
    assert [one.behind for one in selection.candidates] == pytest.approx(
        [0, *(np.mean(forgetful, axis=1) - 1).tolist()]
    )
    assert (selection.folds, selection.cases, selection.left_out) == ((0, 1), 6, {})
    assert selection.chosen.per_target == {"kidney": 1.0, "cyst": None}  # and no NaN in any ranking
    assert read_selection(made.workspace.selection_file(made.plan.name)) == selection
    together = made.workspace.ensembles_folder(made.plan.name) / "first+second"
    for name in NAMES:
        by_hand = ((shares(name, 2) + shares(name, -3)) / 2).argmax(axis=0)
        np.testing.assert_array_equal(read_label_map(together / f"{name}.nii.gz")[0], by_hand)


@pytest.mark.parametrize("stages", [("first", "second"), ("first",)])
def test_of_planned_rules_a_pair_is_under_those_of_both(handmade, monkeypatch, stages):
    made = handmade(first=2, second=-3)
    rules = (KeepLargest(), RemoveUncertain(target="kidney", least_probability=0.95, becomes="cyst"))
    ruled = {name: made.plan.stages[name].model_copy(update={"postprocessing": rules}) for name in stages}
    made.plan = made.plan.model_copy(update={"stages": {**made.plan.stages, **ruled}})

    def predict(predictor, case, target):
        said = shares(case.name, made.wrong[case.stage])
        said[:2, 0, 11, 10:] = [[0.01], [0.99]]  # surely a kidney, and a small one
        write_probabilities(target, said)

    monkeypatch.setattr(pairing, "_predict", predict)
    made.select()
    together = made.workspace.ensembles_folder(made.plan.name) / "first+second"
    for name in NAMES:
        found = read_label_map(together / f"{name}.nii.gz")[0]
        expected = truth(name).astype(int)
        if len(stages) == 2:  # the large one is all that stays, of a mean probability below 0.95
            expected *= 2
        else:
            expected[0, 11, 10:] = 1
        np.testing.assert_array_equal(found, expected)


def test_what_is_done_is_kept(handmade, monkeypatch):
    made = handmade(first=2, second=-3)
    first = made.select()
    assert len(made.asked) == 2 * len(NAMES)
    left_over = made.workspace.ensembles_folder(made.plan.name) / "probabilities" / "first" / "a.b2nd"
    assert not left_over.parent.parent.exists()  # large, and of no use any more
    left_over.parent.mkdir(parents=True)
    left_over.touch()  # by a kill after the selection was written
    with monkeypatch.context() as patched:
        patched.setattr(selecting, "learn_rules", lambda *_: pytest.fail("it was learnt already"))
        assert made.select() == first
    assert not left_over.exists()
    made.add("second", 1, date="2027-02-02")  # trained again
    again = made.select()
    assert made.asked[2 * len(NAMES) :] == [(stage, name) for stage in ("first", "second") for name in NAMES]
    assert again.made_from != first.made_from and again.candidates == first.candidates


def test_of_equal_ones_the_simpler(handmade):
    selection = handmade(b=2, a=2).select()
    assert selection.chosen.stages == ("b",)  # the first of the plan, not of the alphabet; and no pair
    assert [one.behind for one in selection.candidates] == [0, 0, 0]


def test_the_only_one(handmade):
    made = handmade(first=2)
    selection = made.select()
    assert [one.stages for one in selection.candidates] == [("first",)]
    assert made.asked == []


def test_folds_that_are_missing(handmade, caplog):
    made = handmade(first=2, second=-3)
    (made.workspace.fold_folder(made.plan, "second", 1) / "weights.safetensors").unlink()
    selection = made.select()
    assert selection.left_out == {"second": (1,)}
    assert [one.stages for one in selection.candidates] == [("first",)]
    assert "leaving out second: fold 1 not trained" in caplog.text
    (made.workspace.fold_folder(made.plan, "first", 1) / "weights.safetensors").unlink()
    selection = made.select()
    assert (selection.folds, selection.cases, len(selection.candidates)) == ((0,), 3, 3)
    assert "no stage has all 2 folds; comparing by fold 0 alone" in caplog.text


def test_nothing_is_trained(handmade):
    made = handmade(first=2)
    for fold in (0, 1):
        (made.workspace.fold_folder(made.plan, "first", fold) / "model.json").unlink()
    with pytest.raises(WorkspaceError) as error:
        made.select()
    assert str(error.value) == (
        f"{made.workspace.path}: no fold of plan '{made.plan.name}' is trained and scored, so there is nothing to "
        "select from. Run 'autoseg run DATASET' or 'autoseg train DATASET' first."
    )


def test_a_case_that_is_gone(handmade):
    made = handmade(first=2)
    del made.dataset.cases[2]
    with pytest.raises(WorkspaceError, match="models were validated on case_2, which the dataset has no label map of"):
        made.select()
    del made.dataset.cases[:]
    with pytest.raises(WorkspaceError, match="on case_0, case_1, case_2, case_3, case_4 and 1 more, which"):
        made.select()


def test_models_of_other_folds_are_refused(handmade):
    """Their validation cases may be what others learnt from."""
    made = handmade(first=1)
    made.workspace.write_folds([Fold(fold.training[::-1], fold.validation[::-1]) for fold in FOLDS])
    assert made.select().cases == 6  # the order does not matter
    made.workspace.write_folds([FOLDS[0], Fold(tuple(NAMES[:4]), tuple(NAMES[4:]))])
    folder = made.workspace.fold_folder(made.plan, "first", 1)
    with pytest.raises(WorkspaceError) as raised:
        made.select()
    assert str(raised.value) == (
        f"{folder}: this model was trained on other cases than fold 1 has in {made.workspace.folds_file}. Restore that "
        "file; or, for a model of these folds, remove the folder and run 'autoseg run DATASET'."
    )


@pytest.mark.parametrize(
    ("file", "was", "becomes", "error", "complaint"),
    [
        ("scores.json", "case_0", "case_9", WorkspaceError, "scores of other cases than fold 0 validates on. Remove"),
        ("scores.json", '"dice": 0.', '"dice": 7.', AutosegError, "does not hold scores in format 2. Remove it"),
        ("scores.json", '"tolerance_mm": 2.0', '"tolerance_mm": NaN', AutosegError, "does not hold scores in format 2"),
        ("../model.json", '"minutes": 4.0', '"minutes": NaN', ModelError, "not a model of format 1"),
        ("../model.json", '"format": 1', '"format": 2', ModelError, "not a model of format 1"),
    ],
)
def test_files_that_were_changed_by_hand(handmade, file, was, becomes, error, complaint):
    made = handmade(first=1)
    path = made.workspace.fold_folder(made.plan, "first", 0) / "validation" / file
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes, 1))
    with pytest.raises(error, match=complaint):
        made.select()


def test_false_positives_of_the_chosen_one_are_removed(handmade, monkeypatch):
    def spoilt(self, label_map, name):
        label_map[0, 11, 10:] = 1
        return label_map

    monkeypatch.setattr(Handmade, "spoilt", spoilt)
    selection = handmade(first=1).select()
    assert KeepLargest() in selection.postprocessing.rules
    assert selection.postprocessing.before == pytest.approx(selection.chosen.mean)
    whole = np.mean([dice(shares(name, 1).argmax(0) == 1, truth(name) == 1) for name in NAMES])
    assert selection.postprocessing.after == pytest.approx(whole) != selection.postprocessing.before


def test_ranked_by_means_over_what_counts():
    def scored(*kidney: float | None, cyst: float | None = None) -> Scores:
        measures = {f"{n}": {"kidney": Measures(dice=one), "cyst": Measures()} for n, one in enumerate(kidney)}
        measures["0"]["cyst"] = Measures(dice=cyst)
        return Scores(cases=measures)

    ranked = rank({("a",): scored(0.5, 0.7), ("b",): scored(0.9, None), ("a", "b"): scored(0.9, 0.9, cyst=0.0)})
    assert [one.stages for one in ranked] == [("b",), ("a",), ("a", "b")]
    assert [one.mean for one in ranked] == pytest.approx([0.9, 0.6, 0.45])
    assert [one.behind for one in ranked] == pytest.approx([0, -0.3, -0.45])


def test_what_a_path_stands_for(handmade, tmp_path):
    made = handmade(first=2)
    with pytest.raises(WorkspaceError, match=r"no model is selected here yet\. Run 'autoseg select DATASET'"):
        load_team(made.workspace.path)
    made.select()
    file = made.workspace.selection_file(made.plan.name)
    assert find_selection(made.workspace.path) == find_selection(file.parent) == file
    assert find_selection(file.parent / "first") is None
    other = made.workspace.selection_file("other")
    other.parent.mkdir()
    other.write_text(file.read_text())
    with pytest.raises(WorkspaceError, match="models are selected by 2 plans. Name one: "):
        find_selection(made.workspace.path)
    for was, becomes, fault in (
        ('"first"', '"../../first"', "field 'candidates.0.stages.0': must match pattern"),
        ('"stages": [', '"stages": [], "per": [', "field 'candidates.0.stages': must have 1 entry or more"),
        ('"candidates": [', '"candidates": [], "more": [', "field 'candidates': must have 1 entry or more"),
        (f'"{made.plan.name}"', '"../x"', "field 'plan': must match pattern"),
    ):
        other.write_text(file.read_text().replace(was, becomes, 1))
        with pytest.raises(WorkspaceError) as raised:
            read_selection(other)
        assert fault in str(raised.value)
    other.write_text("{}")
    with pytest.raises(
        WorkspaceError, match=r"not a selection of format 1: field 'plan': is missing\. Remove it and run"
    ):
        read_selection(other)
