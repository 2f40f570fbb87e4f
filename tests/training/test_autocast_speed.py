from __future__ import annotations

import pytest
import torch

from autoseg.training import autocast_speed
from autoseg.training.autocast_speed import convolution_seconds, warn_of_slow_autocast


@pytest.mark.parametrize(("reduced", "told"), [(0.5, False), (1.9, False), (2.1, True), (4.0, True)])
def test_told_where_it_is_far_slower(reduced, told, cpu, monkeypatch, caplog):
    seconds = {torch.float32: 1.0, torch.bfloat16: reduced}
    monkeypatch.setattr(autocast_speed, "convolution_seconds", lambda device, dtype: seconds[dtype])
    warn_of_slow_autocast(cpu, torch.bfloat16)
    assert bool(caplog.messages) is told
    if told:
        assert (
            f"takes {reduced:.1f} times as long for a convolution of a volume in bfloat16 as in float32 on this cpu"
            in (caplog.messages[0])
        )


@pytest.mark.parametrize(("dtype", "timed"), [(torch.float32, []), (torch.bfloat16, [torch.bfloat16, torch.float32])])
def test_only_a_reduced_type_is_timed_and_float32_beside_it(dtype, timed, cpu, monkeypatch):
    found = []
    monkeypatch.setattr(autocast_speed, "convolution_seconds", lambda device, one: found.append(one) or 1.0)
    warn_of_slow_autocast(cpu, dtype)
    assert found == timed


def test_timing_draws_no_random_numbers(cpu):
    before = torch.get_rng_state()
    assert convolution_seconds(cpu, torch.bfloat16) > 0
    assert torch.equal(torch.get_rng_state(), before)
