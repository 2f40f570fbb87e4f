"""How good predictions are.

Comes in: label maps, predicted and true. Goes out: `Scores`: Dice, surface distances, lesions and volumes of every
target of every case, their means with intervals, and the files that hold them.
"""

from autoseg.evaluation.case import measure_case
from autoseg.evaluation.evaluate import evaluate, label_maps
from autoseg.evaluation.measures import Measures
from autoseg.evaluation.scores import SCORES_FILE, Scores, check_target, read_scores
from autoseg.evaluation.targets import scored_targets

__all__ = [
    "SCORES_FILE",
    "Measures",
    "Scores",
    "check_target",
    "evaluate",
    "label_maps",
    "measure_case",
    "read_scores",
    "scored_targets",
]
