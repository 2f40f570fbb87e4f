"""What is said of learning rates and conditions that do not fit each other."""

from __future__ import annotations

import pytest

from autoseg.errors import PlanError
from autoseg.plan import check_plan

FAULTS = [
    (
        {"schedule": {"kind": "cosine", "minimum": 0.1}},
        "stages.2d: schedule.minimum 0.1 is above optimizer.learning_rate 0.01; give a lower one",
    ),
    (
        {"optimizer": {"kind": "adam"}, "schedule": {"kind": "reduce_on_plateau", "minimum": 0.002}},
        "stages.2d: schedule.minimum 0.002 is above optimizer.learning_rate 0.001; give a lower one",
    ),
    (
        {"schedule": {"kind": "cosine", "minimum": 1e-6}, "stopping": {"learning_rate": 1e-7}},
        "stages.2d: stopping.learning_rate 1e-07: the learning rate begins at 0.01 and falls to 1e-06 at the lowest; "
        "give a rate between",
    ),
    (
        {"stopping": {"learning_rate": 0.01}},
        "stages.2d: stopping.learning_rate 0.01: the learning rate begins at 0.01 and falls to 0 at the lowest; "
        "give a rate between",
    ),
    (
        {"stopping": {"quantity": "mean_dice"}},
        "stages.2d.stopping: neither patience nor learning_rate is set, so nothing would stop; set one, or give null",
    ),
    (
        {
            "schedule": {
                "kind": "reduce_on_plateau",
                "factors_below": [{"dice": 0.6, "factor": 0.5}, {"dice": 0.5, "factor": 0.2}],
            }
        },
        "stages.2d.schedule: factors_below are for a Dice below [0.6, 0.5]: the bounds must rise",
    ),
    (
        {"schedule": {"kind": "cosin"}},
        "stages.2d.schedule: kind 'cosin' is none of 'constant', 'poly', 'cosine', 'reduce_on_plateau', 'one_cycle'",
    ),
    (
        {"schedule": {"minimum": 0}},
        "stages.2d.schedule: kind is missing. There is: constant, cosine, one_cycle, poly, reduce_on_plateau.",
    ),
]


@pytest.mark.parametrize(("changes", "line"), FAULTS, ids=[line for _, line in FAULTS])
def test_what_is_said_of_a_fault(data, changes, line):
    data["stages"]["2d"].update(changes)
    with pytest.raises(PlanError) as refused:
        check_plan(data, "plan.json")
    assert str(refused.value) == f"plan.json: the plan breaks one rule\n  {line}"


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"kind": "constant"}, "optimizer": {"kind": "adam", "weight_decay": 3e-5}},
        {"schedule": {"kind": "cosine", "minimum": 1e-7, "warm_up": 0.1}},
        {
            "schedule": {"kind": "reduce_on_plateau", "newest": 0.1, "patience": 30, "minimum": 1e-6},
            "stopping": {"learning_rate": 1e-6},
        },
        {"schedule": {"kind": "one_cycle"}, "stopping": {"patience": 20}, "average": {"decay": 0.99}},
    ],
)
def test_what_fits(data, changes):
    data["stages"]["2d"].update(changes)
    plan = check_plan(data, "plan.json")
    assert check_plan(plan.model_dump(mode="json"), "plan.json") == plan
