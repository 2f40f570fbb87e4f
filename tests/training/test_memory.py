"""Predicted memory against sums by hand, and against what torch's allocator handed out."""

from __future__ import annotations

import json
import math
import time

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.dataset import Description, Labels
from autoseg.inference.memory import inference_bytes
from autoseg.inference.sliding_window import predict_rows
from autoseg.networks import build_network, count_parameters
from autoseg.networks.devices import prediction_format
from autoseg.networks.fake import GPURules
from autoseg.plan.training import Average
from autoseg.training.augmentation import Batch
from autoseg.training.memory import training_bytes
from autoseg.training.step import make_learner, take_step

CLASSES = Description(name="balls", channels=("MR",), labels=Labels(values={"background": 0, "ball": 1, "box": 2}))
REGIONS = Description(
    name="balls",
    channels=("T1", "T2"),
    labels=Labels.model_validate(
        {
            "values": {"background": 0, "ball": 1, "box": 2},
            "regions": {"both": {"values": [1, 2], "paint": 1}, "box": {"values": [2], "paint": 2}},
        }
    ),
)


def network(dimensions, features, kind="plain_unet", counts=None, **changes):
    stages = len(features)
    encoder = "encoder_blocks" if kind == "residual_encoder_unet" else "encoder_convolutions"
    return {
        "kind": kind,
        "features": features,
        "kernels": [[3] * dimensions] * stages,
        "strides": [[1] * dimensions, *[[2] * dimensions] * (stages - 1)],
        encoder: counts or [2] * stages,
        "decoder_convolutions": [2] * (stages - 1),
    } | changes


def stage_of(make_stage, patch, features, batch, kind="plain_unet", counts=None, **changes):
    """A stage of the tests' conftest with another network."""
    parts = {
        "sampling": {"patch_size": list(patch), "batch_size": batch},
        "augmentation": [],
        **changes,
    }
    stage = make_stage(len(patch))
    data = stage.model_dump(mode="json") | {"network": network(len(patch), features, kind, counts)}
    for part, change in parts.items():
        data[part] = data[part] | change if isinstance(change, dict) and "kind" not in change else change
    return type(stage).model_validate(data)


