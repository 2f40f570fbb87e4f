"""nnU-Net's side of inference.py; run by a Python that has nnunetv2 (2.8.1), never by autoseg's.

    python nnunet_side.py restore|predict|version SETTINGS

SETTINGS are JSON. Prints the measures of the work, without imports, as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def main() -> None:
    step, settings = sys.argv[1], json.loads(sys.argv[2])
    steps = {"restore": restore, "predict": predict, "version": versions}
    measures = steps[step](**settings)
    print("\n" + json.dumps(measures), flush=True)


def versions() -> dict[str, str]:
    return {"nnunetv2": version("nnunetv2"), "torch": torch.__version__}


def restore(
    logits: str, plans: dict[str, Any], native: list[int], native_mm: list[float], outputs: int, target: str
) -> dict[str, float]:
    """From logits in a file to a label map on the native grid."""
    manager = PlansManager(plans)
    configuration = manager.get_configuration("3d_fullres")
    names = {"background": 0, **{f"label {value}": value for value in range(1, outputs)}}
    labels = manager.get_label_manager({"labels": names})
    properties = {
        "spacing": native_mm,
        "shape_before_cropping": native,
        "shape_after_cropping_and_before_resampling": native,
        "bbox_used_for_cropping": [[0, size] for size in native],
    }
    started = time.perf_counter()
    scores = torch.from_numpy(np.load(logits))
    loaded = time.perf_counter()
    label_map = convert_predicted_logits_to_segmentation_with_correct_shape(
        scores, manager, configuration, labels, properties
    )
    seconds = time.perf_counter() - loaded
    np.save(target, label_map)
    return {"seconds": seconds, "reading_seconds": loaded - started}


def predict(model: str, images: list[str], target: str, in_processes: bool) -> dict[str, float]:
    """From image files to files of label maps, by a model that is loaded already."""
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, use_folds=(0,))
    Path(target).mkdir(parents=True, exist_ok=True)
    files = [str(Path(target) / Path(image).name.removesuffix("_0000.nii.gz")) for image in images]
    started = time.perf_counter()
    run = predictor.predict_from_files if in_processes else predictor.predict_from_files_sequential
    run([[image] for image in images], files)
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
