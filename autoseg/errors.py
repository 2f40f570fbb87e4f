"""Every error a user can cause or mend.

Each message says the problem with the value found, where it was found, and the remedy.
The command line prints these without a traceback and exits with code 2; any other
exception is a bug and keeps its traceback.
"""


class AutosegError(Exception):
    """Something a user can mend. The message is complete: problem, place, remedy."""


class DatasetError(AutosegError):
    """A dataset, an image or a label map on disk is not what it should be."""


class PlanError(AutosegError):
    """A plan, or a value set in a plan, breaks a rule."""


class WorkspaceError(AutosegError):
    """The workspace lacks something a command needs, or holds something that contradicts it."""


class UntrainedStage(WorkspaceError):
    """A stage is asked for that builds on another one, which is not trained in all folds."""


class ModelError(AutosegError):
    """A model folder cannot be loaded, or a model does not fit the input it is given."""


class TrainingError(AutosegError):
    """Training cannot go on: not for a bug, but for its data, its plan or the machine."""


class TrainingStopped(Exception):
    """Somebody asked the training to stop, and it did, with a checkpoint. The message says how to go on."""
