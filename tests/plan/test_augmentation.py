"""Where transforms may stand, and what a plan may say of those that batchgenerators has."""

from __future__ import annotations

from typing import get_args

import pytest

from autoseg.errors import PlanError
from autoseg.plan import check_plan
from autoseg.plan.augmentation import Batchgenerators
from autoseg.plan.batchgenerators_table import TransformName, made_transform, table

NOISE = {"kind": "noise"}
TURNED = {"kind": "spatial", "rotation_degrees": [{"low": -10, "high": 10}]}
ELASTIC = {"kind": "batchgenerators", "name": "elastic"}
THREE_WAYS = [[TURNED], [NOISE], [{"kind": "brightness"}, {"kind": "contrast"}]]


def copies(count=2, ways=THREE_WAYS):
    return {"kind": "copies", "count": count, "ways": ways}


def fault(data, augmentation, **sampling):
    """What is said of a plan with this augmentation; None if nothing is."""
    stage = data["stages"]["2d"]
    stage["augmentation"] = augmentation
    stage["sampling"] |= sampling
    try:
        check_plan(data, "plan.json")
    except PlanError as refused:
        heading, *faults = str(refused).splitlines()
        assert heading == "plan.json: the plan breaks one rule"
        assert len(faults) == 1
        return faults[0].strip()
    return None


@pytest.mark.parametrize(
    ("augmentation", "sampling"),
    [
        ([], {}),
        ([TURNED, NOISE], {}),
        ([ELASTIC, ELASTIC, TURNED, NOISE], {}),
        ([ELASTIC, NOISE], {}),
        ([copies(), {"kind": "mirror", "axes": [0, 1]}], {"batch_size": 6}),
        ([copies(ways=[[ELASTIC, TURNED], [NOISE]])], {"batch_size": 3}),
        ([copies(count=3)], {"batch_size": 4}),
        ([TURNED, {"kind": "zero_outside", "channels": [0]}], {}),
        ([{"kind": "previous_binary"}, {"kind": "previous_components"}], {}),
    ],
)
def test_orders_that_can_be_applied(data, augmentation, sampling):
    assert fault(data, augmentation, **sampling) is None


@pytest.mark.parametrize(
    ("augmentation", "sampling", "said"),
    [
        (
            [NOISE, TURNED],
            {},
            "stages.2d: augmentation: 'spatial' stands at [1]; there is one at most, and it comes first",
        ),
        (
            [ELASTIC, NOISE, TURNED],
            {},
            "stages.2d: augmentation: 'spatial' stands at [2]; there is one at most, and it comes first, "
            "after those of batchgenerators",
        ),
        (
            [TURNED, ELASTIC],
            {},
            "stages.2d: augmentation: 'batchgenerators' stands at [1]; these are applied where patches are loaded, "
            "before all others, so they come first",
        ),
        (
            [NOISE, copies()],
            {"batch_size": 3},
            "stages.2d: augmentation: 'copies' stands at [1]; there is one at most, and it comes first",
        ),
        (
            [copies(ways=[[NOISE, TURNED], []])],
            {"batch_size": 3},
            "stages.2d: augmentation.0.ways.0: 'spatial' stands at [1]; there is one at most, and it comes first",
        ),
        (
            [copies()],
            {"batch_size": 7},
            "stages.2d: sampling.batch_size 7: a patch and its copies are 3 patches, so the batch is a multiple of 3; "
            "the nearest: 6",
        ),
        (
            [copies(count=4)],
            {"batch_size": 5},
            "stages.2d.augmentation.0: 4 copies need as many ways to vary them, and there are 3",
        ),
        (
            [copies(ways=[[{"kind": "mirror", "axes": [2]}], []])],
            {"batch_size": 3},
            "stages.2d: augmentation.0.ways.0.0.axes [2]: a stage of 2 dimensions has axes 0 to 1, and each is named "
            "once at most",
        ),
        (
            [{"kind": "zero_outside", "channels": [0, 1]}],
            {},
            "stages.2d: augmentation.0.channels [0, 1]: the image has channels 0 to 0",
        ),
        (
            [{"kind": "previous_binary", "radius": {"low": 1, "high": 12}}],
            {},
            "stages.2d.augmentation.0: radius 1 to 12: it lies between 0 and 10 voxels",
        ),
        (
            [ELASTIC | {"arguments": {"deformation": [0, 0.2]}}],
            {},
            "stages.2d.augmentation.0: 'elastic' has no argument 'deformation'. There is: "
            "patch_center_dist_from_border, do_elastic_deform, deformation_scale, do_rotation, angle_x, angle_y, "
            "angle_z, do_scale, scale, border_mode_data, border_cval_data, order_data, border_mode_seg, "
            "border_cval_seg, order_seg, p_el_per_sample, p_scale_per_sample, p_rot_per_sample, "
            "independent_scale_for_each_axis, p_rot_per_axis, p_independent_scale_per_axis, seg_tiebreak.",
        ),
        (
            [ELASTIC | {"arguments": {"patch_size": [8, 8]}}],
            {},
            None,  # it is what comes in: said as of any other unknown argument
        ),
        (
            [{"kind": "batchgenerators", "name": "brightness", "arguments": {"mu": 0}}],
            {},
            "stages.2d.augmentation.0: 'brightness' lacks its argument 'sigma'. There is: mu, sigma, per_channel, "
            "p_per_sample, p_per_channel.",
        ),
        (
            [ELASTIC | {"arguments": {"border_mode_data": "constant"}}],
            {},
            "stages.2d.augmentation.0.arguments: argument 'border_mode_data' is 'constant'; it has to be a number, "
            "true, false or a list of these",
        ),
    ],
)
def test_what_is_said_of_others(data, augmentation, sampling, said):
    found = fault(data, augmentation, **sampling)
    if said is None:
        assert found.startswith("stages.2d.augmentation.0: 'elastic' has no argument 'patch_size'. There is: ")
    else:
        assert found == said


def test_an_unknown_name_is_answered_with_those_there_are(data):
    found = fault(data, [{"kind": "batchgenerators", "name": "os.system"}])
    assert found.startswith("stages.2d.augmentation.0.name: ")
    assert all(f"'{name}'" in found for name in get_args(TransformName))


def test_lists_become_the_tuples_that_batchgenerators_expects():
    blank = Batchgenerators(
        name="blank_rectangles",
        arguments={"rectangle_size": [[2, 5], [3, 6]], "rectangle_value": 0, "num_rectangles": [1, 3]},
    )
    assert blank.arguments == {"rectangle_size": ((2, 5), (3, 6)), "rectangle_value": 0, "num_rectangles": (1, 3)}
    assert Batchgenerators.model_validate_json(blank.model_dump_json()) == blank


def test_the_table_holds_every_name():
    assert set(table()) == set(get_args(TransformName))


def test_elastic_deformation_neither_turns_nor_scales_unless_asked():
    plain = made_transform("elastic", {})
    assert (plain.do_rotation, plain.do_scale, plain.random_crop, plain.patch_size) == (False, False, False, None)
    assert made_transform("elastic", {"do_scale": True}).do_scale is True
