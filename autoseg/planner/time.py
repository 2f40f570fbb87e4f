"""The best network that can be trained in the minutes there are.

Comes in: the network planned for the memory, the minutes, and a function that measures how long
an iteration takes. Goes out: the network to train, with its pace.

A first, simple rule. A network that sees few batches is worth little, however good it would
become: so there is a ladder of networks, each cheaper than the one above it, and the first that
does 1000 iterations in the time is taken. On hippocampus, with two processor cores, 32 features
with batches of 4 take 1.3 s an iteration; 16 features do 1215 iterations in 10 minutes and reach a
Dice of 0.877 (benchmarks/results/hippocampus_cpu.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from autoseg.geometry import Spacing
from autoseg.planner.candidate import Candidate
from autoseg.planner.decided import Decided
from autoseg.planner.topology import Topology, network_topology

MINIMUM_ITERATIONS = 1000
BATCHES = {2: (32, 16), 3: (4,)}  # by dimensions: batches to fall back to before the network is made narrower,
FIRST_FEATURES = (16, 8)  # then widths; what is no multiple of 8 wastes vector units (24 is slower than 32),
LAST_BATCH = {2: 8, 3: 2}  # then the smallest batch,
SHORTEST_PATCH = 32  # then patches, halved as long as their longest edge keeps this many voxels
MEASUREMENTS = 4  # at most; the first is of the cheapest network
TOLERANCE = 2.0  # a network predicted to be more than this factor too slow is not measured


class Pace(NamedTuple):
    """A network and how fast it trains."""

    candidate: Candidate
    seconds_per_iteration: float


def fit_time(
    planned: Candidate,
    spacing_mm: Spacing,
    outputs: int,
    minutes: float,
    seconds_per_iteration: Callable[[Candidate], float],
) -> Decided[Pace]:
    """The best network found to do 1000 iterations in the time; if none does, the cheapest.

    Measuring costs seconds, much more for slow networks. So the cheapest network is measured
    first, and others only if they promise to be fast enough: their time is predicted from the
    nearest measured one, in proportion to their feature maps.

    Args:
        planned: what the memory allows; top of the ladder.
        spacing_mm: of the stage.
        outputs: channels of the network's head.
        minutes: to train in.
        seconds_per_iteration: measures a network; asked at most 4 times.
    """
    rungs = ladder(planned, spacing_mm)
    costs = [rung.cost(outputs) for rung in rungs]
    allowed = minutes * 60 / MINIMUM_ITERATIONS
    cheapest = len(rungs) - 1
    measured = {cheapest: seconds_per_iteration(rungs[cheapest])}
    while len(measured) < MEASUREMENTS and (place := _promising(measured, costs, allowed)) is not None:
        measured[place] = seconds_per_iteration(rungs[place])
    chosen = min((place for place, seconds in measured.items() if seconds <= allowed), default=cheapest)
    facts = {
        "minutes": minutes,
        "minimum_iterations": MINIMUM_ITERATIONS,
        "allowed_seconds_per_iteration": allowed,
        "measured_seconds_per_iteration": {str(rungs[place]): measured[place] for place in sorted(measured)},
    }
    pace = Pace(rungs[chosen], measured[chosen])
    return Decided(pace, "fit_time", facts, _reason(planned, pace, minutes, allowed))


def ladder(planned: Candidate, spacing_mm: Spacing) -> list[Candidate]:
    """Networks from the planned one to the cheapest that makes sense, best first.

    Smaller batches first, then narrower networks, then the smallest batch, then smaller patches.

    >>> cube = Candidate(network_topology((1.0, 1.0, 1.0), (128, 128, 128)), batch_size=2)
    >>> for rung in ladder(cube, (1.0, 1.0, 1.0)):
    ...     print(rung)
    32 first features, batches of 2, patches of 128 × 128 × 128
    16 first features, batches of 2, patches of 128 × 128 × 128
    8 first features, batches of 2, patches of 128 × 128 × 128
    8 first features, batches of 2, patches of 64 × 64 × 64
    8 first features, batches of 2, patches of 32 × 32 × 32
    """
    dimensions = len(spacing_mm)
    rungs = [planned]
    for batch in BATCHES[dimensions]:
        if batch < rungs[-1].batch_size:
            rungs.append(rungs[-1]._replace(batch_size=batch))
    rungs += [rungs[-1]._replace(first_features=first) for first in FIRST_FEATURES]
    if LAST_BATCH[dimensions] < rungs[-1].batch_size:
        rungs.append(rungs[-1]._replace(batch_size=LAST_BATCH[dimensions]))
    while max(rungs[-1].topology.patch_size) >= 2 * SHORTEST_PATCH:
        rungs.append(rungs[-1]._replace(topology=_halved(rungs[-1].topology, spacing_mm)))
    return rungs


def _halved(topology: Topology, spacing_mm: Spacing) -> Topology:
    """Half the patch along its longest axis and along those more than half as long."""
    longest = max(topology.patch_size)
    return network_topology(spacing_mm, [n // 2 if 2 * n > longest else n for n in topology.patch_size])


def _promising(measured: Mapping[int, float], costs: Sequence[float], allowed: float) -> int | None:
    """The best rung that may be fast enough, and is not known to be: it is worth measuring."""
    too_slow = max((place for place, seconds in measured.items() if seconds > allowed), default=-1)
    fast_enough = min((place for place, seconds in measured.items() if seconds <= allowed), default=-1)
    for place in range(too_slow + 1, fast_enough):
        nearest = min(measured, key=lambda known: abs(known - place))
        if measured[nearest] * costs[place] / costs[nearest] <= TOLERANCE * allowed:
            return place
    return None


def _reason(planned: Candidate, pace: Pace, minutes: float, allowed: float) -> str:
    goal = f"{MINIMUM_ITERATIONS} iterations, the least that is worth training, must fit {minutes:g} minutes"
    found = f"{pace.candidate}: {pace.seconds_per_iteration:.2g} s an iteration."
    if pace.seconds_per_iteration > allowed:
        return f"{goal}; no network is fast enough for that, so the cheapest is taken, {found}"
    if pace.candidate == planned:
        return f"{goal}; the network that fits the memory does so, {found}"
    return f"{goal}. The network that fits the memory ({planned}) is too slow. The best found that is not has {found}"
