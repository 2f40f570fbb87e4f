"""The average against sums written out, and a network that borrows it."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from autoseg.plan.training import Average
from autoseg.training.averaging import averaged, start_average, update_average


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))


def trained(made, steps, average):
    """The average after some steps of training, and every state on the way."""
    weights, states = start_average(made), [copy.deepcopy(made.state_dict())]
    optimizer = torch.optim.SGD(made.parameters(), 0.1)
    for step in range(1, steps + 1):
        made(torch.randn(2, 1, 6, 6)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        update_average(weights, made, average, step)
        states.append(copy.deepcopy(made.state_dict()))
    return weights, states


@pytest.mark.parametrize(("decay", "steps"), [(0.999, 5), (0.5, 12), (0.2, 1)])
def test_against_the_sum_written_out(decay, steps):
    """Weights and running statistics; after step t the average so far counts (1 + t) / (10 + t) at most."""
    weights, states = trained(network(), steps, Average(decay=decay))
    for name, found in weights.items():
        expected = states[0][name].double()
        for step, state in enumerate(states[1:], start=1):
            kept = min(decay, (1 + step) / (10 + step))
            expected = kept * expected + (1 - kept) * state[name].double()
        if name.endswith("num_batches_tracked"):
            expected = states[-1][name]
        torch.testing.assert_close(found, expected.to(found.dtype), rtol=1e-5, atol=1e-7)


def test_it_is_state_and_nothing_else():
    """Saved, read again and continued, it is what it would have been; the same steps give the same bits."""
    runs = []
    for stop in (None, 4):
        torch.manual_seed(1)
        made, average = network(), Average(decay=0.9)
        weights = start_average(made)
        for step in range(1, 9):
            with torch.no_grad():
                made[0].weight += torch.randn(made[0].weight.shape, generator=torch.Generator().manual_seed(step))
            update_average(weights, made, average, step)
            if step == stop:
                weights = {name: tensor.clone() for name, tensor in weights.items()}
        runs.append(weights)
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_network_borrows_it():
    made = network().eval()
    weights, states = trained(made, 3, Average(decay=0.9))
    before, optimizer = copy.deepcopy(weights), torch.optim.SGD(made.parameters(), 0.1)
    image = torch.randn(1, 1, 6, 6)
    own = made(image)
    twin = network().eval()
    twin.load_state_dict(weights)
    with averaged(made, weights):
        assert torch.equal(made(image), twin(image))
        assert not torch.equal(made(image), own)
    assert torch.equal(made(image), own)
    assert all(torch.equal(tensor, states[-1][name]) for name, tensor in made.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights.items())
    assert optimizer.param_groups[0]["params"][0] is made[0].weight and made[0].weight.requires_grad


def test_the_network_is_restored_after_an_error():
    made = network()
    own = copy.deepcopy(made.state_dict())
    weights = {name: torch.zeros_like(tensor) for name, tensor in own.items()}
    with pytest.raises(KeyError), averaged(made, weights):
        raise KeyError
    assert all(torch.equal(tensor, own[name]) for name, tensor in made.state_dict().items())


def test_running_statistics_are_averaged_counted_and_saved(tmp_path):
    """Of a batch norm: the mean moves as weights do, the counter is copied, and a file brings both back."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    weights = start_average(network)
    network(torch.randn(4, 1, 8, 8) + 5)
    update_average(weights, network, Average(decay=0.75), steps=1000)
    torch.testing.assert_close(weights["1.running_mean"], 0.25 * network[1].running_mean)
    assert int(weights["1.num_batches_tracked"]) == 1
    save_file(weights, tmp_path / "weights.safetensors")
    again = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    images = torch.randn(1, 1, 4, 4)
    with averaged(network, weights):
        assert torch.equal(network.eval()(images), again(images))
