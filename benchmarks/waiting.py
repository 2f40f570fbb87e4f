"""How threads wait for each other, on an idle machine and on one with other work.

    python benchmarks/waiting.py [--rounds 5] [-o FOLDER]

A training step of a 3-D U-Net on a CPU, in processes of their own in turns: as torch's OpenMP waits by itself (it spins
for a while), as the command line has it wait (`OMP_WAIT_POLICY=passive`: it sleeps), and with a single thread; alone,
and beside one and three processes that keep a core busy each. Nothing else should run. Writes
benchmarks/results/waiting.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beside_nnunet import this_machine

from autoseg.files import write_json, write_text
from autoseg.networks.devices import TYPES, best_precision

HERE = Path(__file__).resolve().parent
WAYS = {"as torch has it": {}, "passive": {"OMP_WAIT_POLICY": "passive"}, "one thread": {"OMP_NUM_THREADS": "1"}}
BUSY = (0, 1, 3)
WARM_UP, STEPS = 3, 12
FEATURES, SIZE = 16, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps:
        print(json.dumps(mean_step()))
        return
    seconds: dict[str, dict[str, list[float]]] = {}
    for count in BUSY:
        rows = seconds[str(count)] = {way: [] for way in WAYS}
        with busy(count):
            for _ in range(arguments.rounds):
                for way, environment in WAYS.items():
                    rows[way].append(apart(environment))
                    print(f"{count} busy, {way}: {rows[way][-1]:.3f} s", flush=True)
    found = {"machine": this_machine(), "rounds": arguments.rounds, "seconds": seconds}
    write_json(arguments.output / "waiting.json", found)
    write_text(arguments.output / "waiting.md", page(found))


def mean_step() -> float:
    """Mean seconds of a training step: a step that waits long counts as it is."""
    import torch
    from choices import Net

    precision = TYPES[best_precision(torch.device("cpu"))]
    network = Net(FEATURES, 3, SIZE, precision, torch.contiguous_format)
    for _ in range(WARM_UP):
        network.train()
    started = time.perf_counter()
    for _ in range(STEPS):
        network.train()
    return (time.perf_counter() - started) / STEPS


def apart(environment: dict[str, str]) -> float:
    """The same in a process of its own, with so much more in its environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--steps"]
    done = subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Inside, so many processes keep a core busy each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def page(found: dict) -> str:
    """The table, in Markdown."""
    rows = found["seconds"].items()
    lines = [
        "# How threads wait for each other",
        "",
        f"Seconds of a training step, the mean of {STEPS}; of {found['rounds']} rounds the median (least to most). "
        f"{found['machine']}.",
        "",
        f"    python benchmarks/waiting.py --rounds {found['rounds']}",
        "",
        f"| busy processes beside it | {' | '.join(WAYS)} |",
        f"|{'---|' * (1 + len(WAYS))}",
        *(f"| {count} | {' | '.join(cell(times) for times in ways.values())} |" for count, ways in rows),
        "",
    ]
    return "\n".join(lines)


def cell(times: list[float]) -> str:
    return f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})"


if __name__ == "__main__":
    main()
