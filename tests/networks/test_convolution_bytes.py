"""What convolutions take inside, against what torch's allocator handed out while they ran."""

from __future__ import annotations

import json

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from autoseg.networks.convolution_bytes import convolution_bytes

FORWARD, BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default

# dimensions, batch, channels, features, size, kernel, stride, transposed, type
CASES = [
    (3, 2, 16, 32, 24, 3, 1, False, torch.float32),
    (3, 2, 32, 32, 24, 3, 1, False, torch.bfloat16),
    (3, 9, 32, 16, 16, 3, 2, False, torch.float32),
    (3, 1, 16, 16, 16, 3, 1, False, torch.float32),  # small and alone: unfolded
    (3, 1, 32, 64, 24, 3, 1, False, torch.bfloat16),
    (2, 4, 32, 32, 96, 3, 1, False, torch.float32),
    (2, 9, 64, 64, 64, 3, 1, False, torch.bfloat16),
    (2, 4, 64, 32, 64, 2, 2, True, torch.float32),
    (3, 2, 32, 16, 16, 2, 2, True, torch.bfloat16),
    (2, 9, 32, 64, 64, 1, 1, False, torch.bfloat16),
    (3, 4, 32, 16, 24, 1, 1, False, torch.float32),  # a matrix product
    (2, 4, 32, 16, 96, 1, 1, False, torch.float32),
]


def operands(dimensions, batch, channels, features, size, kernel, stride, transposed, dtype):
    images = torch.randn(batch, channels, *(size,) * dimensions, dtype=dtype)
    shape = (channels, features) if transposed else (features, channels)
    weights = torch.randn(*shape, *(kernel,) * dimensions, dtype=dtype)
    padding = 0 if transposed else (kernel - 1) // 2
    each = [[number] * dimensions for number in (stride, padding, 1)]
    return images, weights, torch.zeros(features, dtype=dtype), *each, transposed, [0] * dimensions, 1


def allocated(call, tmp_path):
    """Most bytes handed out during a call, beyond what it returned; the call's result."""
    call()  # what is loaded or compiled once does not count
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        made = call()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    live, peak = 0, 0
    for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
        live += event["args"]["Bytes"]
        peak = max(peak, live)
    return peak - live, made


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN in this torch")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch.profiler.*")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace("torch.", ""))
def test_against_the_allocator(case, tmp_path):
    arguments = operands(*case)
    found, features = allocated(lambda: FORWARD(*arguments), tmp_path)
    predicted = convolution_bytes(FORWARD, arguments, features, "cpu")
    assert found <= 1.05 * predicted + 1e6  # scratch that does not grow with the batch is left out
    assert predicted <= 1.6 * found

    images, weights, _, *rest = arguments
    backward = (torch.randn_like(features), images, weights, [case[3]], *rest, [True, True, True])
    found, made = allocated(lambda: BACKWARD(*backward), tmp_path)
    predicted = convolution_bytes(BACKWARD, backward, made, "cpu")
    assert found <= 1.05 * predicted + 1e6
    assert predicted <= 1.6 * found


def test_other_operations_take_nothing():
    ones = torch.ones(4)
    assert convolution_bytes(torch.ops.aten.add.Tensor, (ones, ones), ones + ones, "cpu") == 0


def test_on_a_gpu_all_operands_are_copied():
    """In blocks of 16 channels: 1 channel counts as 16."""
    arguments = operands(2, 2, 1, 32, 8, 3, 1, False, torch.float32)
    features = FORWARD(*arguments)
    voxels = 2 * 8 * 8
    assert convolution_bytes(FORWARD, arguments, features, "cuda") == 4 * (voxels * 16 + voxels * 32 + 32 * 9)
