from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.networks.blocks import EPSILON, InstanceNorm
from autoseg.networks.devices import prediction_format

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 5, 6), (1, 2, 1, 2, 1)])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_instance_norm_is_its_definition(shape, device):
    generator = np.random.default_rng(0)
    x = generator.normal(3.0, 2.0, shape)
    norm = InstanceNorm(shape[1]).to(device)
    scale, shift = generator.normal(size=(2, shape[1]))
    norm.load_state_dict({"weight": torch.from_numpy(scale), "bias": torch.from_numpy(shift)})
    axes, column = tuple(range(2, len(shape))), (slice(None), *(None,) * (len(shape) - 2))
    centred = x - x.mean(axes, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + EPSILON) * scale[column] + shift[column]
    found = norm(torch.from_numpy(x).float().to(device))
    np.testing.assert_allclose(found.detach().cpu(), expected, rtol=1e-4, atol=1e-5)


def test_its_names_are_those_of_torch():
    """So that weights can be carried over by name."""
    assert list(InstanceNorm(4).state_dict()) == list(torch.nn.InstanceNorm3d(4, affine=True).state_dict())


@pytest.mark.parametrize(("device", "dimensions", "last"), [("cpu", 3, True), ("cpu", 2, False), ("cuda", 3, False)])
def test_volumes_are_predicted_with_channels_last_on_a_cpu(device, dimensions, last):
    form = prediction_format(torch.device(device), dimensions)
    assert form == (torch.channels_last_3d if last else torch.contiguous_format)


def test_channels_stay_last_behind_a_norm():
    x = torch.randn(1, 4, 3, 5, 6).to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        assert InstanceNorm(4)(x).is_contiguous(memory_format=torch.channels_last_3d)
