"""The command line: one file a command, and here what they have in common.

Commands import what they need when they run, so that `autoseg --help` answers at once.
"""

from __future__ import annotations

import errno
import sys

import click
import typer

from autoseg.cli.check import check
from autoseg.cli.demo import demo
from autoseg.cli.display import complain, err
from autoseg.cli.evaluate import evaluate
from autoseg.cli.fingerprint import fingerprint
from autoseg.cli.plan import plan
from autoseg.cli.predict import predict
from autoseg.cli.preprocess import preprocess
from autoseg.cli.run import run
from autoseg.cli.train import train
from autoseg.errors import AutosegError

USER_ERROR, INTERRUPTED = 2, 130

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
for command in (run, check, fingerprint, plan, preprocess, train, predict, evaluate, demo):
    app.command()(command)


def main() -> None:
    """Runs a command; a user's mistake ends it with one message and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except AutosegError as problem:
        complain(str(problem))
        code = USER_ERROR
    except click.ClickException as problem:
        problem.show()
        code = problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        err.print("\nInterrupted. The same command continues where it stopped.")
        code = INTERRUPTED
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        complain(f"{problem.filename or 'writing'}: {problem.strerror}. What is done is kept; run it again.")
        code = USER_ERROR
    sys.exit(code)
