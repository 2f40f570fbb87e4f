"""What a plan may say of stages that build on each other."""

from __future__ import annotations

import pytest

from autoseg.errors import PlanError
from autoseg.plan import check_plan, with_settings
from autoseg.plan.previous import CropFixed, Mask


def refused(plan, settings) -> str:
    with pytest.raises(PlanError) as raised:
        with_settings(plan, settings)
    return str(raised.value).splitlines()[1].strip()


@pytest.fixture
def cascade(data):
    """Stage second builds on first; labels are background, kidney and tumour."""
    data["dataset"]["labels"]["values"]["tumour"] = 2
    first = data["stages"]["2d"]
    data["stages"] = {"first": first, "second": {**first, "previous": {"stage": "first"}}}
    return check_plan(data, "plan.json")


def test_all_three_ways_together(cascade):
    crop = '{"kind":"box","size_mm":[80,90,100.5],"labels":["kidney"]}'
    plan = with_settings(
        cascade,
        [f"stages.second.previous.crop={crop}", 'stages.second.previous.mask={"value":-1024}'],
    )
    previous = plan.stages["second"].previous
    assert previous.as_channels
    assert previous.crop == CropFixed(labels=("kidney",), size_mm=(80, 90, 100.5))
    assert previous.mask == Mask(value=-1024)
    assert check_plan(plan.model_dump(mode="json"), "again") == plan


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (
            'stages.first.previous={"stage":"second"}',
            "plan: stages.first.previous.stage: first builds on second builds on first, so none can be trained first; "
            "begin with a stage whose previous is null",
        ),
        (
            "stages.second.previous.stage=third",
            "plan: stages.second.previous.stage 'third' is no other stage of this plan; the others are: first",
        ),
        (
            "stages.second.previous.as_channels=false",
            "stages.second.previous: nothing is made of what 'first' predicts: set as_channels, crop or mask, or "
            "previous to null",
        ),
        (
            'stages.second.previous.crop={"kind":"margin","labels":["liver"]}',
            "plan: stages.second.previous.crop.labels: 'liver' is no label of the dataset; there is: kidney, tumour",
        ),
        (
            'stages.second.previous.mask={"value":0,"labels":["background"]}',
            "plan: stages.second.previous.mask.labels: 'background' is no label of the dataset; there is: kidney, "
            "tumour",
        ),
        (
            'stages.second.previous.crop={"kind":"margin","margin_mm":-1}',
            "stages.second.previous.crop.margin_mm: must be greater than or equal to 0 (found -1)",
        ),
        (
            'stages.second.previous.crop={"kind":"margin","margin_mm":true}',
            "stages.second.previous.crop: margin_mm must be a number (found true)",
        ),
        (
            'stages.second.previous.mask={"value":-1e300}',
            "stages.second.previous.mask.value: must be greater than or equal to -1000000000 (found -1e+300)",
        ),
        (
            'stages.second.previous.crop={"kind":"box","size_mm":[10,0,10]}',
            "stages.second.previous.crop.size_mm.1: must be greater than or equal to 0.000001 (found 0)",
        ),
    ],
)
def test_what_is_refused(cascade, setting, complaint):
    assert refused(cascade, [setting]) == complaint
