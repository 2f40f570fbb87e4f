"""Which samples of a batch show the same patch, and how each of them is varied.

Comes in: the plan's augmentation, which may begin with `Copies`. Goes out: the transforms of one sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.plan.augmentation import Copies, Transform


def samples_a_patch(transforms: Sequence[Transform]) -> int:
    """How many samples of a batch, one after the other, show the same patch: it and its copies."""
    first = transforms[0] if transforms else None
    return 1 + first.count if isinstance(first, Copies) else 1


def draw_way(transforms: Sequence[Transform], member: int, generator: np.random.Generator) -> int | None:
    """Which of the ways a copy is varied in; None for the patch itself, whose `member` is 0.

    With generators that are alike the copies of a patch are varied in different ways.
    """
    if member == 0:
        return None
    copies = transforms[0]
    assert isinstance(copies, Copies)
    return int(generator.permutation(len(copies.ways))[member - 1])


def transforms_of(transforms: Sequence[Transform], way: int | None) -> Sequence[Transform]:
    """The transforms of one sample: `Copies` stands for the way its copy is varied in.

    >>> from autoseg.plan.augmentation import Blur, Mirror, Noise
    >>> transforms = (Copies(count=1, ways=((Noise(),), (Blur(), Noise()))), Mirror(axes=(0,)))
    >>> [one.kind for one in transforms_of(transforms, 1)], [one.kind for one in transforms_of(transforms, None)]
    (['blur', 'noise', 'mirror'], ['mirror'])
    """
    if not transforms or not isinstance(transforms[0], Copies):
        return transforms
    return (*(() if way is None else transforms[0].ways[way]), *transforms[1:])
