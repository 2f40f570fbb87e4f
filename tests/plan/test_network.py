from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from autoseg.plan.network import Network, PlainUNet, ResidualEncoderUNet

KINDS = [
    ("plain_unet", PlainUNet, "encoder_convolutions"),
    ("residual_encoder_unet", ResidualEncoderUNet, "encoder_blocks"),
]
NETWORKS = TypeAdapter(Network)


def described(kind, encoder, **changes):
    """JSON of a network of two stages."""
    return {
        "kind": kind,
        "features": [4, 8],
        "kernels": [[3, 3], [3, 3]],
        "strides": [[1, 1], [2, 4]],
        encoder: [1, 3],
        "decoder_convolutions": [2],
    } | changes


@pytest.mark.parametrize(("kind", "model", "encoder"), KINDS)
@pytest.mark.parametrize(
    ("strides", "divisor"),
    [
        pytest.param([(1, 1), (2, 2)], (2, 2), id="one step"),
        pytest.param([(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)], (4, 8, 8), id="coarse first axis"),
        pytest.param([(1, 1, 1), (1, 1, 3)], (1, 1, 3), id="one axis"),
    ],
)
def test_by_what_a_patch_must_be_divisible(kind, model, encoder, strides, divisor):
    depth = len(strides)
    network = model(
        features=(8,) * depth,
        kernels=((3,) * len(divisor),) * depth,
        strides=strides,
        decoder_convolutions=(2,) * (depth - 1),
        **{encoder: (2,) * depth},
    )
    assert (network.kind, network.divisor) == (kind, divisor)


@pytest.mark.parametrize(("kind", "model", "encoder"), KINDS)
def test_the_kind_says_what_it_is(kind, model, encoder):
    network = NETWORKS.validate_python(described(kind, encoder))
    assert type(network) is model and network.deep_supervision
    assert NETWORKS.validate_json(network.model_dump_json()) == network


@pytest.mark.parametrize(("kind", "model", "encoder"), KINDS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": [[3, 3]]}, "kernels has 1 entry; with 2 levels, as many as features, it needs 2"),
        ({"strides": [[1, 1]] * 3}, "strides has 3 entries; with 2 levels, as many as features, it needs 2"),
        ({"ENCODER": [1, 3, 4]}, "ENCODER has 3 entries; with 2 levels, as many as features, it needs 2"),
        (
            {"decoder_convolutions": [1, 1]},
            "decoder_convolutions has 2 entries; with 2 levels, as many as features, it needs 1",
        ),
        ({"strides": [[1, 2], [2, 2]]}, "the first stage's stride must be all ones, not (1, 2)"),
        ({"kernels": [[3, 3], [3, 3, 3]]}, "kernels and strides have 2 and 3 axes; all need the same number"),
        ({"kernels": [[3, 3], [2, 3]]}, "kernels must be odd, so that the output is as large as the input, not 2"),
    ],
)
def test_networks_that_cannot_be(kind, model, encoder, changes, message):
    changes = {name.replace("ENCODER", encoder): value for name, value in changes.items()}
    with pytest.raises(ValidationError) as refused:
        model(**described(kind, encoder, **changes))
    assert [error["msg"] for error in refused.value.errors()] == [f"Value error, {message.replace('ENCODER', encoder)}"]


@pytest.mark.parametrize(("kind", "model", "encoder"), KINDS)
def test_no_row_of_nothing(kind, model, encoder):
    with pytest.raises(ValidationError, match="greater than 0"):
        model(**described(kind, encoder, **{encoder: [0, 1]}))
