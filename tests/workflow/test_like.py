"""Labels of a plan that is taken for another dataset."""

from __future__ import annotations

from autoseg.dataset import Labels
from autoseg.plan import read_plan
from autoseg.plan.shipped import find_plan
from autoseg.workflow.like import label_names, relabelled

KITS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})


def test_labels_of_the_same_name_are_the_same_the_rest_go_by_order():
    ours = Labels(values={"background": 0, "tumour": 1, "liver": 2})
    assert label_names(KITS, ours) == {"background": "background", "kidney": "liver", "tumour": "tumour"}
    others = Labels(values={"air": 0, "Anterior": 1, "Posterior": 2})
    assert list(label_names(KITS, others).values()) == ["air", "Anterior", "Posterior"]


def test_every_place_that_names_a_label():
    ours = Labels(values={"background": 0, "liver": 1, "lesion": 2})
    stage = relabelled(read_plan(find_plan("residual_unet_3d")).stages["3d_fullres"], KITS, ours)
    entropy, both, lesion = stage.loss
    assert entropy.weights == {"background": 0.5, "liver": 1, "lesion": 1.5}
    assert (both.over, lesion.over) == ((("liver", "lesion"), "lesion"), ("lesion",))
    assert stage.sampling.grid.likelier == {"lesion": 4}


def test_with_the_same_labels_nothing_changes():
    for stage in read_plan(find_plan("cascade_residual_unet")).stages.values():
        assert relabelled(stage, KITS, KITS) == stage
