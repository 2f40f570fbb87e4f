"""Whether transforms stand where they can be applied, and fit the stage they stand in.

Comes in: the augmentation of a stage. Goes out: a refusal, where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.frozen import Frozen
from autoseg.plan.augmentation import Batchgenerators, Copies, Mirror, Spatial, Transform, ZeroOutside


def lists_of_transforms(transforms: Sequence[Transform]) -> Iterator[tuple[str, Sequence[Transform]]]:
    """The lists that are applied in order, each with its path within the stage: the plan's own, and those of copies.

    >>> from autoseg.plan.augmentation import Blur, Noise
    >>> ways = ((Noise(),), (Mirror(axes=(0,)), Blur()))
    >>> [path for path, _ in lists_of_transforms((Copies(count=1, ways=ways),))]
    ['augmentation', 'augmentation.0.ways.0', 'augmentation.0.ways.1']
    """
    yield "augmentation", transforms
    for place, transform in enumerate(transforms):
        if isinstance(transform, Copies):
            for number, way in enumerate(transform.ways):
                yield f"augmentation.{place}.ways.{number}", way


def check_order(transforms: Sequence[Transform], batch_size: int) -> None:
    """Refuses transforms that stand where they cannot be applied.

    Raises:
        ValueError: with the path of the list, what stands where, and the rule.
    """
    for path, one in lists_of_transforms(transforms):
        loaded, spatial = _places(one, Batchgenerators), _places(one, Spatial)
        if loaded != list(range(len(loaded))):
            raise ValueError(
                f"{path}: 'batchgenerators' stands at {loaded}; these are applied where patches are loaded, "
                "before all others, so they come first"
            )
        if spatial not in ([], [len(loaded)]):
            after = ", after those of batchgenerators" if loaded else ""
            raise ValueError(f"{path}: 'spatial' stands at {spatial}; there is one at most, and it comes first{after}")
    copies = _places(transforms, Copies)
    if copies not in ([], [0]):
        raise ValueError(f"augmentation: 'copies' stands at {copies}; there is one at most, and it comes first")
    if batch_size % (size := patches_together(transforms)):
        raise ValueError(
            f"sampling.batch_size {batch_size}: a patch and its copies are {size} patches, so the batch is a multiple "
            f"of {size}; the nearest: {max(1, round(batch_size / size)) * size}"
        )


def patches_together(transforms: Sequence[Transform]) -> int:
    """How many patches of a batch are made of one: itself and its copies."""
    return 1 + sum(transform.count for transform in transforms if isinstance(transform, Copies))


def check_places(transforms: Sequence[Transform], dimensions: int, channels: int) -> None:
    """Refuses axes and channels that there are not.

    Raises:
        ValueError: with the path of the list of axes or channels, what it holds, and what there is.
    """
    for path, one in lists_of_transforms(transforms):
        for place, transform in enumerate(one):
            if isinstance(transform, Mirror):
                check_axes(f"{path}.{place}.axes", transform.axes, dimensions)
            if isinstance(transform, ZeroOutside) and not set(transform.channels) <= set(range(channels)):
                raise ValueError(
                    f"{path}.{place}.channels {list(transform.channels)}: the image has channels 0 to {channels - 1}"
                )


def check_axes(path: str, axes: Sequence[int], dimensions: int) -> None:
    """Refuses axes that a stage does not have, or that are named twice.

    Raises:
        ValueError: with the path, what is there, and what there may be.
    """
    if not set(axes) <= set(range(dimensions)) or len(set(axes)) < len(axes):
        raise ValueError(
            f"{path} {list(axes)}: a stage of {dimensions} dimensions has axes 0 to {dimensions - 1}, and each is "
            "named once at most"
        )


def _places(transforms: Sequence[Transform], kind: type[Frozen]) -> list[int]:
    return [place for place, transform in enumerate(transforms) if isinstance(transform, kind)]
