from __future__ import annotations

import pickle

import numpy as np
import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import WorkspaceError
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing, ZScore
from autoseg.preprocessing.locations import sample_locations
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.record import Source
from autoseg.preprocessing.store import PreparedCase, open_prepared, prepared_key, write_prepared

PREPROCESSING = Preprocessing(spacing_mm=(2.0, 1.0, 1.0), normalisation=(ZScore(), NoNormalisation()))
LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
REGIONS = {"whole": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)}
SHAPE = (12, 30, 40)
SOURCES = (Source(path="/data/a_0000.nii.gz", size=7, modified_ns=1_700_000_000_123_456_789, sha256="0" * 64),)
PLACEMENT = Placement(
    native_shape=SHAPE,
    native_spacing_mm=(2.0, 1.0, 1.0),
    origin=(0.0, 0.0, 0.1),
    direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    dimensions=3,
    crop=((0, 12), (0, 30), (0, 40)),
    axis_order=(0, 1, 2),
    shape=SHAPE,
    spacing_mm=(2.0, 1.0, 1.0),
)


def arrays(seed=0):
    generator = np.random.default_rng(seed)
    image = generator.normal(size=(2, *SHAPE)).astype(np.float32)
    return image, generator.integers(-1, 3, size=SHAPE).astype(np.int16)


def write(folder, labels=LABELS, seed=0):
    image, class_map = arrays(seed)
    case = PreparedCase("a", folder)
    write_prepared(case, image, class_map, sample_locations(class_map, labels), SOURCES, PLACEMENT, (8, 16, 16))
    return case


def test_what_is_written_is_read(tmp_path):
    case = write(tmp_path)
    image, class_map = arrays()
    assert case.image().dtype == np.float32
    assert case.labels().dtype == np.int16
    np.testing.assert_array_equal(case.image()[:], image)
    np.testing.assert_array_equal(case.labels()[:], class_map[None])
    assert case.image().chunks == (1, 8, 16, 16)
    assert case.record.sources == SOURCES
    assert case.record.shape == (2, *SHAPE)
    assert case.record.located == tuple(np.count_nonzero(class_map == label) for label in (1, 2))
    assert case.record.sizes == tuple(
        (tmp_path / f"a.{name}").stat().st_size for name in ("image.b2nd", "labels.b2nd", "locations.npz")
    )
    assert case.placement == PLACEMENT
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.image.b2nd",
        "a.json",
        "a.labels.b2nd",
        "a.locations.npz",
    ]


@pytest.mark.parametrize("ignore", [None, 9])
def test_locations_are_read(ignore, tmp_path):
    labels = LABELS.model_copy(update={"ignore": ignore})
    read = write(tmp_path, labels).locations()
    expected = sample_locations(arrays()[1], labels)
    for ours, theirs in zip(read.targets, expected.targets, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (read.annotated is None) is (ignore is None)
    np.testing.assert_array_equal(read.annotated, expected.annotated)


def test_the_same_bytes_every_time(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_case_travels_between_processes(tmp_path):
    case = write(tmp_path)
    assert len(pickle.dumps(case)) < 500
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(case)).image()[0, 3], arrays()[0][0, 3])


def test_a_kill_while_a_case_is_written_anew_leaves_it_undone(tmp_path, monkeypatch):
    case = write(tmp_path)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("autoseg.preprocessing.store.np.savez", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, seed=1)
    assert not case.record_path.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("Error while creating the NDArray")

    monkeypatch.setattr("autoseg.preprocessing.arrays.blosc2.asarray", full)
    with pytest.raises(WorkspaceError) as error:
        write(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/a.image.b2nd: cannot be written (Error while creating the NDArray): is the disk full? "
        "What is done is kept; run the same command again."
    )
    assert not list(tmp_path.iterdir())  # no record above all: it is not prepared


def test_open_prepared(tmp_path):
    case = write(tmp_path)
    assert open_prepared(tmp_path, ["a"]) == [case]


@pytest.mark.parametrize(
    ("names", "absent"),
    [(["a", "b"], "'b'"), (["b", "a", *"cdefgh"], "'b', 'c', 'd', 'e', 'f' and 2 more")],
)
def test_a_case_that_is_absent(names, absent, tmp_path):
    write(tmp_path)
    with pytest.raises(WorkspaceError) as error:
        open_prepared(tmp_path, names)
    assert str(error.value) == f"not prepared in {tmp_path}: {absent}. Run `autoseg preprocess DATASET`."


def test_a_record_of_another_version(tmp_path):
    case = write(tmp_path)
    case.record_path.write_text('{"format": 0}')
    with pytest.raises(WorkspaceError) as error:
        _ = case.record
    assert str(error.value) == (
        f"{tmp_path}/a.json: not a record of this version of autoseg: field 'format': must be 4 (found 0). Remove it "
        "and run `autoseg preprocess DATASET`."
    )


@pytest.mark.parametrize(
    ("preprocessing", "labels", "same"),
    [
        pytest.param({}, {}, True, id="alike"),
        pytest.param({}, {"values": {"background": 0, "ren": 1, "mass": 2}}, True, id="other names"),
        pytest.param({}, {"values": {"tumour": 2, "kidney": 1, "background": 0}}, True, id="other order"),
        pytest.param({}, {"values": {"background": 0, "kidney": 1, "tumour": 3}}, False, id="other values"),
        pytest.param({}, {"ignore": 3}, False, id="an ignore label"),
        pytest.param({}, {"regions": REGIONS}, False, id="regions"),
        pytest.param({"spacing_mm": (2.0, 1.0, 1.1)}, {}, False, id="other spacing"),
        pytest.param({"normalisation": (NoNormalisation(), ZScore())}, {}, False, id="other normalisation"),
        pytest.param({"axis_order": (1, 0, 2)}, {}, False, id="other order of axes"),
        pytest.param({"orientation": "LPS"}, {}, False, id="an orientation"),
        pytest.param({"image_order": 1}, {}, False, id="other spline order"),
        pytest.param({"label_order": 0}, {}, False, id="nearest label"),
    ],
)
def test_prepared_key(preprocessing, labels, same):
    key = prepared_key(PREPROCESSING.model_copy(update=preprocessing), LABELS.model_copy(update=labels))
    assert (key == prepared_key(PREPROCESSING, LABELS)) is same


def test_the_order_of_regions_is_part_of_the_key():
    backwards = dict(reversed(REGIONS.items()))
    keys = [
        prepared_key(PREPROCESSING, LABELS.model_copy(update={"regions": regions})) for regions in (REGIONS, backwards)
    ]
    assert keys[0] != keys[1]
