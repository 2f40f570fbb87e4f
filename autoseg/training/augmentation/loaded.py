"""Transforms of the package batchgenerators, applied to one sample in the process that loaded it.

Comes in: an image and its labels, the plan's transforms, a generator. Goes out: both, varied.
batchgenerators draws from the random numbers that all of a process share, NumPy's and Python's. They are
seeded from the sample's generator and afterwards put back, so a sample depends on that generator alone.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import TrainingError
from autoseg.phrases import by
from autoseg.plan.augmentation import Batchgenerators
from autoseg.plan.batchgenerators_table import made_transform


def vary_loaded(
    image: NDArray[np.float32],
    labels: NDArray[np.int16],
    transforms: Sequence[Batchgenerators],
    generator: np.random.Generator,
    previous: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Applies transforms of batchgenerators in their order.

    Args:
        image: (channels, *source); may be worked in.
        labels: class indices (*source); may be worked in.
        transforms: from the plan.
        generator: decides every draw.
        previous: how many of the last channels are labels, one-hot; they are treated as labels are.

    Raises:
        TrainingError: a transform failed on the arrays, or changed their shape.
    """
    visible = len(image) - previous
    data = image[None, :visible]
    maps = np.concatenate((labels[None], image[visible:].astype(labels.dtype)))[None]
    with _seeded(generator), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # batchgenerators' own
        for transform in transforms:
            before = data.shape
            try:
                varied = made_transform(transform.name, transform.arguments)(data=data, seg=maps)
            except Exception as problem:
                raise TrainingError(_told(transform, before, f"{type(problem).__name__}: {problem}")) from problem
            data, maps = varied["data"], varied["seg"]
            if data.shape != before or maps.shape[2:] != before[2:]:
                raise TrainingError(_told(transform, before, f"it came out as {by(data.shape[2:])}"))
    whole = np.concatenate((data[0], maps[0, 1:]), dtype=np.float32)
    return whole, np.ascontiguousarray(maps[0, 0], dtype=np.int16)


@contextmanager
def _seeded(generator: np.random.Generator) -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    seed = int(generator.integers(2**32))
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def _told(transform: Batchgenerators, shape: Sequence[int], problem: str) -> str:
    return (
        f"augmentation: '{transform.name}' of batchgenerators with {transform.arguments or 'no arguments'} failed on a "
        f"patch of {by(shape[2:])} voxels ({problem}). Change its arguments in the plan, or take it out."
    )
