"""Training: prepared cases and a plan come in, weights go out, and the files of a resumable run.

Patches are drawn and read in background processes, augmented on the device, and fitted.
"""

from autoseg.training.case_validation import validate_cases
from autoseg.training.cost import seconds_per_iteration
from autoseg.training.job import Job
from autoseg.training.length import is_longer
from autoseg.training.loading import default_workers
from autoseg.training.loop import Trained, fit
from autoseg.training.memory import MEMORY_MARGIN, training_bytes

__all__ = [
    "MEMORY_MARGIN",
    "Job",
    "Trained",
    "default_workers",
    "fit",
    "is_longer",
    "seconds_per_iteration",
    "training_bytes",
    "validate_cases",
]
