"""Which cases train and which validate, in each fold of the cross-validation.

Comes in: a dataset. Goes out: one `Fold` a model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autoseg.dataset.dataset import Dataset
from autoseg.errors import DatasetError

ONE_CASE = "there is one training case: a model that learns from it cannot be validated"
ONE_CASE_REMEDY = "Add cases with label maps, or train without validation (--folds all; autoseg train … --fold all)."


class Fold(NamedTuple):
    """One way of parting the training cases; names in order.

    Attributes:
        training: names of the cases a model learns from.
        validation: names of the cases it is scored on.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]


def make_folds(dataset: Dataset, folds: int = 5, seed: int = 12345) -> tuple[Fold, ...]:
    """The dataset's own splits where it brings them, else those nnU-Net makes.

    Shuffled positions are dealt out in consecutive runs, the first `cases % folds` of them one
    longer, as scikit-learn's `KFold(folds, shuffle=True, random_state=seed)` does; so models are
    scored on the same cases as nnU-Net's. With fewer cases than folds each case is a fold; the one fold
    of a single case has nothing to train on.

    Raises:
        DatasetError: no cases.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    if dataset.splits is not None:
        return tuple(Fold(training, validation) for training, validation in dataset.splits)
    names = np.array(sorted(case.name for case in dataset.cases), dtype=object)
    if len(names) == 0:
        raise DatasetError(f"{dataset.path}: no training cases; cross-validation takes two. Add cases with label maps.")
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)
    held_out = [np.isin(np.arange(len(names)), run) for run in np.array_split(order, min(folds, len(names)))]
    return tuple(Fold(tuple(names[~validation]), tuple(names[validation])) for validation in held_out)
