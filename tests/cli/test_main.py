"""How commands end: help, mistakes, interruptions, and what the system refuses."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import torch

from autoseg.dataset import Dataset

COMMON = "--quiet --verbose --help"
OPTIONS = {
    "check": "--jobs",
    "fingerprint": "--workspace --jobs",
    "plan": "--workspace --device --memory --minutes --like --label --set --name --output --explain --jobs",
    "preprocess": "--workspace --stage --plan --group-by --stratify --split --jobs",
    "train": (
        "--workspace --stage --fold --group-by --stratify --split --plan --set --device --workers --tensorboard --jobs"
    ),
    "predict": "--output --no-tta --probabilities --device",
    "evaluate": "--output --tolerance --missing --region --jobs",
    "run": (
        "--workspace --stage --folds --group-by --stratify --split --device --memory --minutes --like --label --set "
        "--name --dry-run --workers --jobs"
    ),
    "demo": "--output --minutes",
}
ARGUMENTS = {"predict": "MODEL INPUT...", "evaluate": "PREDICTIONS REFERENCES", "demo": ""}


@pytest.mark.parametrize("command", OPTIONS)
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_of_a_command_names_its_options(autoseg, command, asked):
    ran = autoseg(command, asked)
    assert (ran.code, ran.err) == (0, "")
    for word in f"{OPTIONS[command]} {COMMON} {ARGUMENTS.get(command, 'DATASET')}".split():
        assert word in ran.out


def test_help_lists_the_commands(autoseg):
    ran = autoseg("--help")
    assert ran.code == 0
    assert "autoseg run DATASET --minutes 20" in ran.out
    assert all(command in ran.out for command in OPTIONS)
    assert "Usage" in autoseg().out


def test_help_loads_nothing_heavy():
    code = (
        "import sys, autoseg.cli.main as cli\nsys.argv = ['autoseg', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'SimpleITK', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_looking_at_data_and_at_what_is_done_needs_no_torch(kidneys, tmp_path):
    labels = kidneys / "labelsTr"
    for arguments in (
        ["check", kidneys, "--jobs", 1],
        ["fingerprint", kidneys, "-w", tmp_path / "work", "--jobs", 1],
        ["status", "-w", tmp_path / "work"],
        ["evaluate", labels, kidneys, "--jobs", 1],
    ):
        code = (
            "import sys\nsys.modules['torch'] = None  # importing it fails\n"
            f"import autoseg.cli.main as cli\nsys.argv = ['autoseg', *{[str(one) for one in arguments]}]\n"
            "try:\n    cli.main()\nexcept SystemExit as ended:\n    sys.exit(ended.code)"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (arguments, ran.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["check"], "Missing argument"),
        (["check", "a", "b"], "unexpected extra argument"),
        (["check", "a", "--jbos", "2"], "No such option: --jbos"),
        (["check", "a", "--jobs", "0"], "--jobs"),
        (["predict", "model", "image"], "--output"),
        (["plan", "a", "--minutes", "soon"], "--minutes"),
        (["plan", "a", "--minutes", "-1"], "Invalid value for '--minutes': -1 is not a number above 0"),
        (["run", "a", "--minutes", "inf"], "Invalid value for '--minutes': inf is not a number above 0"),
        (["plan", "a", "--minutes", "nan"], "Invalid value for '--minutes': nan is not a number above 0"),
        (["plan", "a", "--minutes", "1e-9"], "for '--minutes': 1e-09 minutes are too few: 0.01 is the least"),
        (["plan", "a", "--memory", "0"], "Invalid value for '--memory': 0 is not a number above 0"),
        (["plan", "a", "--device", "tpu"], "'tpu' is none of auto, cpu, cuda, mps"),
        (["train", "a", "--device", "tpu"], "'tpu' is none of auto, cpu, cuda, mps"),
        (["plan", "a", "--name", "../mine"], "'../mine' cannot be a plan's name: use letters, digits and . _ -"),
        (["train", "a", "--plan", "a/b"], "'a/b' cannot be a plan's name"),
        (["plan", "a", "--name", 101 * "x"], "cannot be a plan's name: use letters, digits and . _ -, 100 at most"),
        (["train", "a", "--fold", "first"], "Invalid value for --fold: 'first' is neither a number nor 'all'"),
        (["run", "a", "--folds", "0,first"], "Invalid value for --folds: 'first' is neither a number nor 'all'"),
        (["run", "a", "--folds", "0,,1"], "Invalid value for --folds: '' is neither a number nor 'all'"),
        (["run", "a", "--folds", "²"], "Invalid value for --folds: '²' is neither a number nor 'all'"),
    ],
)
def test_arguments_that_cannot_be_read(autoseg, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ran = autoseg(*arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["check", "nowhere"], "autoseg: nowhere: no such folder."),
    ],
)
def test_mistakes_in_a_shell(tmp_path, arguments, message):
    command = [sys.executable, "-m", "autoseg", *arguments]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    assert list(tmp_path.iterdir()) == []


def failing(problem):
    def raises(*arguments, **options):
        raise problem

    return raises


def test_interruptions(autoseg, monkeypatch):
    monkeypatch.setattr(Dataset, "open", failing(KeyboardInterrupt()))
    ran = autoseg("check", "somewhere")
    assert ran.code == 130
    assert ran.err.endswith("Interrupted. What is finished is kept; the same command goes on from there.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_the_system_refuses(autoseg, monkeypatch, number):
    monkeypatch.setattr(Dataset, "open", failing(OSError(number, "Refused", "/a/file")))
    ran = autoseg("check", "somewhere")
    assert ran.code == 2
    assert ran.err == "autoseg: /a/file: Refused. Mend that and run the same command again; what is done is kept."


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out(autoseg, monkeypatch, problem):
    monkeypatch.setattr(Dataset, "open", failing(problem))
    ran = autoseg("check", "somewhere")
    assert ran.code == 2
    first = str(problem).partition("\n")[0]
    assert ran.err == (
        f"autoseg: memory ran out{f' ({first})' if first else ''}. End what else uses it, or plan for less "
        "(--memory GB), and run the same command again; what is done is kept."
    )


@pytest.mark.parametrize(
    "bug", [ValueError("a bug"), OSError(errno.EBADF, "a bug"), AssertionError("a bug"), RuntimeError("a bug")]
)
def test_bugs_keep_their_traceback(autoseg, monkeypatch, bug):
    monkeypatch.setattr(Dataset, "open", failing(bug))
    with pytest.raises(type(bug), match="a bug"):
        autoseg("check", "somewhere")


def test_square_brackets_are_not_markup(autoseg, tmp_path):
    ran = autoseg("check", tmp_path / "[red]data[")
    assert "[red]data[: no such folder" in ran.err
