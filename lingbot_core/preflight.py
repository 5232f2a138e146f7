# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Room on the disk and in memory: checked before anything starts, explained when it runs out, given back."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lingbot_core.errors import ResourceError
from lingbot_core.models.offload import NUM_BUFFERS
from lingbot_core.timeline import SIZE_MULTIPLE, chunk_tokens
from lingbot_core.variants import VARIANTS, Variant

if TYPE_CHECKING:
    from lingbot_core.models.dit_config import DiTConfig

GIB = 2**30

DISK_RESERVE_BYTES = GIB
"""Disk space that is left alone."""

HOST_RESERVE_BYTES = 2 * GIB
"""Host memory that is left alone."""

SMALLEST_FRAME = (128, 224)
"""Height and width in pixels of the smallest frames that are worth making."""

ADVICE_RESERVE = 0.05
"""Part of the free memory that advice leaves free, for what estimates do not count."""

_REFERENCE_PIXELS = 464 * 832
# At 464x832 in bf16 with the published widths: weights, streaming state, and about the activations of one latent.
# The decoder holds the state before and after a call, and that of the chunk's beginning, which a failure goes back to.
_WAN_DECODER_BYTES = 150_000_000 + 3 * 1_826_000_000 + 2_100_000_000
_WAN_ENCODER_BYTES = 110_000_000 + 1_084_000_000 + 2_000_000_000
_TAEHV_BYTES = 23_000_000 + 65_000_000 + 800_000_000


