from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.dataset import Case
from autoseg.dataset.images import write_image
from autoseg.errors import WorkspaceError
from autoseg.geometry import plain_grid
from autoseg.plan.preprocessing import Preprocessing, ZScore
from autoseg.preprocessing.cost import Cost, case_cost, predict_costs, processes_that_fit, require_room

GB = 10**9


def cost_of(folder, shape, spacing_mm, channels=1):
    path = folder / "a_0000.nii.gz"
    write_image(path, np.zeros(shape, dtype=np.int16), plain_grid(shape, (2.0, 1.0, 1.0)))
    plan = Preprocessing(spacing_mm=spacing_mm, normalisation=(ZScore(),) * channels)
    return case_cost(Case("a", (path,) * channels, None), plan)


def test_disk_is_that_of_the_arrays_compressed_a_little(tmp_path):
    cost = cost_of(tmp_path, (20, 30, 40), (1.0, 0.5, 0.5), channels=2)
    voxels = 40 * 60 * 80
    assert 0.9 * voxels * 4 * 2 < cost.disk_bytes < voxels * (4 * 2 + 2) + 2**20


def test_memory_grows_with_the_image_and_with_what_it_becomes(tmp_path):
    small = cost_of(tmp_path, (20, 30, 40), (2.0, 1.0, 1.0)).memory_bytes
    finer = cost_of(tmp_path, (20, 30, 40), (0.2, 0.1, 0.1)).memory_bytes
    larger = cost_of(tmp_path, (100, 300, 400), (2.0, 1.0, 1.0)).memory_bytes
    voxels = math.prod((20, 30, 40)) * 1000
    assert finer - small > 4 * voxels
    assert larger - small > 8 * math.prod((100, 300, 400))


def test_a_file_that_cannot_be_read_costs_nothing(tmp_path):
    plan = Preprocessing(spacing_mm=(1.0, 1.0, 1.0), normalisation=(ZScore(),))
    assert case_cost(Case("a", (tmp_path / "absent.nii.gz",), None), plan) == Cost(0, 0)


@pytest.mark.parametrize("headers", [32, 4])
def test_of_many_cases_a_larger_one_stands_for_several(headers, tmp_path, monkeypatch):
    monkeypatch.setattr("autoseg.preprocessing.cost.MOST_HEADERS", headers)
    plan = Preprocessing(spacing_mm=(1.0, 1.0, 1.0), normalisation=(ZScore(),))
    cases = []
    for number in range(10):
        path = tmp_path / f"{number}_0000.nii"
        shape = (4, 5, 60 + 10 * (number * 7 % 10))
        write_image(path, np.zeros(shape, dtype=np.int16), plain_grid(shape, (1.0, 1.0, 1.0)))
        cases.append(Case(str(number), (path,), None))
    exact = sorted((case_cost(case, plan) for case in cases), reverse=True)
    expected = exact if headers == 32 else [exact[place] for place in (0, 0, 0, 3, 3, 3, 6, 6, 6, 9)]
    assert predict_costs(cases, plan) == expected


@pytest.mark.parametrize(
    ("sizes_gb", "available_gb", "processes"),
    [
        pytest.param([1, 1, 1, 1], 100, 4, id="all"),
        pytest.param([1, 5, 1, 3], 10, 3, id="the largest ones together: 5 + 3 + 1 of 9"),
        pytest.param([1, 5, 1, 3], 9, 2, id="a tenth is left to others"),
        pytest.param([50], 10, 1, id="one at least"),
        pytest.param([], 10, 1, id="none"),
    ],
)
def test_processes_that_fit(sizes_gb, available_gb, processes):
    assert processes_that_fit([Cost(size * GB, 0) for size in sizes_gb], available_gb * GB) == processes


def test_room_is_looked_for_where_the_folder_will_be(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(Path(folder))
        return type("Usage", (), {"free": 3 * GB})

    monkeypatch.setattr("autoseg.preprocessing.cost.shutil.disk_usage", usage)
    require_room([Cost(0, GB)] * 3, tmp_path / "not" / "yet")
    assert asked == [tmp_path]
    with pytest.raises(WorkspaceError) as error:
        require_room([Cost(0, GB), Cost(0, 2.5 * GB)], tmp_path / "not" / "yet")
    assert str(error.value) == (
        f"{tmp_path}/not/yet: preparing 2 cases takes about 3.5 GB of disk, and 3.0 GB are free there. "
        "Make room, or give a workspace on another disk (-w DIR)."
    )
