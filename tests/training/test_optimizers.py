"""Optimisers against their updates written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.plan.training import SGD, Adam, AdamW
from autoseg.training.optimizers import build_optimizer

RATES = [0.1, 0.05, 0.02, 0.02]
DECAY = 0.1


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 30), nn.Linear(30, 1))


def gradients(step, made):
    source = torch.Generator().manual_seed(step)
    return [torch.randn(weights.shape, generator=source) for weights in made.parameters()]


def stepped(planned):
    made = network()
    optimizer = build_optimizer(planned, made)
    for step, rate in enumerate(RATES):
        for weights, gradient in zip(made.parameters(), gradients(step, made), strict=True):
            weights.grad = gradient
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return [weights.detach().numpy() for weights in made.parameters()]


def sgd(w, g, state, rate, step, momentum):
    g = g + DECAY * w
    state["v"] = momentum * state["v"] + g if step > 1 else g
    return w - rate * (g + momentum * state["v"])


def adam(w, g, state, rate, step, decoupled):
    """Kingma and Ba 2015, algorithm 1; the decay is a part of the gradient, or apart from it."""
    if not decoupled:
        g = g + DECAY * w
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state["v"] + 0.001 * g**2
    update = state["m"] / (1 - 0.9**step) / (np.sqrt(state["v"] / (1 - 0.999**step)) + 1e-8)
    return w - rate * (update + (DECAY * w if decoupled else 0))


OPTIMIZERS = {
    "sgd": (SGD(momentum=0.9, weight_decay=DECAY), lambda *a: sgd(*a, momentum=0.9)),
    "sgd without momentum": (SGD(momentum=0, weight_decay=DECAY), lambda *a: sgd(*a, momentum=0)),
    "adam": (Adam(weight_decay=DECAY), lambda *a: adam(*a, decoupled=False)),
    "adamw": (AdamW(weight_decay=DECAY), lambda *a: adam(*a, decoupled=True)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_against_the_update_written_out(name):
    planned, update = OPTIMIZERS[name]
    made = network()
    expected = [weights.detach().double().numpy() for weights in made.parameters()]
    states = [{"v": 0.0} for _ in expected]
    for step, rate in enumerate(RATES):
        for place, gradient in enumerate(gradients(step, made)):
            expected[place] = update(expected[place], gradient.double().numpy(), states[place], rate, step + 1)
    for found, wanted in zip(stepped(planned), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_steps_give_the_same_bits(name):
    planned, _ = OPTIMIZERS[name]
    for one, again in zip(stepped(planned), stepped(planned), strict=True):
        assert (one == again).all()


def test_adam_without_decay_is_adamw_without_decay():
    for one, other in zip(stepped(Adam(weight_decay=0)), stepped(AdamW(weight_decay=0)), strict=True):
        assert (one == other).all()