def allocated(call, tmp_path):
    """Most bytes that torch's CPU allocator had handed out while a call ran, by the profiler's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    live = peak = 0
    for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
        live += event["args"]["Bytes"]
        peak = max(peak, live)
    return peak


def train(stage, dataset, cpu, steps=3):
    learner = make_learner(stage, len(dataset.channels), dataset.labels, cpu)
    size, patch = stage.sampling.batch_size, stage.sampling.patch_size
    classes = torch.randint(0, 3, (size, *patch), dtype=torch.int16)
    batch = Batch(torch.randn(size, len(dataset.channels), *patch), classes)
    for _ in range(steps):
        take_step(learner, batch, 1e-4)


UNITED = {"kind": "dice", "ratio": "generalised", "over": ["background", ["ball", "box"]]}


# --- a network of large weights that sees next to nothing: its memory can be added up by hand


@pytest.fixture
def heavy(make_stage):
    """Weights of 1.5 MB for patches of 8 × 8; the largest weight has 192 × 96 × 3 × 3 numbers."""

    def make(**changes):
        features = [96, 96]
        return stage_of(make_stage, (8, 8), features, 1, counts=[1, 1], **changes)

    return make


def parameters(stage):
    return count_parameters(build_network(stage.network, 1, 3))


def batch_bytes(stage):
    return stage.sampling.batch_size * math.prod(stage.sampling.patch_size) * (4 + 2)  # float32 images, int16 classes


LARGEST = 4 * 192 * 96 * 9


PLAIN = {"kind": "sgd", "momentum": 0.0, "weight_decay": 3e-5}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_weights_and_gradients_by_hand(heavy, device):
    """Nothing is new while a fused optimiser steps, so the peak is in the backward pass, at the largest weight."""
    stage = heavy(optimizer=PLAIN)
    expected = 4 * 2 * parameters(stage) + batch_bytes(stage)
    assert expected <= training_bytes(stage, CLASSES, device) <= expected + LARGEST


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("changes", "copies"),
    [
        ({"optimizer": {"kind": "sgd", "momentum": 0.99}}, 1),  # momentum
        ({"optimizer": {"kind": "adam"}}, 2),  # two moments
        ({"optimizer": {"kind": "adamw"}}, 2),
        ({"optimizer": PLAIN, "average": Average()}, 1),
    ],
)
def test_what_is_remembered_from_step_to_step(heavy, device, changes, copies):
    stage = heavy(**changes)
    more = training_bytes(stage, CLASSES, device) - training_bytes(heavy(optimizer=PLAIN), CLASSES, device)
    assert more == pytest.approx(4 * copies * parameters(stage), rel=0.001)


# --- what is kept for the backward pass


def per_patch(stage, device):
    """Bytes of one more patch in a large batch."""
    sizes = [stage.sampling.model_copy(update={"batch_size": size}) for size in (20, 21)]
    few, more = (training_bytes(stage.model_copy(update={"sampling": size}), CLASSES, device) for size in sizes)
    return more - few


def test_half_the_precision_keeps_half(make_stage):
    """Of what grows with the batch; the loss and the images stay in float32."""
    kept = {}
    for precision in ("float32", "bfloat16", "float16"):
        stage = stage_of(make_stage, (32, 32, 32), [16, 32, 64], 2, training={"precision": precision})
        kept[precision] = per_patch(stage, "cuda")
    assert 0.5 < kept["bfloat16"] / kept["float32"] < 0.58
    assert kept["float16"] == kept["bfloat16"]


def test_activations_by_hand(make_stage):
    """Of one resolution that all but decides: a convolution keeps its input and a norm its own, in float32."""
    stage = stage_of(make_stage, (64, 64), [32, 32], 2, counts=[4, 1])
    blocks = (
        4 + 2
    )  # of encoder and decoder at full resolution, each of a convolution, a norm and an activation in place
    kept = blocks * 2 * 32 + 32 + 64  # the transposed convolution's result is copied into 64 joined channels
    below = 2 * 32 / 4
    per_voxel = per_patch(stage, "cpu") / 64**2
    in_passing = 3 * 32  # gradients, at the activation that comes first in the backward pass
    outputs = 12 * 3  # logits, probabilities, targets and their gradients: a few of 3 channels each
    assert 4 * (kept + below) < per_voxel < 4 * (kept + below + in_passing + outputs)


@pytest.mark.parametrize(
    ("patch", "features", "batch", "kind", "changes", "dataset"),
    [
        ((16, 32, 32), [8, 16, 32], 2, "plain_unet", {}, CLASSES),
        ((64, 64), [16, 32, 64], 9, "plain_unet", {"training": {"precision": "bfloat16"}}, CLASSES),
        ((32, 32, 32), [16, 16, 32], 1, "residual_encoder_unet", {}, CLASSES),
        ((32, 32, 32), [16, 16, 32], 4, "residual_encoder_unet", {"training": {"precision": "bfloat16"}}, CLASSES),
        ((16, 16), [64, 128, 256], 1, "plain_unet", {"optimizer": {"kind": "adamw"}}, CLASSES),
        ((48, 64), [16, 32], 3, "plain_unet", {"loss": [{"kind": "binary_cross_entropy"}, {"kind": "dice"}]}, REGIONS),
        ((32, 32, 32), [8, 16], 2, "plain_unet", {"loss": [{"kind": "focal"}, {"kind": "surface_dice"}]}, CLASSES),
        ((32, 32, 32), [8, 16], 2, "plain_unet", {"loss": [{"kind": "tversky"}, {"kind": "boundary"}]}, CLASSES),
        ((48, 64), [8, 16], 3, "plain_unet", {"loss": [{"kind": "top_k_cross_entropy"}, UNITED]}, CLASSES),
    ],
)
def test_against_the_allocator(make_stage, cpu, tmp_path, patch, features, batch, kind, changes, dataset):
    stage = stage_of(make_stage, patch, features, batch, kind, **changes)
    if dataset is REGIONS:
        normalisation = [{"kind": "zscore"}] * 2
        data = stage.model_dump(mode="json")
        data["preprocessing"]["normalisation"] = normalisation
        stage = type(stage).model_validate(data)
    measured = allocated(lambda: train(stage, dataset, cpu), tmp_path)
    assert training_bytes(stage, dataset, cpu) == pytest.approx(measured, rel=0.05)


OF_3D = {"kernels": [[3] * 3] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3]}
ROWS = {"encoder_blocks": [2, 2, 2], "decoder_blocks": [1, 1]}
PARTS = {
    "residual, with gates": {"decoder_block": "residual", "attention_gates": True, "deep_supervision": True},
    "pre-activation": {"encoder_block": "pre_activation", "decoder_block": "pre_activation"},
    "batch norm, pooling": {
        "encoder_block": "plain",
        "norm": {"kind": "batch"},
        "dropout": 0.2,
        "downsampling": "max_pool",
        "upsampling": "interpolated",
        "squeeze_excitation": 4,
    },
}
OTHERS = {
    name: {"kind": "block_unet", "features": [8, 16, 32]} | OF_3D | ROWS | part for name, part in PARTS.items()
} | {
    "V-Net": {
        "kind": "v_net",
        "features": [8, 16, 32],
        "encoder_convolutions": [1, 2, 2],
        "decoder_convolutions": [1, 2],
    }
    | OF_3D,
    "DenseNet": {"kind": "dense_v_net", "blocks": [2, 2, 2, 2], "growth": 8, "decoder_features": [32, 32, 16, 16, 8]},
    "SE-ResNeXt": {"kind": "se_resnext_v_net", "blocks": [1, 1, 1, 1], "groups": 8, "decoder_features": [32] * 5},
}


def with_network(stage, described):
    return type(stage).model_validate(stage.model_dump(mode="json") | {"network": described})


@pytest.mark.parametrize("described", OTHERS.values(), ids=OTHERS)
def test_other_networks_against_the_allocator(make_stage, cpu, tmp_path, described):
    """In training, and in prediction, where batch norm is another operation and statistics are read.

    Predictions of so small volumes are planned as if torch unfolded them, which it does not with channels last.
    """
    stage = with_network(stage_of(make_stage, (64, 64, 64), [8, 8], 2, inference={"overlap": 0.0}), described)
    measured = allocated(lambda: train(stage, CLASSES, cpu, steps=2), tmp_path)
    # of convolutions in groups, more is expected than oneDNN's threads take
    assert 0.9 < training_bytes(stage, CLASSES, cpu) / measured < 1.15
    assert 0.9 < inference_bytes(stage, CLASSES, (64, 64, 64), cpu) / predicting_bytes(stage, cpu, tmp_path) < 1.8


def predicting_bytes(stage, cpu, tmp_path):
    def predict():
        model = build_network(stage.network, 1, 3).to(memory_format=prediction_format(cpu, 3)).eval()
        list(predict_rows([model], torch.randn(1, 64, 64, 64), stage, CLASSES.labels, cpu))

    return allocated(predict, tmp_path)


def test_nothing_is_allocated(make_stage):
    """500 GB and more, on any machine, in seconds."""
    started = time.monotonic()
    stage = stage_of(make_stage, (512, 512, 512), [32, 64, 128, 256, 320], 4, counts=[2] * 5)
    assert training_bytes(stage, CLASSES, "cpu") > 5e11
    assert time.monotonic() - started < 60


def test_the_random_state_is_left_alone(make_stage):
    before = torch.get_rng_state()
    training_bytes(make_stage(), CLASSES, "cpu")
    inference_bytes(make_stage(), CLASSES, (20, 30, 30), "cpu")
    assert torch.equal(torch.get_rng_state(), before)


# --- a GPU that is not here


class Types(TorchDispatchMode):
    """What each operation returns."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        made = operation(*arguments, **(options or {}))
        first = made[0] if isinstance(made, tuple) else made
        if isinstance(first, torch.Tensor):
            self.seen.append((str(operation), first.dtype, tuple(first.shape)))
        return made


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["plain_unet", "residual_encoder_unet", *sorted(OTHERS.keys() - {"V-Net"})])
def test_autocast_computes_alike_on_a_cpu_and_on_a_gpu(make_stage, kind, dtype):
    """So that a fake CPU may stand for a GPU: the same operations, in the same types."""
    if kind in OTHERS:
        # No kernel stands for the PReLU of a V-Net, or the training of batch norm, on a GPU that is not there.
        stage = with_network(stage_of(make_stage, (64, 64, 64), [8, 8], 2), OTHERS[kind])
    else:
        stage = stage_of(make_stage, (16, 16, 16), [4, 8, 8], 2, kind)
    seen = {}
    for device in ("cpu", "cuda"):
        with torch.device("meta"):
            built = build_network(stage.network, 1, 3).train(kind not in OTHERS)
        with FakeTensorMode(), torch.no_grad(), Types() as types, GPURules():
            for module in built.modules():
                for name, weights in list(module.named_parameters(recurse=False)):
                    setattr(module, name, torch.nn.Parameter(torch.empty(weights.shape, device=device), False))
                for name, statistics in list(module.named_buffers(recurse=False)):
                    setattr(module, name, torch.empty(statistics.shape, dtype=statistics.dtype, device=device))
            images = torch.empty(2, 1, *stage.sampling.patch_size, device=device)
            types.seen.clear()
            before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
            try:  # `torch.autocast` refuses a GPU that is not there
                torch.set_autocast_enabled(device, True)
                torch.set_autocast_dtype(device, dtype)
                built(images)
            finally:
                torch.set_autocast_enabled(device, before[0])
                torch.set_autocast_dtype(device, before[1])
                torch.clear_autocast_cache()
        seen[device] = list(types.seen)
    assert (dtype in {found for _, found, _ in seen["cpu"]}) and seen["cpu"] == seen["cuda"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_is_planned_for_without_one(make_stage, precision):
    stage = stage_of(make_stage, (32, 32, 32), [16, 32], 2, training={"precision": precision})
    in_float32 = stage_of(make_stage, (32, 32, 32), [16, 32], 2, training={"precision": "float32"})
    share = training_bytes(stage, CLASSES, "cuda") / training_bytes(in_float32, CLASSES, "cuda")
    assert share == pytest.approx(1.0 if precision == "float32" else 0.52, abs=0.04)
    assert 1 < training_bytes(in_float32, CLASSES, "cuda") / training_bytes(in_float32, CLASSES, "cpu") < 1.2
    assert training_bytes(stage, CLASSES, "cuda:3") == training_bytes(stage, CLASSES, torch.device("cuda"))


def test_a_previous_stage_brings_channels(make_stage):
    """One a label but the background: two more channels of images in float32."""
    alone = stage_of(make_stage, (32, 32), [4, 8], 2)
    after = alone.model_copy(update={"previous": make_previous(alone)})
    more = training_bytes(after, CLASSES, "cpu") - training_bytes(alone, CLASSES, "cpu")
    assert more >= 2 * 4 * 2 * 32 * 32


def make_previous(stage):
    field = type(stage).model_fields["previous"].annotation.__args__[0]
    return field(stage="low")


# --- inference


@pytest.mark.parametrize(
    ("dimensions", "patch", "features", "shape", "precision"),
    [
        (3, (16, 32, 32), [16, 32], (40, 50, 60), "float32"),
        (3, (32, 32, 32), [16, 32, 64], (20, 50, 60), "bfloat16"),
        (2, (64, 64), [16, 32, 64], (40, 64, 64), "float32"),
        (2, (64, 64), [32, 64], (3, 60, 90), "bfloat16"),
        (3, (16, 32, 32), [4, 8], (64, 96, 96), "float32"),  # the image outweighs the window
    ],
)
def test_inference_against_the_allocator(make_stage, cpu, tmp_path, dimensions, patch, features, shape, precision):
    inference = {"mirror_axes": [dimensions - 1], "overlap": 0.0}
    stage = stage_of(make_stage, patch, features, 2, training={"precision": precision}, inference=inference)

    def predict():
        model = build_network(stage.network, 1, 3).to(memory_format=prediction_format(cpu, dimensions)).eval()
        rows = [len(rows[0]) for rows in predict_rows([model], torch.randn(1, *shape), stage, CLASSES.labels, cpu)]
        assert sum(rows) == shape[0]

    measured = allocated(predict, tmp_path)
    assert 0.95 < inference_bytes(stage, CLASSES, shape, cpu) / measured < 1.1  # channels last, oneDNN copies less


def test_of_the_image_only_what_windows_overlap_in_is_summed(make_stage):
    """Windows of 8 rows, half of which overlap: sums of 3 outputs and their weights, 4 bytes each."""
    stage = stage_of(make_stage, (8, 16, 16), [4, 8], 2)
    short, long, wide = (
        inference_bytes(stage, CLASSES, shape, "cuda") for shape in ((50, 200, 200), (100, 200, 200), (50, 200, 300))
    )
    assert long == short
    assert wide - short == 4 * (3 + 1) * 8 * 200 * 100


@pytest.mark.parametrize(("device", "bytes_a_voxel"), [("cpu", 4), ("cuda", 0)])
def test_on_a_gpu_the_image_itself_is_elsewhere(make_stage, device, bytes_a_voxel):
    stage = stage_of(make_stage, (8, 16, 16), [4, 8], 2)
    short, long = (inference_bytes(stage, CLASSES, (rows, 200, 200), device) for rows in (100, 200))
    assert long - short == bytes_a_voxel * 100 * 200 * 200
