"""The samples of every batch.

Comes in: prepared cases and a stage. Goes out: the samples of any iteration. What a batch holds depends on the seed and
the iteration's number alone, so a resumed run sees the batches it would have seen, whoever draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset import Labels
from autoseg.plan import Stage
from autoseg.plan.augmentation import Batchgenerators, Transform
from autoseg.preprocessing import Locations, PreparedCase
from autoseg.preprocessing.patches import read_patch
from autoseg.preprocessing.previous import one_hot
from autoseg.training.augmentation import Sample, draw_view, draw_way, samples_a_patch, transforms_of, vary_loaded
from autoseg.training.patches import draw_by_label, draw_in_slice, draw_start, holders, is_foreground_sample
from autoseg.training.windows import Windows, find_windows

TRAINING, VALIDATION = 0, 1  # streams of random numbers that never meet
PATCH, INTENSITIES, LOADED, WAYS = 0, 1, 2, 3  # what a sample's random numbers are for
KEPT_CASES = 32  # whose locations are kept: with many labels, or a partly annotated one, 20 MB a case, in every loader


@dataclass(frozen=True)
class PatchSource:
    """Draws the samples of any iteration.

    Attributes:
        cases: to draw from, each as likely as the other where the plan does not draw by label.
        stage: patch and batch size, share of foreground and how it is drawn, spatial augmentation.
        stream: TRAINING draws augmented patches, VALIDATION plain ones.
        process: number of the process, of those that train together;
        processes: how many they are. Each has every so-manyth sample of a batch.
        previous: classes a previous stage predicts, that follow the image's channels, one-hot.
        labels: of the dataset; needed where patches are windows of a grid.

    Raises:
        WorkspaceError: foreground is drawn by label, and the record of a case cannot be read.
    """

    cases: Sequence[PreparedCase]
    stage: Stage
    stream: int
    process: int = 0
    processes: int = 1
    previous: int = 0
    labels: Labels | None = None
    _windows: dict[str, Windows] = field(default_factory=dict, repr=False)
    _locations: dict[str, Locations] = field(default_factory=dict, repr=False)
    _holders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)  # empty where drawn by case

    def __post_init__(self) -> None:
        sampling = self.stage.sampling
        # Here and not in a worker: the records are read once, and travel with the source.
        if sampling.foreground == "by_label" and sampling.foreground_fraction > 0:
            self._holders.update(holders([case.record.located for case in self.cases]))

    def batch(self, iteration: int) -> list[Sample]:
        """The samples of an iteration that are this process's."""
        return [self._sample(iteration, place) for place in self.places]

    @property
    def places(self) -> range:
        """Of this process's samples in a batch."""
        return range(self.process, self.stage.sampling.batch_size, self.processes)

    def generator(self, iteration: int, place: int, purpose: int) -> np.random.Generator:
        """The random numbers of one sample, for a purpose: one of the names below the streams."""
        return np.random.default_rng([self.stage.training.seed, self.stream, iteration, place, purpose])

    def generators(self, iteration: int) -> list[np.random.Generator]:
        """One generator a sample, for the augmentation of intensities."""
        return [self.generator(iteration, place, INTENSITIES) for place in self.places]

    def _sample(self, iteration: int, place: int) -> Sample:
        plan: Sequence[Transform] = self.stage.augmentation if self.stream == TRAINING else ()
        members = samples_a_patch(plan)
        group, member = divmod(place, members)
        generator = self.generator(iteration, group * members, PATCH)
        sampling, thin = self.stage.sampling, (1,) * (3 - self.stage.dimensions)  # a 2-D patch is one slice thick
        case, foreground, target = self._draw_case(generator, group, sampling.batch_size // members)
        image, labels = case.image(), case.labels()
        patch = (*thin, *sampling.patch_size)
        start = self._draw_start(case, image.shape[1:], patch, foreground, generator, target)
        way = draw_way(plan, member, self.generator(iteration, group * members, WAYS))
        transforms = transforms_of(plan, way)
        turning = generator if member == 0 else self.generator(iteration, place, PATCH)
        matrix, reach = draw_view(transforms, sampling.patch_size, turning)
        extent = (*thin, *reach)
        middle = np.add(start, np.subtract(patch, 1) / 2)
        begin = np.floor(middle - np.subtract(extent, 1) / 2).astype(int)
        pixels = read_patch(image, _three(begin), _three(extent), 0)
        classes = read_patch(labels, _three(begin), _three(extent), 0)[0]
        if self.previous:
            predicted = read_patch(case.previous(), _three(begin), _three(extent), 0)[0]
            pixels = np.concatenate((pixels, one_hot(predicted, self.previous)))
        if thin:
            pixels, classes = pixels[:, 0], classes[0]
        loaded = [transform for transform in transforms if isinstance(transform, Batchgenerators)]
        if loaded:
            pixels, classes = vary_loaded(
                pixels, classes, loaded, self.generator(iteration, place, LOADED), self.previous
            )
        return Sample(pixels, classes, matrix, tuple((middle - begin)[len(thin) :].tolist()), self.previous, way)

    def _draw_start(
        self,
        case: PreparedCase,
        shape: Sequence[int],
        patch: Sequence[int],
        foreground: bool,
        generator: np.random.Generator,
        target: int | None,
    ) -> tuple[int, ...]:
        if self.stage.sampling.grid is not None:
            return self._case_windows(case, patch).draw(generator)
        locations = self._case_locations(case)
        if foreground and self.stage.sampling.foreground == "by_slice":
            return draw_in_slice(shape, patch, locations, generator)
        return draw_start(shape, patch, locations, foreground, generator, target)

    def _draw_case(
        self, generator: np.random.Generator, place: int, size: int
    ) -> tuple[PreparedCase, bool, int | None]:
        """The case, whether its patch is centred on foreground, and on which target if that is drawn already."""
        fraction = self.stage.sampling.foreground_fraction
        if not self._holders:
            case = self.cases[int(generator.integers(len(self.cases)))]
            return case, is_foreground_sample(place, size, fraction, generator), None
        if is_foreground_sample(place, size, fraction, generator):
            target, number = draw_by_label(self._holders, generator)
            return self.cases[number], True, target
        return self.cases[int(generator.integers(len(self.cases)))], False, None

    def _case_windows(self, case: PreparedCase, patch: Sequence[int]) -> Windows:
        """Its label map is read whole, once."""
        if case.name not in self._windows:
            grid, labels = self.stage.sampling.grid, self.labels
            assert grid is not None and labels is not None
            class_map = case.labels()[:][0]
            self._windows[case.name] = find_windows(class_map, patch, grid, labels.target_classes)
        return self._windows[case.name]

    def _case_locations(self, case: PreparedCase) -> Locations:
        """Those of the cases that were drawn last are kept, in that order."""
        found = self._locations.pop(case.name, None) or case.locations()
        self._locations[case.name] = found
        if len(self._locations) > KEPT_CASES:
            del self._locations[next(iter(self._locations))]
        return found


def _three(numbers: Sequence[int] | NDArray[np.int64]) -> tuple[int, int, int]:
    z, y, x = (int(number) for number in numbers)
    return z, y, x
