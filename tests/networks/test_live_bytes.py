"""Bytes in use against those added up by hand."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.networks.live_bytes import LiveBytes

KILOBYTE = 250  # float32 numbers


def test_storages_are_counted_once_and_for_as_long_as_they_live():
    with LiveBytes("cpu") as tracker:
        one = torch.zeros(KILOBYTE)
        assert tracker.live == 1000
        view = one.view(10, 25)[2:4]  # views bring nothing,
        one += 1  # nor do operations in place
        assert tracker.live == 1000
        two = torch.stack((one, one))
        assert tracker.live == 3000
        del one
        assert tracker.live == 3000  # the view still needs it
        del view
        assert tracker.live == 2000
        del two
        assert tracker.live == 0
        assert tracker.peak == 3000


def test_what_was_there_before():
    before, other = torch.zeros(KILOBYTE), torch.zeros(2 * KILOBYTE)
    with LiveBytes("cpu") as tracker:
        tracker.hold([before, None, before.view(5, 50), "text"])
        assert tracker.live == 1000
        other += 1  # counted as soon as an operation returns it
        assert tracker.live == 3000


def test_what_autograd_saves_is_in_use_until_the_backward_pass():
    """y = relu(x w), summed: x, w and relu's result are kept; what is multiplied is not."""
    with LiveBytes("cpu") as tracker:
        x, w = torch.ones(10, 50), torch.ones(50, 100, requires_grad=True)  # 2000 and 20 000 bytes
        total = torch.relu(x @ w).sum()  # 4000 bytes twice, and 4
        assert tracker.peak == 22000 + 8000
        assert tracker.live == 22000 + 4000 + 4
        total.backward()
        assert tracker.live == 22000 + 4 + 20000  # the gradient of w
        # Before it is there: relu's result, and the gradients of both results, the first of which was spread out.
        assert tracker.peak >= 22000 + 4 + 4000 + 20000


def test_fake_tensors_weigh_as_much_as_real_ones():
    def step(network, images):
        network(images).square().sum().backward()

    peaks = []
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.InstanceNorm2d(16), torch.nn.LeakyReLU())
    with LiveBytes("cpu") as tracker:
        tracker.hold(network.parameters())
        step(network, torch.ones(2, 1, 32, 32))
        peaks.append(tracker.peak)
    with FakeTensorMode(), LiveBytes("cpu") as tracker:
        fake = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.InstanceNorm2d(16), torch.nn.LeakyReLU())
        tracker.peak = tracker.live
        step(fake, torch.ones(2, 1, 32, 32))
        peaks.append(tracker.peak)
    assert peaks[0] == peaks[1]


def test_a_convolution_takes_more_while_it_runs():
    with LiveBytes("cpu") as tracker:
        images, weights = torch.ones(2, 16, 8, 8), torch.ones(16, 16, 3, 3)
        torch.nn.functional.conv2d(images, weights, padding=1)
    operands = 4 * (2 * 16 * 64 + 16 * 16 * 9)
    result = 4 * 2 * 16 * 64
    assert tracker.peak > operands + result
