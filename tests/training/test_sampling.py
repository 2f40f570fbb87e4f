"""Which case and which label a foreground patch shows: drawn many times, and counted."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import WorkspaceError
from autoseg.preprocessing import prepare_dataset
from autoseg.training.loading import load_batches
from autoseg.training.patch_source import TRAINING, VALIDATION, PatchSource
from autoseg.training.patches import draw_by_label, holders

SHAPE = (16, 48, 48)
NONE = np.zeros((0, 3), dtype=np.int32)


@pytest.fixture
def make_source(make_stage, case_in_memory):
    """A source of cases that hold the targets named; target t lies where the label map is t + 1."""

    def make(targets_of_cases, of=4, dimensions=3, annotated=None, stream=TRAINING, record=None, **sampling):
        cases = []
        for number, held in enumerate(targets_of_cases):
            classes = np.zeros(SHAPE, dtype=np.int16)
            for target in held:  # of every size, and none nearer to another than half a patch
                classes[6 : 7 + target, 10 + 9 * target, 20] = target + 1
            targets = [np.argwhere(classes == target + 1).astype(np.int32) for target in range(of)]
            located = SimpleNamespace(located=tuple(len(voxels) for voxels in targets))
            image = np.full((1, *SHAPE), number, dtype=np.float32)
            cases.append(case_in_memory(str(number), image, classes, targets, annotated, record=record or located))
        sampling = {"patch_size": (8, 16, 16)[-dimensions:], "batch_size": 2, "foreground_fraction": 1.0} | sampling
        return PatchSource(cases, make_stage(dimensions, sampling=sampling, augmentation=[]), stream)

    return make


def count(source, draws, places=None):
    """(target in the middle of the patch, or None; case) → times."""
    found = Counter()
    size = source.stage.sampling.batch_size
    for iteration in range(draws // len(places or range(size))):
        samples = source.batch(iteration)
        for place in places or range(size):
            middle = samples[place].labels[tuple(n // 2 for n in samples[place].labels.shape)]
            found[int(middle) - 1 if middle else None, int(samples[place].image.max())] += 1
    return found


def assert_as_likely(found, expected):
    """Each within 4.5 standard deviations of what its probability lets expect, and nothing else was drawn."""
    draws = found.total()
    assert set(found) <= set(expected)
    assert sum(expected.values()) == pytest.approx(1)
    for what, probability in expected.items():
        deviation = np.sqrt(draws * probability * (1 - probability))
        assert abs(found[what] - draws * probability) <= 4.5 * deviation, what


# Target 0 in all cases but the last, 1 in two, 2 in one, 3 in none; the last case holds nothing at all.
HELD = [(0, 1, 2), (0, 1), (0,), ()]
BY_LABEL = {
    **{(0, case): 1 / 3 / 3 for case in (0, 1, 2)},
    **{(1, case): 1 / 3 / 2 for case in (0, 1)},
    (2, 0): 1 / 3,
}
BY_CASE = {
    **{(target, 0): 1 / 4 / 3 for target in (0, 1, 2)},
    **{(target, 1): 1 / 4 / 2 for target in (0, 1)},
    (0, 2): 1 / 4,
    (None, 3): 1 / 4,
}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("stream", [TRAINING, VALIDATION])
def test_by_label(make_source, dimensions, stream):
    source = make_source(HELD, dimensions=dimensions, stream=stream, foreground="by_label")
    assert_as_likely(count(source, 2000), BY_LABEL)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_by_case(make_source, dimensions):
    assert_as_likely(count(make_source(HELD, dimensions=dimensions), 2000), BY_CASE)


def test_where_every_case_holds_every_label_both_draw_alike(make_source):
    alike = {(target, case): 1 / 6 for target in (0, 1, 2) for case in (0, 1)}
    for foreground in ("by_case", "by_label"):
        assert_as_likely(count(make_source([(0, 1, 2)] * 2, of=3, foreground=foreground), 1200), alike)


def test_other_patches_are_of_any_case(make_source):
    source = make_source(HELD, batch_size=3, foreground_fraction=0.34, foreground="by_label")
    found = count(source, 2000, places=[0, 1])
    cases = Counter({case: sum(times for (_, of), times in found.items() if of == case) for case in range(4)})
    assert_as_likely(cases, dict.fromkeys(range(4), 1 / 4))
    assert_as_likely(count(source, 1000, places=[2]), BY_LABEL)


def test_a_batch_of_one_is_foreground_as_often(make_source):
    found = count(make_source(HELD, batch_size=1, foreground_fraction=0.7, foreground="by_label"), 1500)
    assert abs(found[2, 0] - 1500 * 0.7 / 3) < 4.5 * np.sqrt(1500 * 0.23 * 0.77)


def test_every_voxel_of_a_label_is_as_likely(make_source):
    source = make_source([(2,)], dimensions=2, foreground="by_label")
    slices = Counter()
    for iteration in range(600):
        for sample in source.batch(iteration):
            assert 3 in sample.labels
    source.cases[0].pixels[0] = np.arange(SHAPE[0])[:, None, None]
    for iteration in range(600):
        slices.update(int(sample.image.max()) for sample in source.batch(iteration))
    assert_as_likely(slices, dict.fromkeys((6, 7, 8), 1 / 3))


@pytest.mark.parametrize("foreground", ["by_case", "by_label"])
def test_without_any_foreground_patches_lie_anywhere(make_source, foreground):
    source = make_source([(), ()], foreground=foreground)
    assert_as_likely(count(source, 600), {(None, 0): 1 / 2, (None, 1): 1 / 2})


def test_with_an_ignore_label_other_patches_are_centred_on_what_was_annotated(make_source):
    """The only annotated voxel of each case; patches of foreground do not care."""
    annotated = np.array([[8, 30, 30]], dtype=np.int32)
    source = make_source([(0,), ()], annotated=annotated, foreground_fraction=0.5, foreground="by_label")
    for case in source.cases:
        case.pixels[0, 8, 30, 30] = 7
    for iteration in range(100):
        anywhere, foreground = source.batch(iteration)
        assert anywhere.image[0, 4, 8, 8] == 7
        assert foreground.labels[4, 8, 8] == 1


class CountingRecord:
    """Of a case that holds one voxel of the first target; counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    @property
    def located(self):
        self.asked += 1
        return (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("sampling", "asked"),
    [
        ({"foreground": "by_label", "foreground_fraction": 0.0}, 0),
        ({"foreground": "by_case"}, 0),
        ({"foreground": "by_label"}, len(HELD)),
    ],
)
def test_what_a_case_holds_is_asked_only_where_patches_are_drawn_by_label(make_source, sampling, asked):
    record = CountingRecord()
    batch = make_source([(0,)] * len(HELD), record=record, **sampling).batch(0)
    assert record.asked == asked
    assert [sample.image.shape for sample in batch] == [(1, 8, 16, 16)] * 2


