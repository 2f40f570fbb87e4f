"""`autoseg fingerprint`: facts about a dataset."""

from __future__ import annotations

from autoseg.cli.display import progress, say, set_verbosity
from autoseg.cli.options import DatasetPath, Jobs, Quiet, Verbose, WorkspacePath, open_workspace


def fingerprint(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measures sizes, spacings, intensities and labels, and writes fingerprint.json."""
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.workflow.facts import fingerprint_in_workspace

    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    fingerprint_in_workspace(opened, space, jobs, progress)
    say(f"Fingerprint: {space.fingerprint_file}")
