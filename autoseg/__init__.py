"""autoseg: from a folder of medical images with label maps to the best segmentation model a budget allows.

    import autoseg
    dataset = autoseg.Dataset.open("hippocampus")
    fingerprint = autoseg.extract_fingerprint(dataset)
    plan = autoseg.make_plan(fingerprint, autoseg.Budget(device="cuda", memory_gb=8))
    workspace = autoseg.Workspace("work")
    autoseg.preprocess(dataset, plan, "3d_fullres", workspace)
    model = autoseg.train(plan, "3d_fullres", fold=0, workspace=workspace)
    predictor = autoseg.Predictor.load("work/models/default/3d_fullres", device="cuda")
    prediction = predictor.predict(autoseg.read_image("case.nii.gz"))
    scores = autoseg.evaluate("predictions/", "labelsTr/", plan.dataset.labels)

Importing autoseg is instant: each name is loaded when it is first used, and torch comes with those that compute.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.dataset import Dataset as Dataset
    from autoseg.dataset import Labels as Labels
    from autoseg.dataset import check_dataset as check_dataset
    from autoseg.dataset import read_image as read_image
    from autoseg.dataset import read_label_map as read_label_map
    from autoseg.dataset import write_label_map as write_label_map
    from autoseg.errors import AutosegError as AutosegError
    from autoseg.evaluation import evaluate as evaluate
    from autoseg.fingerprint import extract_fingerprint as extract_fingerprint
    from autoseg.inference.predictor import Predictor as Predictor
    from autoseg.plan import Budget as Budget
    from autoseg.plan import Plan as Plan
    from autoseg.plan import read_plan as read_plan
    from autoseg.plan import with_settings as with_settings
    from autoseg.plan import write_plan as write_plan
    from autoseg.workflow.fitting import train as train
    from autoseg.workflow.planning import make_plan as make_plan
    from autoseg.workflow.preparation import preprocess as preprocess
    from autoseg.workflow.selecting import select as select
    from autoseg.workflow.workspace import Workspace as Workspace

__version__ = "0.1.0"

_PLACES = {
    "AutosegError": "errors",
    "Budget": "plan",
    "Dataset": "dataset",
    "Labels": "dataset",
    "Plan": "plan",
    "Predictor": "inference.predictor",
    "Workspace": "workflow.workspace",
    "check_dataset": "dataset",
    "evaluate": "evaluation",
    "extract_fingerprint": "fingerprint",
    "make_plan": "workflow.planning",
    "preprocess": "workflow.preparation",
    "read_image": "dataset",
    "read_label_map": "dataset",
    "read_plan": "plan",
    "select": "workflow.selecting",
    "train": "workflow.fitting",
    "with_settings": "plan",
    "write_label_map": "dataset",
    "write_plan": "plan",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
    value = getattr(import_module(f"autoseg.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
