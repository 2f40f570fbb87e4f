"""Several processes that train one model, as torchrun starts them: `torchrun --nproc-per-node 2 -m autoseg train …`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def together(device: str | None, planned: str) -> Iterator[str | None]:
    """Inside, this process is one of those that torchrun started, if it did.

    Args:
        device: asked for; None where it was not.
        planned: kind of device that the plan was made for.

    Yields:
        The device of this process: each has a GPU of its own, or its share of the processor.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    from autoseg.networks.devices import find_device
    from autoseg.training import processes

    kind = find_device(device or planned).type
    own = f"{kind}:{os.environ['LOCAL_RANK']}" if kind == "cuda" else kind
    with processes.joined(find_device(own)):
        yield own


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"
