"""What two stages say together, where one of them builds on the other."""

from __future__ import annotations

import shutil

import numpy as np
import torch

from autoseg.dataset import make_folds, read_label_map, write_label_map
from autoseg.inference import predictor, way
from autoseg.inference.averaging import open_probabilities
from autoseg.inference.model import Model, write_model
from autoseg.inference.predictor import Predictor
from autoseg.inference.sliding_window import predict_rows
from autoseg.networks import build_network
from autoseg.preprocessing import PreparedCase
from autoseg.workflow.pairing import MADE_FROM, predict_pair, predict_probabilities
from autoseg.workflow.preparation import preprocess

FIRST, SECOND = "3d_fullres", "3d_cascade"


def write_first_predictions(dataset, plan, workspace) -> None:
    """What the first stage predicted for the cases of every fold: the truth, a row aside."""
    references = {case.name: case.label for case in dataset.cases}
    for number, fold in enumerate(make_folds(dataset)):
        folder = workspace.fold_folder(plan, FIRST, number) / "validation"
        folder.mkdir(parents=True)
        for name in fold.validation:
            truth, grid = read_label_map(references[name])
            write_label_map(folder / f"{name}.nii.gz", np.roll(truth, 1, axis=1), grid)


def write_fold(plan, stage, channels, workspace) -> None:
    """Fold 0 of a stage, with weights that are drawn, and scaled so that it is sure of what it says."""
    network = build_network(plan.stages[stage].network, channels, plan.dataset.labels.outputs, seed=channels)
    weights = {name: 3 * value for name, value in network.state_dict().items()}
    model = Model(plan=plan, stage=stage, fold=0, training_cases=(), validation_cases=(), trained={})
    write_model(workspace.fold_folder(plan, stage, 0), model, weights)


def test_with_little_memory_the_sums_are_on_the_disk(own_trained, plan, monkeypatch):
    asked = []

    def rows(networks, image, stage, labels, device, mirror, step, disk):
        asked.append(disk)
        return predict_rows(networks, image, stage, labels, device, mirror, step, disk)

    def said():
        files = predict_probabilities(plan, FIRST, [0], own_trained, "cpu")
        [(name, file)] = files.items()
        probabilities = open_probabilities(file)[:]
        assert {path.name for path in file.parent.iterdir()} == {MADE_FROM, f"{name}.b2nd"}
        shutil.rmtree(file.parent)
        return file.parent, probabilities

    monkeypatch.setattr(predictor, "predict_rows", rows)
    _, ample = said()
    monkeypatch.setattr(way, "available_memory_bytes", lambda: 1000.0)
    folder, little = said()
    assert asked == [None, folder]
    np.testing.assert_array_equal(little, ample)


def test_a_stage_that_builds_on_another_sees_what_that_one_predicted(dataset, cascade, workspace):
    write_first_predictions(dataset, cascade, workspace)
    for stage, channels in ((FIRST, 1), (SECOND, 1 + 2)):
        preprocess(dataset, cascade, stage, workspace, processes=1)
        write_fold(cascade, stage, channels, workspace)
    references = {case.name: case.label for case in dataset.cases}
    folder = predict_pair(cascade, (FIRST, SECOND), [0], workspace, references, "cpu", processes=1)
    [name] = make_folds(dataset)[0].validation
    said = []
    for stage in (FIRST, SECOND):
        maps = workspace.previous_folder(cascade, SECOND) if stage == SECOND else None
        case = PreparedCase(name, workspace.prepared_folder(cascade, stage), maps)
        array = case.image()[:]
        if maps is not None:
            predicted = case.previous()[:]
            assert set(np.unique(predicted)) == {0, 1, 2}
            array = np.concatenate((array, predicted == 1, predicted == 2)).astype(np.float32)
        one = Predictor.load(workspace.fold_folder(cascade, stage, 0), "cpu")
        said.append(one.predict_prepared(torch.from_numpy(array), case.placement, True).probabilities)
    mean = np.mean(said, axis=0, dtype=np.float64)
    first, second = np.sort(mean, axis=0)[:-3:-1]
    clear = first - second > 2e-3  # what is nearer may be rounded to either
    assert clear.mean() > 0.5
    written, _ = read_label_map(folder / f"{name}.nii.gz")
    np.testing.assert_array_equal(written[clear], mean.argmax(axis=0)[clear])
