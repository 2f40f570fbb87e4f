from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.networks.devices import prediction_format, training_format
from autoseg.networks.instance_norm import EPSILON, InstanceNorm

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


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.04)])
def test_its_gradients_are_those_of_the_definition(form, dtype, tolerance):
    """Against torch's own instance norm in float64."""
    torch.manual_seed(0)
    x, gradient = torch.randn(2, 2, 3, 5, 6, 7).double().unbind()
    x = 3 * x + 2
    norm = InstanceNorm(3)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    inputs = [x.requires_grad_(), *(part.detach().double().requires_grad_() for part in norm.parameters())]
    expected = torch.autograd.grad(
        torch.nn.functional.instance_norm(inputs[0], weight=inputs[1], bias=inputs[2], eps=EPSILON), inputs, gradient
    )
    features = x.detach().to(dtype).to(memory_format=form).requires_grad_()
    made = norm(features)
    assert made.is_contiguous(memory_format=form)
    found = torch.autograd.grad(made, [features, *norm.parameters()], gradient.to(dtype).to(memory_format=form))
    for ours, theirs in zip(found, expected, strict=True):
        error = (ours.double() - theirs).abs().max() / theirs.abs().max()
        assert error < tolerance


@pytest.mark.parametrize(
    ("device", "dimensions", "features", "last"),
    [("cpu", 3, 32, True), ("cpu", 3, 16, False), ("cpu", 2, 32, False), ("cuda", 3, 32, False)],
)
def test_wide_networks_are_trained_with_channels_last_on_a_cpu(device, dimensions, features, last):
    form = training_format(torch.device(device), dimensions, features)
    assert form == (torch.channels_last_3d if last else torch.contiguous_format)