def test_holders():
    found = holders([(5, 0, 0), (7, 2, 0), (0, 1, 0)])
    assert {target: cases.tolist() for target, cases in found.items()} == {0: [0, 1], 1: [1, 2]}
    assert holders([(0, 0)]) == {}


def test_draw_by_label():
    generator = np.random.default_rng(0)
    holding = {3: np.array([4, 9]), 1: np.array([2])}
    found = Counter(draw_by_label(holding, generator) for _ in range(4000))
    assert_as_likely(found, {(1, 2): 1 / 2, (3, 4): 1 / 4, (3, 9): 1 / 4})


def test_whoever_reads_them_batches_by_label_are_the_same(make_stage, prepared):
    source = PatchSource(prepared, make_stage(sampling={"foreground": "by_label"}), TRAINING)
    sent = pickle.loads(pickle.dumps(source))
    expected = [part for iteration in range(4) for sample in source.batch(iteration) for part in sample]
    with load_batches(sent, 0, workers=2) as batches:
        found = [part for samples in islice(batches, 4) for sample in samples for part in sample]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_records_are_read_once_and_no_arrays(make_stage, prepared, monkeypatch):
    read = []
    record = type(prepared[0]).record
    monkeypatch.setattr(type(prepared[0]), "record", property(lambda case: read.append(case.name) or record.fget(case)))
    stage = make_stage(sampling={"foreground": "by_label"})
    with monkeypatch.context() as patched:
        for array in ("image", "labels", "locations"):
            patched.setattr(type(prepared[0]), array, lambda case: pytest.fail("an array was read"))
        source = PatchSource(prepared, stage, TRAINING)
    pickle.loads(pickle.dumps(source)).batch(0)
    source.batch(1)
    assert read == [case.name for case in prepared]


