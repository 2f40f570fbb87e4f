"""Whatever the headers of a dataset say, there is a plan or one message."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoseg.errors import PlanError
from autoseg.geometry import COARSEST_MM, FINEST_MM, LONGEST_AXIS
from autoseg.plan.plan import Budget
from autoseg.planner import derive_plan

magnitudes = st.floats(-6, 5).map(lambda power: min(max(10**power, FINEST_MM), COARSEST_MM))
lengths = st.floats(0, 6).map(lambda power: min(round(10**power), LONGEST_AXIS))
REMEDIES = ("Use larger or finer images", "Set larger voxels", "Raise the memory")

cases = st.tuples(st.tuples(magnitudes, magnitudes, magnitudes), st.tuples(lengths, lengths, lengths))


@pytest.mark.parametrize("preset", ["standard", "nnunet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(case=cases)
def test_there_is_a_plan_or_one_message(make_fingerprint, unasked, preset, case):
    spacing_mm, shape = case  # as an image may have them, one by one
    facts = make_fingerprint([spacing_mm] * 3, [shape] * 3)
    try:
        plan = derive_plan(facts, Budget(memory_gb=8), unasked, preset=preset)
    except PlanError as refused:
        assert any(remedy in str(refused) for remedy in REMEDIES)
    else:
        assert all(min(stage.sampling.patch_size) >= 1 for stage in plan.stages.values())
