"""What the libraries behind torch take for themselves while they convolve.

Comes in: a convolution, forward or backward. Goes out: bytes beyond its operands and results. They
are never tensors of ours, and are given back when the operation ends, but they add to the peak.

oneDNN, on a CPU, computes in layouts of its own, with channels in blocks of 16: operands are copied
into such a layout, results out of it, and in bfloat16 the threads turn samples around, too. The rules
below were fitted to the allocator's events in 120 random convolutions (1 to 64 channels, kernels of 1,
2 and 3, strides of 1 and 2, 2-D and 3-D, float32 and bfloat16). On one thread the events agree with
them within 10 % or a megabyte, or lie below them, but for kernels of 1 over a single sample in
bfloat16; on 2 and 4 threads within 40 %, or below. Processors that multiply bfloat16 in tiles (AMX)
take other ways: what differs there was fitted to 9 convolutions on 1 and 2 threads. cuDNN, on a GPU,
likewise copies into channels-last layouts for its tensor cores. What it takes depends on the algorithm
it chooses; here all copies are counted, which is not measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK = 16  # channels that lie together in the libraries' layouts
UNFOLDED_ELEMENTS = 20480  # channels × z × y of a single volume up to which torch does not call oneDNN
ONE_THREAD_BATCH = 16  # from which it calls it for kernels of 1 even on one thread
FLOAT = 4  # bytes of a float32


class _Call(NamedTuple):
    """A convolution: what it maps to what; `images` has the resolution that is convolved, `features` what comes out."""

    images: Tensor
    weights: Tensor
    features: Tensor
    stride: Sequence[int]
    transposed: bool
    backward: bool


def convolution_bytes(operation: Any, arguments: Sequence[Any], made: Any, device: str) -> int:
    """Bytes that an operation takes on top of its operands and results, at its peak; 0 if it is no convolution.

    Args:
        operation: of torch's dispatcher.
        arguments: it was called with.
        made: what it returned.
        device: kind of device that is planned for: "cpu", or one of the GPUs.
    """
    if operation is torch.ops.aten.convolution.default:
        images, weights, _, stride, _, _, transposed = arguments[:7]
        call = _Call(images, weights, made, stride, transposed, backward=False)
    elif operation is torch.ops.aten.convolution_backward.default:
        gradient, images, weights, _, stride, _, _, transposed = arguments[:8]
        call = _Call(images, weights, gradient, stride, transposed, backward=True)
    else:
        return 0
    if device != "cpu":
        return _blocked(call.images) + _blocked(call.features) + call.weights.nbytes
    if _is_torchs_own(call):
        return _own_bytes(call)
    return _backward_bytes(call) if call.backward else _forward_bytes(call)


def _forward_bytes(call: _Call) -> int:
    """By oneDNN: what comes in is copied, and given up before what comes out is."""
    before, after = _blocked(call.images), _blocked(call.features)
    if call.transposed:
        return 2 * call.features.nbytes
    if _size(call) == 1 and _scratch(call) and not _in_tiles(call):
        return max(before + after, max(before, after) + torch.get_num_threads() * _scratch(call))
    read = before if call.images.shape[1] >= BLOCK else 0  # few channels are read as they are
    written = 2 * after if _in_tiles(call) else after
    return max(read + call.weights.nbytes + after - call.features.nbytes, written)


def _backward_bytes(call: _Call) -> int:
    """By oneDNN: copies of both sides, for the gradient of the images and then for that of the weights."""
    before, after = _blocked(call.images), _blocked(call.features)
    threads = torch.get_num_threads()
    if _size(call) == 1:
        return max(before + after, (before + after) // 2 + threads * _scratch(call))
    if not call.transposed and call.images.shape[1] < BLOCK:
        before -= call.images.nbytes  # the gradient itself is not there yet when its copy is
    strided = 2 * call.images.nbytes if not call.transposed and max(call.stride) > 1 else 0
    return int(max(before + after + _at_once(call) * _scratch(call), strided) + call.weights.nbytes)


def _at_once(call: _Call) -> float:
    """Samples that threads turn around at the same time for the gradient of the weights."""
    threads = torch.get_num_threads()
    if _in_tiles(call):
        return threads * (1.55 if call.images.dim() == 5 else 0.75)
    return 1 << math.ceil(math.log2(threads) / 2)  # they share a sample along its channels, too


def _in_tiles(call: _Call) -> bool:
    """Whether the processor has tiles to multiply these numbers in."""
    return call.weights.dtype == torch.bfloat16 and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()


def _scratch(call: _Call) -> int:
    """Both sides of one sample, which oneDNN turns around in types of half the precision; nothing in float32."""
    if call.weights.dtype == torch.float32:
        return 0
    return (_blocked(call.images) + _blocked(call.features)) // len(call.images)


def _is_torchs_own(call: _Call) -> bool:
    """Whether torch convolves by matrix products rather than by oneDNN, as it does in float32 with small things."""
    images = call.images
    if call.transposed or images.dtype != torch.float32:
        return False
    if _size(call) == 1:
        return max(call.stride) == 1 and len(images) < ONE_THREAD_BATCH and torch.get_num_threads() == 1
    return len(images) == 1 and images.dim() == 5 and images.shape[:4].numel() <= UNFOLDED_ELEMENTS


def _own_bytes(call: _Call) -> int:
    """By torch itself: the images unfolded, every kernel's window written out; a kernel of 1 needs none of that."""
    if _size(call) > 1:
        return math.prod(call.features.shape[2:]) * call.weights[0].numel() * FLOAT
    return call.images.nbytes if call.backward and call.images.dim() == 5 else 0


def _size(call: _Call) -> int:
    """Voxels of the kernel."""
    return math.prod(call.weights.shape[2:])


def _blocked(tensor: Tensor) -> int:
    """Bytes of a tensor whose channels are filled up to whole blocks."""
    channels = tensor.shape[1]
    return tensor.nbytes // channels * (-(-channels // BLOCK) * BLOCK)