def test_regions_are_drawn_each_as_often(make_stage, dataset, tmp_path):
    """The whole holds the box, which lies in every case; drawn by label, half the patches are centred on the box."""
    regions = Labels(
        values={"background": 0, "ball": 1, "box": 2},
        regions={"whole": Region(values=(1, 2), paint=1), "box": Region(values=(2,), paint=2)},
    )
    described = type(dataset)(dataset.path, dataset.description.model_copy(update={"labels": regions}), dataset.cases)
    stage = make_stage(
        sampling={"patch_size": (4, 4, 4), "batch_size": 4, "foreground_fraction": 1.0, "foreground": "by_label"},
        loss=[{"kind": "binary_cross_entropy"}],
        augmentation=[],
    )
    prepared = prepare_dataset(described, stage.preprocessing, (4, 4, 4), tmp_path / "prepared", processes=1)
    for case in prepared:
        whole, box = case.record.located
        assert whole > box == (case.labels()[:] == 2).sum()
    samples = [sample for iteration in range(100) for sample in PatchSource(prepared, stage, TRAINING).batch(iteration)]
    centres = np.array([sample.labels[2, 2, 2] for sample in samples])
    in_box = np.mean([np.mean(case.labels()[:][case.labels()[:] > 0] == 2) for case in prepared])
    share = 0.5 + 0.5 * in_box  # voxels of the whole are box voxels, too
    assert (centres > 0).all()
    assert abs((centres == 2).mean() - share) < 4.5 * np.sqrt(share * (1 - share) / 400)


def test_a_record_that_cannot_be_read_is_named(make_stage, prepared):
    absent = type(prepared[0])("absent", prepared[0].folder)
    with pytest.raises(WorkspaceError, match=r"absent\.json"):
        PatchSource([absent], make_stage(sampling={"foreground": "by_label"}), TRAINING)


# Case and first voxel (z, y, x), as drawn before there was a choice: plans by case train as they always did.
FIRST_DRAWN = {
    3: [
        (0, 9, 20, 2),
        (2, 1, 12, 17),
        (2, 1, 0, 0),
        (2, 1, 0, 0),
        (0, 11, 23, 8),
        (2, 1, 0, 0),
        (1, 4, 0, 16),
        (0, 1, 17, 5),
        (1, 1, 8, 1),
        (2, 1, 12, 17),
        (1, 1, 2, 33),
        (2, 1, 0, 0),
    ],
    1: [(0, 0, 6, 14), (2, 1, 0, 0), (1, 3, 8, 1), (2, 1, 12, 17)],
}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_by_case_draws_what_it_always_drew(make_stage, case_in_memory, batch_size):
    kidney = np.array([(z, 20, 9) for z in range(9)], dtype=np.int32)
    tumour = np.array([(4, y, 25) for y in range(18)], dtype=np.int32)
    annotated = np.array([(8, 20, 29), (5, 6, 7)], dtype=np.int32)
    shapes, found = ((20, 40, 30), (12, 24, 50), (9, 33, 33)), []
    held = (((kidney, tumour), None), ((kidney, NONE), None), ((NONE, NONE), annotated))
    cases = []
    for number, (shape, (targets, where)) in enumerate(zip(shapes, held, strict=True)):
        places = np.arange(np.prod(shape)).reshape(shape)
        image = np.stack([places, np.full(shape, number)]).astype(np.float32)
        cases.append(case_in_memory(str(number), image, np.zeros(shape, np.int16), targets, where))
    stage = make_stage(sampling={"batch_size": batch_size, "foreground_fraction": 0.5}, augmentation=[])
    source = PatchSource(cases, stage, TRAINING)
    for iteration in range(4):
        for sample in source.batch(iteration):
            number = int(sample.image[1, 0, 0, 0])
            found.append((number, *map(int, np.unravel_index(int(sample.image[0, 0, 0, 0]), shapes[number]))))
    assert found == FIRST_DRAWN[batch_size]
