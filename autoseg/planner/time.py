"""The best network that can be trained in the minutes there are.

Comes in: the network planned for the memory, the minutes, and a function that measures how long
an iteration takes. Goes out: the network to train, with its pace.

The trade-off: a wide network with large batches becomes better in the end, a narrow one with small
batches sooner. On hippocampus, on two processor cores (benchmarks/results/hippocampus_cpu.md), 8 features
with batches of 2 reach a Dice of 0.873 in the 850 iterations that 2 minutes have for them; 16 features, in
half as many iterations, only 0.865. And 32 features gain nothing over 16 in 2700 iterations. No other dataset
was tried. So networks stand on a ladder, each cheaper than the one above it, and the first is taken that does
enough iterations in the time: 6000 with 32 features, 2000 with fewer. Only a network that cannot be made
cheaper but by seeing less, with smaller patches, may do with 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from autoseg.geometry import Spacing
from autoseg.phrases import counted, number
from autoseg.planner.candidate import Candidate
from autoseg.planner.decided import Decided
from autoseg.planner.length import iterations_done
from autoseg.planner.topology import Topology, network_topology

ENOUGH_ITERATIONS = 2000  # with fewer, a narrower network or a smaller batch is the better choice
WIDE, ENOUGH_FOR_WIDE = 32, 6000  # so many features need so many
FEWEST_ITERATIONS = 1000  # with fewer, a smaller patch is
WIDTHS = (32, 16, 8)  # what is no multiple of 8 wastes vector units: 24 features are slower than 32
BATCHES = {2: (32, 16, 8), 3: (4, 2)}  # by dimensions: to fall back to before the network is made narrower
SHORTEST_PATCH = 32  # patches are halved as long as their longest edge keeps this many voxels
MEASUREMENTS = 4  # networks at most
TOLERANCE = 1.5  # a network predicted to be more than this factor too slow is not measured


class Pace(NamedTuple):
    """A network and how fast it trains."""

    candidate: Candidate
    seconds_per_iteration: float


class Rung(NamedTuple):
    """A network, and how many iterations make it worth training."""

    candidate: Candidate
    iterations: int

    def allows(self, minutes: float) -> float:
        """Seconds that an iteration may take."""
        return minutes * 60 / self.iterations


def fit_time(
    planned: Candidate,
    spacing_mm: Spacing,
    outputs: int,
    minutes: float,
    seconds_per_iteration: Callable[[Candidate], float],
) -> Decided[Pace]:
    """The best network found to do enough iterations in the time; if none does, the cheapest.

    Measuring costs seconds, much more for slow networks. So the cheapest network is measured first, and others
    only if they promise to be fast enough: their time is predicted from the nearest measured one, in proportion
    to their feature maps.

    Args:
        planned: what the memory allows; top of the ladder.
        spacing_mm: of the stage.
        outputs: channels of the network's head.
        minutes: to train in.
        seconds_per_iteration: measures a network, in seconds; asked at most 4 times.
    """
    rungs = ladder(planned, spacing_mm)
    costs = [rung.candidate.cost(outputs) for rung in rungs]
    allowed = [rung.allows(minutes) for rung in rungs]
    measured = {len(rungs) - 1: seconds_per_iteration(rungs[-1].candidate)}
    while len(measured) < MEASUREMENTS and (place := _promising(rungs, measured, costs, allowed)) is not None:
        measured[place] = seconds_per_iteration(rungs[place].candidate)
    chosen = min((place for place, seconds in measured.items() if seconds <= allowed[place]), default=len(rungs) - 1)
    facts = {
        "minutes": minutes,
        "enough_iterations": rungs[chosen].iterations,
        "measured_seconds_per_iteration": {str(rungs[place].candidate): measured[place] for place in sorted(measured)},
    }
    pace = Pace(rungs[chosen].candidate, measured[chosen])
    reason = _reason(planned, pace, rungs[chosen], minutes)
    return Decided(pace, "fit_time", facts, reason, _next_better(rungs, chosen, measured, costs, minutes))


def ladder(planned: Candidate, spacing_mm: Spacing) -> list[Rung]:
    """Networks from the planned one to the cheapest that makes sense, best first.

    Width counts for more than the batch, the patch for more than either.

    >>> cube = Candidate(network_topology((1.0, 1.0, 1.0), (128, 128, 128)), batch_size=2)
    >>> for rung in ladder(cube, (1.0, 1.0, 1.0)):
    ...     print(rung.iterations, rung.candidate)
    6000 32→320 features, batches of 2, patches of 128 × 128 × 128
    2000 16→160 features, batches of 2, patches of 128 × 128 × 128
    1000 8→80 features, batches of 2, patches of 128 × 128 × 128
    1000 8→80 features, batches of 2, patches of 64 × 64 × 64
    1000 8→64 features, batches of 2, patches of 32 × 32 × 32
    """
    dimensions = len(spacing_mm)
    smaller = [batch for batch in BATCHES[dimensions] if batch < planned.batch_size] or [planned.batch_size]
    widths = [planned.first_features, *(width for width in WIDTHS if width < planned.first_features)]
    below = [planned._replace(first_features=width, batch_size=batch) for width in widths for batch in smaller]
    networks = [planned, *(network for network in below if network != planned)]
    rungs = [Rung(one, ENOUGH_FOR_WIDE if one.first_features >= WIDE else ENOUGH_ITERATIONS) for one in networks[:-1]]
    rungs.append(Rung(networks[-1], FEWEST_ITERATIONS))
    while max((last := rungs[-1].candidate).topology.patch_size) >= 2 * SHORTEST_PATCH:
        rungs.append(Rung(last._replace(topology=_halved(last.topology, spacing_mm)), FEWEST_ITERATIONS))
    return rungs


def _halved(topology: Topology, spacing_mm: Spacing) -> Topology:
    """Half the patch along its longest axis and along those more than half as long."""
    longest = max(topology.patch_size)
    return network_topology(spacing_mm, [n // 2 if 2 * n > longest else n for n in topology.patch_size])


def _promising(
    rungs: Sequence[Rung], measured: Mapping[int, float], costs: Sequence[float], allowed: Sequence[float]
) -> int | None:
    """The best rung that may be fast enough, and is not known to be: it is worth measuring."""
    fast_enough = min((place for place, seconds in measured.items() if seconds <= allowed[place]), default=len(costs))
    too_slow = max((place for place, seconds in measured.items() if seconds > allowed[place]), default=-1)
    for place in range(fast_enough):
        below_known = too_slow < place or costs[place] < costs[too_slow]
        expected = _predicted(rungs, place, measured, costs)
        if place not in measured and below_known and expected <= TOLERANCE * allowed[place]:
            return place
    return None


def _predicted(rungs: Sequence[Rung], place: int, measured: Mapping[int, float], costs: Sequence[float]) -> float:
    """Seconds of a rung, in proportion to the nearest one measured; better to one of the same width."""
    width = rungs[place].candidate.first_features
    nearest = min(measured, key=lambda known: (rungs[known].candidate.first_features != width, abs(known - place)))
    return measured[nearest] * costs[place] / costs[nearest]


def _reason(planned: Candidate, pace: Pace, rung: Rung, minutes: float) -> str:
    goal = (
        f"To learn enough, a network should do {ENOUGH_FOR_WIDE} iterations, a batch each, {ENOUGH_ITERATIONS} if it "
        f"has fewer than {WIDE} features, and {FEWEST_ITERATIONS} if it is the cheapest there is."
    )
    done = f"{number(round(iterations_done(minutes, pace.seconds_per_iteration), 1))} of its {rung.iterations}"
    found = f"{pace.candidate}, at {number(pace.seconds_per_iteration)} s an iteration"
    time = f"In {counted(minutes, 'minute')}"
    if pace.seconds_per_iteration > rung.allows(minutes):
        return f"{goal} {time} none does. The cheapest is taken, which does {done}: {found}."
    if pace.candidate == planned:
        return f"{goal} {time} the largest that fits the memory does: {found}."
    return f"{goal} {time} the largest that fits the memory ({planned}) does not. The best found that does: {found}."


def _next_better(
    rungs: Sequence[Rung], chosen: int, measured: Mapping[int, float], costs: Sequence[float], minutes: float
) -> str:
    """What the rung above would have done in the time."""
    if chosen == 0:
        return ""
    above = rungs[chosen - 1]
    seconds = measured.get(chosen - 1) or _predicted(rungs, chosen - 1, measured, costs)
    how = "measured" if chosen - 1 in measured else "estimated"
    done = iterations_done(minutes, seconds)
    return (
        f"{above.candidate} would do {number(round(done, 1))} of the {above.iterations} iterations it should "
        f"({number(seconds)} s each, {how})."
    )
