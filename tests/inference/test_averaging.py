"""Means of probabilities, and what they decide, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.dataset import Labels, Region
from autoseg.errors import AutosegError
from autoseg.inference import averaging
from autoseg.inference.averaging import mean_label_map, open_probabilities, write_probabilities
from autoseg.inference.mapped import mapped_array

SHAPE = (7, 6, 5)
KIDNEY = Labels(values={"background": 0, "tumour": 9, "kidney": 4})
BRAIN = Labels(
    values={"background": 0, "oedema": 1, "core": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
)


def shares(seed: int, labels: Labels) -> np.ndarray:
    values = np.random.default_rng(seed).random((labels.outputs, *SHAPE))
    return values if labels.regions else values / values.sum(axis=0)


@pytest.mark.parametrize("slab_values", [1, 2 * 3 * 6 * 5, 2**24])
@pytest.mark.parametrize("labels", [KIDNEY, BRAIN], ids=["classes", "regions"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_mean_decides(tmp_path, monkeypatch, labels, count, slab_values):
    monkeypatch.setattr(averaging, "SLAB_VALUES", slab_values)
    members = [shares(seed, labels) for seed in range(count)]
    mean = np.mean(members, axis=0)
    if labels.regions:
        expected = np.where(mean[1] > 0.5, 2, np.where(mean[0] > 0.5, 1, 0))
    else:
        expected = np.array([0, 4, 9])[mean.argmax(axis=0)]
    with mapped_array(tmp_path, (labels.outputs, *SHAPE)) as filled:
        found = mean_label_map(members, labels, filled)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(filled, mean, rtol=0, atol=1e-6)
    assert found.dtype == np.uint8


def test_equal_means_go_to_the_smaller_class():
    halves = np.array([[0.5, 0.2], [0.5, 0.4], [0.0, 0.4]]).reshape(3, 1, 1, 2)
    assert mean_label_map([halves, halves], KIDNEY).tolist() == [[[0, 4]]]


def test_probabilities_are_kept_as_float16(tmp_path):
    given = shares(0, KIDNEY).astype(np.float32)
    write_probabilities(tmp_path / "a.b2nd", given)
    np.testing.assert_array_equal(open_probabilities(tmp_path / "a.b2nd")[:], given.astype(np.float16))
    found = mean_label_map([open_probabilities(tmp_path / "a.b2nd"), given], KIDNEY)
    np.testing.assert_array_equal(found, np.array([0, 4, 9])[given.argmax(axis=0)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.b2nd"]


def test_a_damaged_file(tmp_path):
    (tmp_path / "a.b2nd").write_bytes(b"no array")
    with pytest.raises(AutosegError) as error:
        open_probabilities(tmp_path / "a.b2nd")
    assert str(error.value) == f"{tmp_path / 'a.b2nd'}: damaged. Remove it and run the same command again."
