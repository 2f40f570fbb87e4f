"""Choices of implementation: what was chosen, timed beside what it was chosen over.

    python benchmarks/choices.py [--rounds 5] [--scale 1.0] [--only WORD]

Each row is two ways to the same result, in turns in this process, on as many threads as torch takes; the ratio is the
median over the rounds of the other's time divided by the chosen one's. Above 1 the chosen way is the faster.
--scale shrinks the arrays, to try it. Writes benchmarks/results/choices.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import edt
import numpy as np
import torch
from beside_nnunet import this_machine
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from autoseg.connected import connected_components
from autoseg.evaluation.surfaces import boundary, surface_distances
from autoseg.networks import instance_norm
from autoseg.networks.build import build_network
from autoseg.networks.devices import training_format
from autoseg.plan.augmentation import Blur, Range
from autoseg.plan.network import PlainUNet
from autoseg.training.augmentation.intensity import blur
from autoseg.training.augmentation.interpolation import interpolate
from autoseg.training.losses.distance import signed_distance

HERE = Path(__file__).resolve().parent
LAST, FIRST = torch.channels_last_3d, torch.contiguous_format
Work = Callable[[], object]


class Choice(NamedTuple):
    """Two ways: the one in the package, and the one beside it."""

    what: str
    chosen: str
    other: str
    ours: Work
    theirs: Work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the arrays, along each axis")
    parser.add_argument("--only", default="", help="a word in the names of the choices to time")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    rows = []
    for choice in choices(lambda size: max(16, 16 * round(size * arguments.scale / 16))):
        if arguments.only in choice.what:
            rows.append(compare(choice, arguments.rounds))
            print(shown(rows[-1]), flush=True)
    write_results(rows, arguments)


def choices(sized: Callable[[int], int]) -> Iterator[Choice]:
    """All of them, one after the other, so that only one's arrays are there.

    Args:
        sized: the length of an axis in this run.
    """
    yield from of_networks(sized)
    yield from of_augmentation(sized(128))
    yield from of_surfaces(sized(96))
    yield of_distance_losses(sized(48))
    for optimizer in (torch.optim.SGD, torch.optim.AdamW):
        yield of_optimizers(optimizer)


def of_networks(sized: Callable[[int], int]) -> Iterator[Choice]:
    for precision in (torch.float32, torch.bfloat16):
        for features in (16, 32):
            name = f"{features} features, {str(precision).removeprefix('torch.')}"
            size = sized(64)
            last, first = (Net(features, 3, size, precision, form) for form in (LAST, FIRST))
            yield Choice(f"predicting volumes, {name}", "channels last", "channels first", last.predict, first.predict)
            sides = {"channels last": last, "channels first": first}
            chosen = "channels last" if training_format(torch.device("cpu"), 3, features) == LAST else "channels first"
            (other,) = sides.keys() - {chosen}
            yield Choice(f"training on volumes, {name}", chosen, other, sides[chosen].train, sides[other].train)
            for what, work in (("training", sides[chosen].train), ("predicting", last.predict)):
                yield Choice(f"instance norm in {what}, {name}", "own", "torch's", work, last.with_torch(work))
        slices = [Net(32, 2, sized(256), precision, form) for form in (FIRST, torch.channels_last)]
        what = f"predicting slices, {str(precision).removeprefix('torch.')}"
        yield Choice(what, "channels first", "channels last", slices[0].predict, slices[1].predict)
    many, odd = (Net(features, 3, sized(64), torch.float32, FIRST) for features in (32, 24))
    yield Choice("features of the first level", "32", "24", many.train, odd.train)
    compiled = Net(16, 3, sized(48), torch.float32, FIRST)
    plain = compiled.train
    module = compiled.network
    yield Choice(
        "steps, after compiling", "not compiled", "compiled", plain, compiled.with_module(torch.compile(module))
    )


class Net:
    """A U-Net of four levels and what is fed to it."""

    def __init__(
        self, features: int, dimensions: int, size: int, precision: torch.dtype, form: torch.memory_format
    ) -> None:
        levels = 4
        plan = PlainUNet(
            features=tuple(features * 2**level for level in range(levels)),
            kernels=((3,) * dimensions,) * levels,
            strides=((1,) * dimensions, *((2,) * dimensions,) * (levels - 1)),
            encoder_convolutions=(2,) * levels,
            decoder_convolutions=(2,) * (levels - 1),
        )
        self.network: Any = build_network(plan, 1, 3).to(memory_format=form)  # type: ignore[call-overload]
        self.images = torch.randn(2, 1, *[size] * dimensions, generator=torch.Generator().manual_seed(0))
        self.precision = precision

    def predict(self) -> None:
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            self.network(self.images)

    def train(self, module: Any = None) -> None:
        self.network.train()
        self.network.zero_grad(set_to_none=True)
        with self._autocast():
            outputs = (self.network if module is None else module)(self.images)
        sum(output.float().square().mean() for output in outputs).backward()

    def with_module(self, module: Any) -> Work:
        return lambda: self.train(module)

    def with_torch(self, work: Work) -> Work:
        """The same work with torch's instance norm in the place of the package's."""

        def run() -> None:
            before = instance_norm.InstanceNorm.forward
            instance_norm.InstanceNorm.forward = _torch_norm  # type: ignore[method-assign, assignment]
            try:
                work()
            finally:
                instance_norm.InstanceNorm.forward = before  # type: ignore[method-assign]

        return run

    def _autocast(self) -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16)


def _torch_norm(module: instance_norm.InstanceNorm, x: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=module.weight, bias=module.bias, eps=instance_norm.EPSILON)


def of_augmentation(size: int) -> Iterator[Choice]:
    shape, random = (size,) * 3, np.random.default_rng(0)
    image = torch.from_numpy(random.standard_normal((1, *shape), dtype=np.float32))
    angle = 0.3
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    centre, labels = ((size - 1) / 2,) * 3, torch.zeros((1, *shape), dtype=torch.int16)
    theta = torch.from_numpy(np.hstack([turn[::-1, ::-1].copy(), np.zeros((3, 1))]))[None].float()

    def with_grid_sample() -> None:
        grid = functional.affine_grid(theta, [1, 1, *shape], align_corners=False)
        functional.grid_sample(image[None], grid, align_corners=False)

    ours = lambda: interpolate(image, labels, turn, centre, shape)  # noqa: E731
    yield Choice("turning a patch", "index_select, piecewise", "grid_sample", ours, with_grid_sample)
    sigma = 1.0
    transform = Blur(probability=1, channel_probability=1, sigma=Range(low=sigma, high=sigma))
    weights = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma) ** 2)
    weights /= weights.sum()

    def with_convolutions() -> None:
        values = image[None]
        for axis in range(3):
            kernel = weights.view([1, 1, *(7 if other == axis else 1 for other in range(3))])
            values = functional.conv3d(values, kernel, padding=[3 * (other == axis) for other in range(3)])

    changed = image.clone()
    yield Choice("blur", "matrices", "convolutions", lambda: blur(changed, transform, random), with_convolutions)
    positive = torch.rand_like(image)
    yield Choice(
        "a power",
        "log and exp",
        "pow",
        lambda: positive.clone().log_().mul_(1.3).exp_(),
        lambda: positive.clone().pow_(1.3),
    )


def of_surfaces(size: int) -> Iterator[Choice]:
    noise = np.random.default_rng(0).random((size,) * 3) < 0.3
    reach = np.abs(np.indices(noise.shape) - size / 2).max(axis=0)
    organ, core = reach < 0.45 * size, reach < 0.1 * size
    spacing = (1.0, 1.0, 1.0)
    for what, one, two in (("noise in an organ", noise, organ), ("an organ inside another", core, organ)):
        ours, theirs = partial(surface_distances, one, two, spacing), partial(with_tree, one, two)
        yield Choice(f"surface distances, {what}", "distance transform", "k-d tree", ours, theirs)
    yield Choice(
        "connected components",
        "cc3d",
        "SciPy",
        lambda: connected_components(noise),
        lambda: ndi.label(noise, np.ones((3, 3, 3))),
    )
    yield Choice(
        "distance transform", "edt", "SciPy", lambda: edt.edt(organ), lambda: ndi.distance_transform_edt(organ)
    )


def with_tree(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> None:
    """Distances both ways, by a k-d tree over each surface."""
    points = [np.argwhere(boundary(mask)) for mask in (one, two)]
    for source, target in (points, points[::-1]):
        cKDTree(target).query(source)


def of_distance_losses(size: int) -> Choice:
    ball = np.square(np.indices((size,) * 3) - size / 2).sum(axis=0) < (size / 3) ** 2
    inside = torch.from_numpy(ball).expand(2, 2, *ball.shape).contiguous()

    def with_edt() -> None:
        for mask in inside.flatten(0, 1).numpy():
            edt.edt(mask)
            edt.edt(~mask)

    return Choice(
        f"signed distances, 2 patches of {size}³, 2 labels",
        "shifted copies",
        "edt",
        lambda: signed_distance(inside, ~inside),
        with_edt,
    )


def of_optimizers(kind: Any) -> Choice:
    networks = [Net(16, 3, 16, torch.float32, FIRST).network for _ in range(2)]
    for network in networks:
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
    fused, single = (
        kind(network.parameters(), lr=1e-6, fused=whole, foreach=False)
        for network, whole in zip(networks, (True, False), strict=True)
    )
    return Choice(f"a step of {kind.__name__}", "fused", "tensor by tensor", fused.step, single.step)


def compare(choice: Choice, rounds: int) -> dict[str, Any]:
    """Seconds of both ways in turns, after one turn that warms up."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(1 + rounds):
        for side, work in (("ours", choice.ours), ("theirs", choice.theirs)):
            started = time.perf_counter()
            work()
            times[side].append(time.perf_counter() - started)
    ours, theirs = (found[1:] for found in times.values())
    ratio = statistics.median(there / here for here, there in zip(ours, theirs, strict=True))
    return {
        **{"what": choice.what, "chosen": choice.chosen, "other": choice.other, "ratio": ratio},
        "chosen_seconds": statistics.median(ours),
        "other_seconds": statistics.median(theirs),
    }


def shown(row: dict[str, Any]) -> str:
    ours, theirs = (f"{1e3 * row[name]:.1f}" for name in ("chosen_seconds", "other_seconds"))
    return f"| {row['what']} | {row['chosen']} | {ours} | {row['other']} | {theirs} | {row['ratio']:.2f} |"


def write_results(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """A table and the numbers behind it."""
    lines = [
        "# Choices of implementation",
        "",
        f"Machine: {this_machine()}. {arguments.rounds} rounds in turns, medians. {arguments.note}".strip(),
        "",
        "    python benchmarks/choices.py",
        "",
        "| | chosen | ms | other | ms | other / chosen |",
        "|---|---|---|---|---|---|",
        *map(shown, rows),
    ]
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "choices.md").write_text("\n".join(lines) + "\n")
    measured = {"machine": this_machine(), "note": arguments.note, "scale": arguments.scale, "choices": rows}
    (arguments.output / "choices.json").write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
