"""Encoders from networks for photographs, against the published numbers of their weights."""

from __future__ import annotations

import pytest
import torch

from autoseg.networks import build_network
from autoseg.networks.classifier_v_nets import DenseLayer, dense_encoder, se_resnext_encoder
from autoseg.plan.network import BatchNorm, DenseVNet, SEResNeXtVNet

SMALL = {
    "dense": DenseVNet(blocks=(1, 1, 2, 1), growth=4, decoder_features=(8, 8, 4, 4, 4), decoder_convolutions=(1,) * 5),
    "se": SEResNeXtVNet(
        blocks=(1, 1, 2, 1),
        groups=4,
        group_width=2,
        squeeze_excitation=4,
        decoder_features=(8, 8, 4, 4, 4),
        decoder_convolutions=(1,) * 5,
    ),
}


def numbers(stages):
    return sum(weights.numel() for stage in stages for weights in stage.parameters())


def test_the_published_number_of_weights_of_densenet_169():
    """In 2-D, of colour images: 14 149 480 with the classifier of 1000 classes, as torchvision documents it."""
    with torch.device("meta"):
        assert numbers(dense_encoder(DenseVNet(dimensions=2), 3)) == 14_149_480 - (1664 * 1000 + 1000)


def test_the_published_number_of_weights_of_se_resnext_101():
    """32×4d in 2-D: 48 955 416 with the classifier of 1000 classes, as timm's table of results has it (48.96 M)."""
    with torch.device("meta"):
        assert numbers(se_resnext_encoder(SEResNeXtVNet(dimensions=2), 3)) == 48_955_416 - (2048 * 1000 + 1000)


@pytest.mark.parametrize("plan", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_features_at_every_resolution(plan, dimensions):
    plan = plan.model_copy(update={"dimensions": dimensions})
    encoder = dense_encoder if isinstance(plan, DenseVNet) else se_resnext_encoder
    x, size = torch.randn(1, 2, *[64] * dimensions), 64
    for stage, features in zip(encoder(plan, 2), plan.encoder_features, strict=True):
        x, size = stage(x), size // 2
        assert tuple(x.shape) == (1, features, *[size] * dimensions)


@pytest.mark.parametrize("plan", SMALL.values(), ids=SMALL)
def test_outputs_and_gradients(plan):
    network = build_network(plan.model_copy(update={"deep_supervision": True}), 1, 3).train()
    outputs = network(torch.randn(2, 1, 64, 32, 32))
    assert [tuple(logits.shape[2:]) for logits in outputs] == [(64, 32, 32), (32, 16, 16), (16, 8, 8), (8, 4, 4)]
    sum(logits.square().sum() for logits in outputs).backward()
    assert all(weights.grad is not None for weights in network.parameters())
    assert len(network.eval()(torch.randn(1, 1, 32, 32, 64))) == 1


def test_a_dense_layer_keeps_what_came_in():
    layer = DenseLayer(4, 3, BatchNorm(), 3)
    x = torch.randn(2, 4, 4, 4, 4)
    given = x.clone()
    found = layer(x)
    assert found.shape == (2, 7, 4, 4, 4) and torch.equal(found[:, :4], given)


def test_a_patch_is_a_multiple_of_32():
    """System "Technical report KiTS 2019": "the padding factor is now 32"."""
    assert DenseVNet().divisor == SEResNeXtVNet().divisor == (32, 32, 32)
    assert DenseVNet().features == (16, 64, 256, 512, 1280, 1664)  # Huang et al. 2017, table 1
    assert SEResNeXtVNet().features == (16, 64, 256, 512, 1024, 2048)
