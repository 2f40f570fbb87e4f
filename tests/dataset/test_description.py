from __future__ import annotations

import pytest

from autoseg.dataset import Description, Labels, Region

VALUES = {"background": 0, "oedema": 1, "core": 2}
REGIONS = {"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)}
BRAIN = Description(name="brain", channels=("T1", "T2"), labels=Labels(values=VALUES, regions=REGIONS, ignore=9))


def changed(description: Description, **labels: object) -> Description:
    """The description with other labels."""
    return description.model_copy(update={"labels": description.labels.model_copy(update=labels)})


@pytest.mark.parametrize(
    ("other", "like"),
    [
        (BRAIN, True),
        (BRAIN.model_copy(update={"name": "another", "normalisation": ("zscore", None)}), True),
        (changed(BRAIN, values=dict(reversed(VALUES.items()))), True),
        (changed(BRAIN, regions=dict(reversed(REGIONS.items()))), False),
        (changed(BRAIN, regions={}), False),
        (changed(BRAIN, regions={**REGIONS, "core": Region(values=(1,), paint=1)}), False),
        (changed(BRAIN, values={**VALUES, "cyst": 3}), False),
        (changed(BRAIN, values={"background": 0, "oedema": 2, "core": 1}), False),
        (changed(BRAIN, ignore=None), False),
        (BRAIN.model_copy(update={"channels": ("T2", "T1")}), False),
    ],
)
def test_descriptions_that_mean_the_same_by_inputs_and_outputs(other, like):
    assert BRAIN.is_like(other) is like
    assert other.is_like(BRAIN) is like


def test_words():
    assert BRAIN.described() == (
        "channels T1, T2 and labels background 0, oedema 1, core 2, ignore 9, regions whole 1+2, core 2"
    )
