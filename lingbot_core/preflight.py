# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checks before anything starts: is there room on the disk and in memory?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lingbot_core.errors import ResourceError
from lingbot_core.timeline import chunk_tokens

if TYPE_CHECKING:
    from lingbot_core.models.dit import DiTConfig

GIB = 2**30

DISK_RESERVE_BYTES = GIB
"""Disk space that is left alone."""

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
    """
    tokens = chunk_tokens(*frame_size)
    layer_values = 2 * config.num_layers * config.dim  # keys and values, or scale and shift, of one token
    frame_scale = frame_size[0] * frame_size[1] / _REFERENCE_PIXELS * bytes_per_value / 2
    vae_scale = frame_scale * vae_base_dim / 96
    decoder_bytes = _WAN_DECODER_BYTES * vae_scale if decoder == "wan_vae" else _TAEHV_BYTES * frame_scale
    return MemoryEstimate(
        weights=num_parameters * bytes_per_value,
        kv_cache=capacity_chunks * tokens * layer_values * bytes_per_value,
        conditioning=(tokens + config.text_len) * layer_values * bytes_per_value,
        work=tokens * (config.ffn_dim + 8 * config.dim) * bytes_per_value,
        autoencoders=int(decoder_bytes + _WAN_ENCODER_BYTES * vae_scale),
        text_encoder=text_parameters * bytes_per_value,
    )


def check_memory(device: torch.device, estimate: MemoryEstimate) -> None:
    """Check that a device has room for a run.

    Raises:
        ResourceError: It has not; the message lists what is needed for what.
    """
    free = free_memory(device)
    if free is not None and free < estimate.total:
        raise ResourceError(
            f"Not enough memory on {device}.",
            got=f"{free / GIB:.1f} GiB free",
            need=f"{estimate.total / GIB:.1f} GiB (in GiB: {estimate})",
            do="Close other programs, choose a smaller frame or a variant with a shorter window, or a larger device.",
        )


@contextmanager
def explain_out_of_memory(device: torch.device, doing: str = "the video was made") -> Iterator[None]:
    """Say in one sentence that memory ran out in the body.

    Raises:
        ResourceError: It did.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"The memory of {device} ran out while {doing}.",
            do="Close other programs that use it, or choose a smaller frame or a variant with a shorter window.",
        ) from error


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
