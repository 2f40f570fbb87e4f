"""How good predictions are.

Comes in: label maps, predicted and true. Goes out: `Scores`, the Dice of every target of every
case, their means, and the files that hold them.
"""

from autoseg.evaluation.dice import dice, dice_per_target
from autoseg.evaluation.evaluate import evaluate
from autoseg.evaluation.scores import Scores, read_scores

__all__ = ["Scores", "dice", "dice_per_target", "evaluate", "read_scores"]
