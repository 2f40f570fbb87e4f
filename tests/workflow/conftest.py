"""A tiny dataset, its facts, and a plan that trains in a second."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from autoseg.dataset import Dataset, generate_kidneys
from autoseg.fingerprint import Fingerprint, extract_fingerprint
from autoseg.plan import Budget, Plan, with_settings
from autoseg.plan.previous import Previous
from autoseg.planner import derive_plan
from autoseg.workflow.fitting import train
from autoseg.workflow.machine import machine_for
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where processes find what tests have them do

TINY = (
    "stages.*.training.epochs=1",
    "stages.*.training.iterations_per_epoch=2",
    "stages.*.training.validation_iterations=1",
    "stages.*.training.precision=float32",
    "stages.*.sampling.batch_size=1",
    "stages.*.network.features=[4, 8, 8, 8]",
    "stages.*.inference.mirror_axes=[]",
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five cases of about 10 × 32 × 32 voxels. Not to be changed: `own_dataset` is."""
    folder = tmp_path_factory.mktemp("dataset") / "kidneys"
    return generate_kidneys(folder, cases=5, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))


@pytest.fixture
def own_dataset(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A copy to change."""
    return Dataset.open(shutil.copytree(dataset.path, tmp_path / "own" / "kidneys"))


@pytest.fixture(scope="session")
def fingerprint(dataset: Dataset) -> Fingerprint:
    return extract_fingerprint(dataset, processes=1)


@pytest.fixture(scope="session")
def plan(fingerprint: Fingerprint) -> Plan:
    machine, _ = machine_for(Budget())
    return with_settings(derive_plan(fingerprint, Budget(), machine, preset="nnunet"), TINY)


@pytest.fixture(scope="session")
def cascade(plan: Plan) -> Plan:
    """The plan with a stage that builds on another."""
    refining = plan.stages["3d_fullres"].model_copy(update={"previous": Previous(stage="3d_fullres")})
    return plan.model_copy(update={"stages": {**plan.stages, "3d_cascade": refining}})


@pytest.fixture(scope="session")
def trained(dataset: Dataset, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with fold 0 of 3d_fullres. Not to be changed: `own_trained` is."""
    torch.set_num_threads(1)
    workspace = Workspace(tmp_path_factory.mktemp("trained"))
    preprocess(dataset, plan, "3d_fullres", workspace, processes=1)
    train(plan, "3d_fullres", 0, workspace, workers=0)
    return workspace


@pytest.fixture
def own_trained(trained: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change; copied with its times of change."""
    return Workspace(shutil.copytree(trained.path, tmp_path / "own_trained"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")