def check_disk(folder: Path, num_bytes: int, purpose: str, variable: str) -> None:
    """Check that a folder's disk has room.

    Args:
        folder: Where to write; need not exist yet.
        num_bytes: What will be written.
        purpose: What for, after "to": ``download …``.
        variable: Environment variable that moves the folder elsewhere.

    Raises:
        ResourceError: There is less room than that plus a reserve.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < num_bytes + DISK_RESERVE_BYTES:
        raise ResourceError(
            f"Not enough disk space to {purpose}.",
            got=f"{free / GIB:.1f} GiB free at {existing}",
            need=f"{num_bytes / GIB:.1f} GiB, and {DISK_RESERVE_BYTES / GIB:.0f} GiB left over",
            do=f"Free some, or set {variable} to a folder on a larger disk.",
        )


@dataclass(frozen=True)
class MemoryEstimate:
    """Device memory of a run, in bytes: a lower bound, so that nothing is refused that would fit."""

    weights: int
    """The network's parameters."""

    kv_cache: int
    """Keys and values of sink and window."""

    conditioning: int
    """Camera scale and shift of a chunk, and the text's keys and values, of every layer."""

    work: int
    """Activations of one pass."""

    autoencoders: int
    """Photo encoder and decoder: weights, streaming state and activations."""

    text_encoder: int
    """Text encoder; resident before the caches are made, not beside them."""

    @property
    def total(self) -> int:
        """Largest sum of what is resident at one time."""
        running = self.kv_cache + self.conditioning + self.work + self.autoencoders
        return self.weights + max(running, self.text_encoder)

    def __str__(self) -> str:
        parts = ((field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{name} {num_bytes / GIB:.1f}" for name, num_bytes in parts)


def estimate_memory(
    config: DiTConfig,
    *,
    num_parameters: int,
    text_parameters: int,
    bytes_per_value: int,
    frame_size: tuple[int, int],
    capacity_chunks: int,
    decoder: str,
    vae_base_dim: int = 96,
    fp8: bool = False,
    num_ranks: int = 1,
    offload: bool = False,
) -> MemoryEstimate:
    """What a run takes.

    Args:
        config: Sizes of the network.
        num_parameters: Its parameters.
        text_parameters: Parameters of the text encoder.
        bytes_per_value: 2 in bf16, 4 in fp32.
        frame_size: Height and width of the video in pixels.
        capacity_chunks: Window plus sink.
        decoder: ``wan_vae`` or ``taehv``.
        vae_base_dim: Base width of the Wan VAE: 96 as published.
        fp8: Whether the matrices of the network's blocks are in 8 bits.
        num_ranks: Ranks that split heads and tokens.
        offload: Whether the matrices of the network's blocks wait in host memory, but for those in use and next.
    """
    tokens = chunk_tokens(*frame_size)
    local_tokens = -(-tokens // num_ranks)
    layer_values = 2 * config.num_layers * config.dim  # keys and values, or scale and shift, of one token
    frame_scale = frame_size[0] * frame_size[1] / _REFERENCE_PIXELS * bytes_per_value / 2
    vae_scale = frame_scale * vae_base_dim / 96
    decoder_bytes = _WAN_DECODER_BYTES * vae_scale if decoder == "wan_vae" else _TAEHV_BYTES * frame_scale
    weights = num_parameters * bytes_per_value - (_bytes_saved_by_fp8(config, bytes_per_value) if fp8 else 0)
    if offload:
        weights -= offloaded_bytes(config, bytes_per_value, fp8, max(config.num_layers - NUM_BUFFERS, 0))
    return MemoryEstimate(
        weights=weights,
        kv_cache=capacity_chunks * tokens * layer_values * bytes_per_value // num_ranks,
        conditioning=(local_tokens + config.text_len) * layer_values * bytes_per_value,
        work=local_tokens * (config.ffn_dim + 8 * config.dim) * bytes_per_value,
        autoencoders=int(decoder_bytes + _WAN_ENCODER_BYTES * vae_scale),
        text_encoder=text_parameters * bytes_per_value,
    )


def offloaded_bytes(config: DiTConfig, bytes_per_value: int, fp8: bool = False, num_layers: int | None = None) -> int:
    """Memory of the matrices of so many blocks, by default of all, which wait in host memory."""
    num_layers = config.num_layers if num_layers is None else num_layers
    return num_layers * _matrix_values(config) * (1 if fp8 else bytes_per_value)


def _matrix_values(config: DiTConfig) -> int:
    """Of the matrices of a block: 4 of self-attention, 4 of the cameras, 4 of the text, 2 of the feed-forward."""
    return 12 * config.dim**2 + 2 * config.dim * config.ffn_dim


def _bytes_saved_by_fp8(config: DiTConfig, bytes_per_value: int) -> int:
    """What the blocks' matrices take less in 8 bits, their scales counted."""
    rows = 13 * config.dim + config.ffn_dim
    return config.num_layers * (_matrix_values(config) * (bytes_per_value - 1) - rows * torch.float32.itemsize)


@dataclass(frozen=True)
class RunMemory:
    """What the memory of a run depends on; :meth:`advise` tries what could be chosen instead."""

    variant: Variant
    """What is run; decides the decoder."""

    config: DiTConfig
    """Sizes of the network."""

    num_parameters: int
    """Its parameters."""

    text_parameters: int
    """Parameters of the text encoder; 0 when no prompt will be encoded."""

    bytes_per_value: int
    """2 in bf16, 4 in fp32."""

    frame_size: tuple[int, int]
    """Height and width of the video in pixels."""

    capacity_chunks: int
    """Window plus sink."""

    vae_base_dim: int = 96
    """Base width of the Wan VAE: 96 as published."""

    fp8: bool = False
    """Whether the matrices of the network's blocks are in 8 bits."""

    may_choose_fp8: bool = False
    """Whether they could be."""

    offload: bool = False
    """Whether the matrices of the network's blocks wait in host memory."""

    may_choose_offload: bool = False
    """Whether they could."""

    num_ranks: int = 1
    """Ranks that share the passes: each has all weights, and its part of the rest. What is counted is one rank's."""

    network_only: bool = False
    """Whether encoders and decoder are on another rank."""

    def estimate(self) -> MemoryEstimate:
        """What it takes on this rank."""
        whole = estimate_memory(
            self.config,
            num_parameters=self.num_parameters,
            text_parameters=self.text_parameters,
            bytes_per_value=self.bytes_per_value,
            frame_size=self.frame_size,
            capacity_chunks=self.capacity_chunks,
            decoder=self.variant.decoder,
            vae_base_dim=self.vae_base_dim,
            fp8=self.fp8,
            num_ranks=self.num_ranks,
            offload=self.offload,
        )
        return replace(whole, autoencoders=0, text_encoder=0) if self.network_only else whole

    def advise(self, room: int) -> str:
        """What to do when this does not fit into ``room`` bytes: a sentence that names what does."""
        usable = (1 - ADVICE_RESERVE) * room
        fitting = [name for name, run in self._smaller() if run.estimate().total <= usable]
        frame = next((run for run in self._smaller_frames() if run.estimate().total <= usable), None)
        if frame is not None:
            fitting.append("frames of {}x{}".format(*frame.frame_size))
        if not fitting:
            return "Close other programs, or use a larger device: no smaller frame or window fits either."
        return f"Close other programs, or choose what fits: {' or '.join(fitting)}."

    def _smaller(self) -> Iterator[tuple[str, RunMemory]]:
        """The same weights with less around them, by what to choose for it."""
        if self.bytes_per_value == 4:
            yield "precision bf16", replace(self, bytes_per_value=2)
        if self.may_choose_fp8:
            yield "precision fp8", replace(self, bytes_per_value=2, fp8=True)
        if self.may_choose_offload and self.num_ranks == 1:
            yield "offload weights", replace(self, offload=True)
        for other in VARIANTS.values():
            capacity = other.window_chunks + other.sink_chunks
            if other.dit == self.variant.dit and capacity < self.capacity_chunks:
                yield f"the variant {other.slug}", replace(self, variant=other, capacity_chunks=capacity)

    def _smaller_frames(self) -> Iterator[RunMemory]:
        """Frames of about the same shape, largest first."""
        height, width = self.frame_size
        for smaller in range(height - SIZE_MULTIPLE, SMALLEST_FRAME[0] - 1, -SIZE_MULTIPLE):
            fitting_width = max(round(width * smaller / height / SIZE_MULTIPLE), 1) * SIZE_MULTIPLE
            yield replace(self, frame_size=(smaller, fitting_width))


def check_memory(device: torch.device, run: RunMemory, held: int = 0) -> None:
    """Check that a device has room for a run.

    Args:
        device: Whose memory.
        run: What will run.
        held: Bytes of it that are held already.

    Raises:
        ResourceError: It has not; the message lists what is needed for what, and what would fit.
    """
    free, estimate = free_memory(device), run.estimate()
    if free is not None and free + held < estimate.total:
        of_these = f", {held / GIB:.1f} of them in use by this model" if held else ""
        raise ResourceError(
            f"Not enough memory on {device}.",
            got=f"{(free + held) / GIB:.1f} GiB{of_these or ' free'}",
            need=f"{estimate.total / GIB:.1f} GiB (in GiB: {estimate})",
            do=run.advise(free + held),
        )


def check_host_memory(run: RunMemory) -> None:
    """Check that the host has room for the matrices that wait there.

    Raises:
        ResourceError: It has not.
    """
    free = free_memory(torch.device("cpu"))
    needed = offloaded_bytes(run.config, run.bytes_per_value, run.fp8)
    if free is not None and free < needed + HOST_RESERVE_BYTES:
        raise ResourceError(
            "Not enough host memory for the network's matrices to wait in.",
            got=f"{free / GIB:.1f} GiB free",
            need=f"{needed / GIB:.1f} GiB, and {HOST_RESERVE_BYTES / GIB:.0f} GiB left over",
            do="Close other programs, or choose precision fp8 or offload none.",
        )


@contextmanager
def explain_out_of_memory(
    device: torch.device, doing: str = "the video was made", run: RunMemory | None = None, held: int = 0
) -> Iterator[None]:
    """Say in one sentence that memory ran out in the body.

    Args:
        device: Whose memory.
        doing: What the body does, after "while".
        run: What the body runs, so that the message can tell numbers and what would fit.
        held: Bytes of it that are held already.

    Raises:
        ResourceError: It did.
    """
    free = free_memory(device) if run is not None else None
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        got = need = ""
        do = "Close other programs that use it, or choose a smaller frame or a variant with a shorter window."
        if run is not None and free is not None:
            estimate, room = run.estimate(), free + held
            got = f"{room / GIB:.1f} GiB for it"
            need = f"at least {estimate.total / GIB:.1f} GiB (in GiB: {estimate})"
            do = run.advise(min(room, estimate.total - 1))
        raise ResourceError(f"The memory of {device} ran out while {doing}.", got=got, need=need, do=do) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's memory ran out; calls of CUDA say so in an error of their own."""
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, accelerator_error) and "out of memory" in str(error).lower()
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device; None when that cannot be told."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    if device.type == "cpu":
        import psutil

        return psutil.virtual_memory().available
    return None


def release_unused_memory(device: torch.device) -> None:
    """Return what is kept for later use to a GPU and the system, where other programs and allocators find it."""
    if device.type != "cuda":
        return
    torch.cuda.empty_cache()
    _release_pinned_memory()
    if torch.cuda.get_allocator_backend() == "cudaMallocAsync":
        _release_graph_memory(torch.cuda.current_device() if device.index is None else device.index)


def _release_pinned_memory() -> None:
    """Return pinned host memory that is not in use: torch keeps it for later copies, of frames for example."""
    # public since torch 2.13
    empty = getattr(torch.accelerator, "empty_host_cache", None) or getattr(torch._C, "_host_emptyCache", None)
    if empty is not None:
        empty()


def _release_graph_memory(index: int) -> None:
    """Return memory of CUDA graphs that are gone: with this allocator the driver keeps it, and torch never asks."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        device = ctypes.c_int()
        if driver.cuDeviceGet(ctypes.byref(device), index) == 0:
            driver.cuDeviceGraphMemTrim(device)
    except (OSError, AttributeError):
        return  # a driver without it has no such memory
