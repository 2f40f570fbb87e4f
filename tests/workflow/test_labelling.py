"""Labels of a plan that is taken for another dataset, and what is said of the rest."""

from __future__ import annotations

import pytest

from autoseg.dataset import Labels
from autoseg.dataset.description import Description
from autoseg.dataset.labels import Region
from autoseg.errors import PlanError
from autoseg.plan import Budget, read_plan
from autoseg.plan.shipped import find_plan
from autoseg.workflow.labelling import label_names, not_carried_over, relabelled

KITS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
LIVER = Labels(values={"background": 0, "lesion": 1, "liver": 2})


@pytest.mark.parametrize(
    ("ours", "asked", "names"),
    [
        ({"background": 0, "tumour": 1, "liver": 2}, [], {"kidney": "liver", "tumour": "tumour"}),
        ({"background": 0, "lesion": 1, "liver": 2}, [], {"kidney": "lesion", "tumour": "liver"}),
        ({"background": 0, "lesion": 1, "liver": 2}, ["tumour=lesion"], {"kidney": "liver", "tumour": "lesion"}),
        ({"background": 0, "tumour": 1, "liver": 2}, ["kidney=tumour"], {"kidney": "tumour", "tumour": "liver"}),
        ({"background": 0, "kidney": 1, "tumour": 2}, ["kidney=tumour", "tumour=kidney"], None),
    ],
)
def test_as_asked_then_by_name_then_by_order(ours, asked, names):
    names = names or {"kidney": "tumour", "tumour": "kidney"}
    assert label_names(KITS, Labels(values=ours), asked) == {"background": "background", **names}


def test_the_background_is_the_background():
    others = Labels(values={"air": 0, "Anterior": 1, "Posterior": 2})
    assert label_names(KITS, others) == {"background": "air", "kidney": "Anterior", "tumour": "Posterior"}


def test_regions_and_the_labels_in_them():
    theirs, ours = (
        Labels(values={"background": 0, low: 1, high: 2}, regions={f"all {low}": Region(values=(1, 2), paint=1)})
        for low, high in (("oedema", "core"), ("fat", "muscle"))
    )
    assert label_names(theirs, ours, ["oedema=muscle"]) == {
        "all oedema": "all fat",
        "oedema": "muscle",
        "core": "fat",
    }


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (["kidny=liver"], "--label kidny=liver: the plan has no label 'kidny'; it has kidney, tumour"),
        (["kidney=livr"], "--label kidney=livr: this dataset has no label 'livr'; it has lesion, liver"),
        (["kidney"], "--label kidney: expected THEIRS=OURS, as in kidney=liver"),
        (["kidney="], "--label kidney=: expected THEIRS=OURS, as in kidney=liver"),
        (["background=liver"], "--label background=liver: the plan has no label 'background'; it has kidney, tumour"),
        (
            ["kidney=liver", "tumour=liver"],
            "--label tumour=liver: 'liver' of this dataset is given twice; give each label once",
        ),
        (
            ["kidney=liver", "kidney=lesion"],
            "--label kidney=lesion: 'kidney' of the plan is given twice; give each label once",
        ),
    ],
)
def test_names_that_are_none(asked, problem):
    with pytest.raises(PlanError) as refused:
        label_names(KITS, LIVER, asked)
    assert str(refused.value) == problem


def test_every_place_that_names_a_label():
    names = label_names(KITS, LIVER, ["kidney=liver"])
    stage = relabelled(read_plan(find_plan("residual_unet_3d")).stages["3d_fullres"], names)
    entropy, both, lesion = stage.loss
    assert entropy.weights == {"background": 0.5, "liver": 1, "lesion": 1.5}
    assert (both.over, lesion.over) == ((("liver", "lesion"), "lesion"), ("lesion",))
    assert stage.sampling.grid.likelier == {"lesion": 4}
    plan = read_plan(find_plan("coarse_to_fine_vnet"))
    assert "kidney" not in plan.model_copy(
        update={"stages": {name: relabelled(stage, names) for name, stage in plan.stages.items()}, "dataset": None}
    ).model_dump_json(include={"stages"})
    [rule] = relabelled(plan.stages["tumour_densenet"], names).postprocessing
    assert (rule.target, rule.becomes) == ("lesion", "liver")


def test_a_label_without_a_counterpart():
    stage = read_plan(find_plan("residual_unet_3d")).stages["3d_fullres"]
    with pytest.raises(PlanError, match=r"'tumour', which the plan names, has no counterpart .*\(--label tum"):
        relabelled(stage, {"background": "background", "kidney": "liver"})


@pytest.mark.parametrize("path", ["residual_unet_3d", "coarse_to_fine_vnet", "cascade_residual_unet"])
def test_with_the_same_labels_nothing_changes(path):
    for stage in read_plan(find_plan(path)).stages.values():
        assert relabelled(stage, label_names(KITS, KITS)) == stage


def test_what_does_not_carry_over():
    like, names = read_plan(find_plan("residual_unet_3d")), label_names(KITS, LIVER)
    ours = Description(name="Liver", channels=("MRI",), labels=LIVER)
    plan = like.model_copy(update={"dataset": ours, "budget": Budget(minutes=20)})
    assert not_carried_over(like, plan, names) == [
        "Plan 'residual_unet_3d' was made for other labels, and takes 'lesion' for its 'kidney', 'liver' for its "
        "'tumour'; --label THEIRS=OURS says it otherwise.",
        "What was measured of 'KiTS19', for which plan 'residual_unet_3d' was made, is taken as it is: voxels of "
        "3.22 × 1.62 × 1.62 mm; MRI is clipped to -79…304 as its CT is. Set it for 'Liver' where that differs (--set).",
        "Not taken from plan 'residual_unet_3d': folds, which are this dataset's own; the length of its training, for "
        "which a model has 20 minutes.",
    ]
    assert not_carried_over(like, like, label_names(KITS, KITS)) == []
