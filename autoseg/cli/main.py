"""The command line: one file a command, and here what they have in common.

Commands import what they need when they run, so that `autoseg --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import typer

from autoseg.cli.check import check
from autoseg.cli.demo import demo
from autoseg.cli.display import complain, err, say
from autoseg.cli.evaluate import evaluate
from autoseg.cli.fingerprint import fingerprint
from autoseg.cli.lr_range import lr_range
from autoseg.cli.options import file_in_the_way
from autoseg.cli.plan import plan
from autoseg.cli.plans import plans
from autoseg.cli.predict import predict
from autoseg.cli.preprocess import preprocess
from autoseg.cli.run import run
from autoseg.cli.select import select
from autoseg.cli.status import status
from autoseg.cli.train import train
from autoseg.errors import AutosegError, TrainingStopped
from autoseg.memory import is_lack_of_memory

USER_ERROR, INTERRUPTED = 2, 130
# Threads of torch that wait for each other sleep, unless somebody says otherwise: on a machine with other work they
# would spin away the time that the others need (benchmarks/waiting.py). Read when torch is imported, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# What the system refuses for reasons a user can mend: no room, no permission, a file where a folder should be.
MENDABLE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

app = typer.Typer(
    name="autoseg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "From a folder of medical images with label maps to the best segmentation model a budget allows.\n\n"
        "Start with 'autoseg run DATASET --minutes 20', or see it work with 'autoseg demo'. "
        "Every command does only what is not done yet, so anything interrupted is continued by running it again."
    ),
)
for command in (
    run,
    check,
    fingerprint,
    plan,
    plans,
    preprocess,
    lr_range,
    train,
    select,
    predict,
    evaluate,
    status,
    demo,
):
    app.command()(command)


def main() -> None:
    """Runs a command and exits; a user's mistake ends it with one message and exit code 2."""
    try:
        app()  # exits by itself, with code 2 for arguments that it cannot read
    except AutosegError as problem:
        complain(str(problem))
    except TrainingStopped as stopped:
        say(str(stopped))
        sys.exit(0)
    except OSError as problem:
        if problem.errno not in MENDABLE:
            raise
        place = problem.filename or "writing"
        if problem.errno in (errno.EEXIST, errno.ENOTDIR) and (file := file_in_the_way(Path(place))):
            complain(f"{file}: a file, and a folder is needed there. Give another path.")
            sys.exit(USER_ERROR)
        complain(f"{place}: {problem.strerror}. Mend that and run the same command again; what is done is kept.")
    except (MemoryError, RuntimeError) as problem:
        if not is_lack_of_memory(problem):
            raise
        first = str(problem).partition("\n")[0]
        complain(
            f"memory ran out{f' ({first})' if first else ''}. End what else uses it, or plan for less (--memory GB), "
            "and run the same command again; what is done is kept."
        )
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("\nInterrupted. What is finished is kept; the same command goes on from there.")
        raise
    sys.exit(USER_ERROR)
