"""Bytes in use, added up operation by operation.

Comes in: whatever torch does while the mode is on, with real tensors or fake ones. Goes out: how
many bytes are in use, and the most that were, tensors and what libraries took beside them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.networks.convolution_bytes import convolution_bytes


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make, for as long as they live.

    Views and in-place operations bring no storage of their own.

    Args:
        device: kind of device whose libraries are counted, "cpu" or "cuda"; the tensors may lie elsewhere.

    Attributes:
        live: bytes that tensors hold now.
        peak: most bytes in use so far, with an operation's workspace while it ran; may be set.

    >>> with LiveBytes("cpu") as tracker:
    ...     ones = torch.ones(250)
    ...     twos = (ones + ones).view(10, 25)
    ...     del ones
    >>> tracker.live, tracker.peak
    (1000, 2000)
    """

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.live = 0
        self.peak = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Sequence[Any] = (), options: dict[str, Any] | None = None
    ) -> Any:
        if operation is torch.ops.prim.device.default and isinstance(arguments[0], FakeTensor):
            return arguments[0].fake_device  # asked more often than all operations together
        made = operation(*arguments, **(options or {}))
        self.hold(made if isinstance(made, tuple | list) else (made,))
        self.peak = max(self.peak, self.live + convolution_bytes(operation, arguments, made, self.device))
        return made

    def hold(self, tensors: Iterable[Any]) -> None:
        """Counts tensors that may have been there before; what is no tensor is passed over."""
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()  # torch hands out one object a storage while there is a reference
        if key in self._storages:
            return
        self._storages[key] = weakref.ref(storage, lambda _: self._release(key, size))
        self.live += size

    def _release(self, key: int, size: int) -> None:
        del self._storages[key]
        self.live -= size
