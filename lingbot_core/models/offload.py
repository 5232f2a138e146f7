# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Matrices of the network's blocks that wait in host memory, and are on the device while their layer runs.

Each kind of work (:data:`Part`) goes through the layers in order and needs only some of a block's matrices. So each has
two buffers on the device, one for even layers and one for odd ones: while a layer is computed, the next one's
matrices arrive in the other. Results are the same bits as without.
"""

from __future__ import annotations

import logging
import mmap
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lingbot_core.streams import side_stream

_log = logging.getLogger(__name__)

Part = Literal["text", "camera", "pass"]
"""What is computed of a block: the text's keys and values, the cameras' modulation, or the rest, in every pass."""

_MATRICES: dict[Part, tuple[str, ...]] = {
    "text": ("cross_attn.kv",),
    "camera": ("cam_injector_layer1", "cam_injector_layer2", "cam_scale_shift_layer"),
    "pass": ("self_attn.qkv", "self_attn.o", "cross_attn.q", "cross_attn.o", "ffn.0", "ffn.2"),
}
"""Linear layers of a block whose weights wait, by the part that needs them. Biases and scales are small, and stay."""

NUM_BUFFERS = 2
"""Layers whose matrices are on the device."""

_ALIGNMENT = 256
"""Bytes that matrices in a buffer begin at multiples of."""


@dataclass(frozen=True)
class _Place:
    """Where one matrix of a part is in the buffers of all layers."""

    linear: str
    offset: int
    shape: torch.Size
    dtype: torch.dtype

    def view(self, buffer: Tensor) -> Tensor:
        """The matrix in a buffer of bytes."""
        num_bytes = self.shape.numel() * self.dtype.itemsize
        return buffer[self.offset : self.offset + num_bytes].view(self.dtype).view(self.shape)


class _Lane:
    """Buffers of one part."""

    def __init__(self, block: nn.Module, part: Part) -> None:
        self.places: list[_Place] = []
        self.num_bytes = 0
        for linear in _MATRICES[part]:
            weight = block.get_submodule(linear).weight
            assert isinstance(weight, Tensor)
            self.places.append(_Place(linear, self.num_bytes, weight.shape, weight.dtype))
            self.num_bytes += -(-weight.nbytes // _ALIGNMENT) * _ALIGNMENT
        self.host: list[Tensor] = []
        """Bytes of each layer."""

        self.buffers: list[Tensor] = []
        self.filled: list[torch.cuda.Event] = []
        self.layers: list[int | None] = [None] * NUM_BUFFERS
        """The layer that each buffer holds."""


class OffloadedWeights:
    """The matrices of all blocks.

    Phases: construct with blocks on ``meta``; give the blocks the memory of :meth:`host_memory` and fill it;
    :meth:`attach`; then :meth:`use` before each layer's work.

    Args:
        blocks: The network's blocks, all alike.
        device: Where they will run.
    """

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device) -> None:
        self._blocks, self._device = blocks, device
        self._lanes: dict[Part, _Lane] = {part: _Lane(blocks[0], part) for part in _MATRICES}
        self._stream: torch.cuda.Stream | None = None

    @property
    def num_host_bytes(self) -> int:
        """Host memory taken."""
        return sum(lane.num_bytes for lane in self._lanes.values()) * len(self._blocks)

    def host_memory(self) -> dict[int, Tensor]:
        """Uninitialised host memory for each matrix, by the ``id`` of the blocks' parameter."""
        memory: dict[int, Tensor] = {}
        for lane in self._lanes.values():
            lane.host = [_host_bytes(lane.num_bytes) for _ in self._blocks]
            for block, buffer in zip(self._blocks, lane.host, strict=True):
                memory |= {id(block.get_submodule(place.linear).weight): place.view(buffer) for place in lane.places}
        return memory

    def attach(self) -> None:
        """Have the blocks compute with the buffers on the device; to be called once, when all matrices are filled."""
        is_cuda = self._device.type == "cuda"
        for lane in self._lanes.values():
            lane.buffers = [
                torch.empty(lane.num_bytes, dtype=torch.uint8, device=self._device) for _ in range(NUM_BUFFERS)
            ]
            for layer, block in enumerate(self._blocks):
                for place in lane.places:
                    matrix = place.view(lane.buffers[layer % NUM_BUFFERS])
                    block.get_submodule(place.linear).weight = nn.Parameter(matrix, requires_grad=False)
            if is_cuda:
                lane.filled = [torch.cuda.Event() for _ in range(NUM_BUFFERS)]
        if is_cuda:
            self._stream = side_stream(self._device, "offload")
            buffers = [buffer for lane in self._lanes.values() for buffer in lane.host]
            weakref.finalize(self, _unpin, _pin(buffers))

    def use(self, part: Part, layer: int) -> None:
        """Have a layer's matrices of a part in place for the current stream, and start bringing the next layer's."""
        lane, following = self._lanes[part], (layer + 1) % len(self._blocks)
        self._bring(lane, layer)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(lane.filled[layer % NUM_BUFFERS])
        if following % NUM_BUFFERS != layer % NUM_BUFFERS:
            self._bring(lane, following)

    def _bring(self, lane: _Lane, layer: int) -> None:
        """Copy a layer's matrices to its buffer, unless they are there, behind all work that was launched so far."""
        index = layer % NUM_BUFFERS
        if lane.layers[index] == layer:
            return
        lane.layers[index] = layer
        if self._stream is None:
            lane.buffers[index].copy_(lane.host[layer])
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))  # which still reads what the buffer held
        with torch.cuda.stream(self._stream):
            lane.buffers[index].copy_(lane.host[layer], non_blocking=True)
            lane.filled[index].record(self._stream)


def resident_bytes(tensors: Iterable[Tensor]) -> int:
    """Memory that tensors take on their devices, what several of them share counted once."""
    storages: Mapping[int, int] = {
        storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)
    }
    return sum(storages.values())


def _host_bytes(num_bytes: int) -> Tensor:
    """Whole pages of host memory, uint8; given back with the last tensor in them."""
    return torch.frombuffer(mmap.mmap(-1, num_bytes), dtype=torch.uint8)


def _pin(buffers: Sequence[Tensor]) -> list[Tensor]:
    """Lock host memory, so that the GPU fetches it by itself; torch's own pinned memory comes in powers of two only.

    Returns:
        What was locked.
    """
    locked = []
    for buffer in buffers:
        error = torch.cuda.cudart().cudaHostRegister(buffer.data_ptr(), buffer.nbytes, 0)  # pyright: ignore
        if int(error) != 0:
            _log.warning("Host memory cannot be locked (%s): weights come more slowly.", error)
            break
        locked.append(buffer)
    return locked


def _unpin(buffers: Sequence[Tensor]) -> None:
    """Unlock host memory that nothing is copied from any more."""
    for buffer in buffers:
        torch.cuda.cudart().cudaHostUnregister(buffer.data_ptr())  # pyright: ignore
