"""A step against the update written out by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.training.augmentation import Batch
from autoseg.training.losses import deep_loss
from autoseg.training.step import find_loss, lower_loss, make_learner, take_step

LABELS = Labels(values={"background": 0, "ball": 1, "box": 2})


def batch(dimensions=2, seed=0):
    source = torch.Generator().manual_seed(seed)
    shape = (2, *(8, 16, 16)[-dimensions:])
    images = torch.randn((2, 1, *shape[1:]), generator=source)
    return Batch(images, torch.randint(0, 3, shape, generator=source, dtype=torch.int16))


def learner_of(make_stage, cpu, dimensions=2, **changes):
    return make_learner(make_stage(dimensions, **changes), 1, LABELS, cpu)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("clip", [0.05, 1e6])
def test_sgd_against_the_update_written_out(make_stage, cpu, dimensions, momentum, clip):
    """v ← m·v + g; w ← w - rate·(g + m·v), where g is clipped and then has the weight decay added."""
    decay = 0.01
    learner = learner_of(
        make_stage,
        cpu,
        dimensions,
        optimizer={"kind": "sgd", "momentum": momentum, "weight_decay": decay},
        training={"gradient_clip": clip},
    )
    twin = copy.deepcopy(learner.network).train()
    velocity = {}
    for number, rate in enumerate([0.1, 0.05, 0.02]):
        data = batch(dimensions, number)
        twin.zero_grad()
        expected = deep_loss(learner.loss, twin(data.images), data.labels)
        expected.backward()
        gradients = {name: weights.grad for name, weights in twin.named_parameters()}
        norm = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
        assert (norm > clip) == (clip < 1)
        with torch.no_grad():
            for name, weights in twin.named_parameters():
                g = gradients[name] * min(1.0, clip / norm) + decay * weights
                velocity[name] = momentum * velocity[name] + g if name in velocity else g
                weights -= rate * (g + momentum * velocity[name])
        assert take_step(learner, data, rate) == pytest.approx(expected.item(), rel=1e-5)
        for name, weights in learner.network.named_parameters():
            torch.testing.assert_close(weights, dict(twin.named_parameters())[name], rtol=1e-4, atol=1e-6)


def test_adamw_against_the_update_written_out(make_stage, cpu):
    """Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2."""
    decay = 0.1
    learner = learner_of(
        make_stage, cpu, optimizer={"kind": "adamw", "weight_decay": decay}, training={"gradient_clip": 1e6}
    )
    twin = copy.deepcopy(learner.network).train()
    mean = {name: torch.zeros_like(weights) for name, weights in twin.named_parameters()}
    square = copy.deepcopy(mean)
    for step, rate in enumerate([0.01, 0.005, 0.002], start=1):
        data = batch(seed=step)
        twin.zero_grad()
        deep_loss(learner.loss, twin(data.images), data.labels).backward()
        with torch.no_grad():
            for name, weights in twin.named_parameters():
                mean[name] = 0.9 * mean[name] + 0.1 * weights.grad
                square[name] = 0.999 * square[name] + 0.001 * weights.grad**2
                update = mean[name] / (1 - 0.9**step) / ((square[name] / (1 - 0.999**step)).sqrt() + 1e-8)
                weights -= rate * (update + decay * weights)
        take_step(learner, data, rate)
    for name, weights in learner.network.named_parameters():
        if not name.endswith(".0.0.bias"):  # before a norm its gradient is rounding error, which Adam blows up
            torch.testing.assert_close(weights, dict(twin.named_parameters())[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_precision(make_stage, cpu, precision, dtype):
    """The network computes in it; weights and loss stay in float32, and the loss falls all the same."""
    learner = learner_of(make_stage, cpu, training={"precision": precision})
    seen = []
    learner.network.heads[0].register_forward_hook(lambda *call: seen.append(call[2].dtype))
    losses = [take_step(learner, batch(), 0.02) for _ in range(6)]
    assert set(seen) == {dtype}
    assert {weights.dtype for weights in learner.network.parameters()} == {torch.float32}
    assert losses[-1] < losses[0]


def test_gradients_of_float16_are_scaled(make_stage, cpu, monkeypatch):
    """A loss of 1e-6 has gradients that float16 alone would round to 0; scaled, they are about those of float32."""
    plain = {"kind": "sgd", "momentum": 0, "weight_decay": 0}  # the weights move by the rate times the gradient
    exact = learner_of(make_stage, cpu, optimizer=plain)
    monkeypatch.setattr("autoseg.training.step.computing_type", lambda device, precision: torch.float16)
    half = learner_of(make_stage, cpu, optimizer=plain)
    assert half.scaler.is_enabled() and not exact.scaler.is_enabled()
    moved = []
    for learner in (exact, half):
        before = learner.network.heads[0].weight.detach().clone()
        lower_loss(learner, 1e-6 * find_loss(learner, batch()), 1e6)
        moved.append(learner.network.heads[0].weight.detach() - before)
    assert moved[0].abs().max() > 0.01
    torch.testing.assert_close(moved[1], moved[0], rtol=0.05, atol=0.02 * float(moved[0].abs().max()))


def test_every_resolution_counts_also_after_a_validation(make_stage, cpu):
    deep = {
        "features": [4] * 4,
        "kernels": [[3, 3]] * 4,
        "strides": [[1, 1], [2, 2], [2, 2], [1, 1]],
        "encoder_convolutions": [1] * 4,
        "decoder_convolutions": [1] * 3,
    }
    learner = learner_of(make_stage, cpu, network=deep)
    data = batch()
    outputs = learner.network.train()(data.images)
    assert [logits.shape[-1] for logits in outputs] == [16, 8]
    expected = deep_loss(learner.loss, outputs, data.labels).item()
    learner.network.eval()
    assert take_step(learner, data, 0.01) == pytest.approx(expected, rel=1e-6)


def test_a_step_is_its_two_halves(make_stage, cpu):
    whole, halved = learner_of(make_stage, cpu), learner_of(make_stage, cpu)
    for number in range(2):
        loss = find_loss(halved, batch(seed=number))
        assert take_step(whole, batch(seed=number), 0.1) == loss.item()
        lower_loss(halved, loss, 0.1)
    expected = whole.network.state_dict()
    assert all(torch.equal(weights, expected[name]) for name, weights in halved.network.state_dict().items())


def test_the_seed_of_the_plan_decides_the_weights(make_stage, cpu):
    def weights(seed):
        return learner_of(make_stage, cpu, training={"seed": seed}).network.state_dict()["heads.0.weight"]

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("voxel", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_changes_nothing(make_stage, cpu, voxel):
    learner = learner_of(make_stage, cpu)
    before = copy.deepcopy(learner.network.state_dict())
    data = batch()
    data.images[0, 0, 3, 3] = voxel
    assert not math.isfinite(take_step(learner, data, 0.01))
    assert all(torch.equal(weights, before[name]) for name, weights in learner.network.state_dict().items())


def test_a_gradient_that_is_no_number_changes_nothing(make_stage, cpu):
    learner = learner_of(make_stage, cpu)
    before = copy.deepcopy(learner.network.state_dict())
    next(learner.network.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    assert math.isnan(take_step(learner, batch(), 0.01))
    assert all(torch.equal(weights, before[name]) for name, weights in learner.network.state_dict().items())
