# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Pixel frames, latent frames and chunks: the only place that knows "4n + 1".

The VAE keeps the first pixel frame as a latent frame of its own and packs every
later group of four into one. A chunk is three latent frames, so chunk 0 is nine
pixel frames and every later chunk is twelve.
"""

from __future__ import annotations

CHUNK_LATENT_FRAMES = 3
"""Latent frames that one autoregressive step generates."""

TEMPORAL_STRIDE = 4
"""Pixel frames per latent frame, but for the very first latent frame, which is one."""

SPATIAL_STRIDE = 8
"""Pixels per latent cell, along height and width."""

PATCH_SIZE = 2
"""Latent cells per token, along height and width."""

SIZE_MULTIPLE = SPATIAL_STRIDE * PATCH_SIZE
"""Frame height and width must be multiples of this many pixels."""


def latent_frame_indices(chunk_index: int) -> range:
    """Positions in the rollout of the latent frames of one chunk."""
    first = chunk_index * CHUNK_LATENT_FRAMES
    return range(first, first + CHUNK_LATENT_FRAMES)


def camera_frame_indices(chunk_index: int) -> list[int]:
    """Pixel frames whose cameras condition the latent frames of one chunk.

    Latent frame ``i`` ends at pixel frame ``4 i``: 0, 4, 8 in chunk 0, then the
    last of every group of four.
    """
    return [i * TEMPORAL_STRIDE for i in latent_frame_indices(chunk_index)]


def num_pixel_frames(num_chunks: int) -> int:
    """Pixel frames in the first ``num_chunks`` chunks: 0, 9, 21, 33, ..."""
    if num_chunks <= 0:
        return 0
    return 1 + TEMPORAL_STRIDE * (num_chunks * CHUNK_LATENT_FRAMES - 1)


def first_pixel_frame(chunk_index: int) -> int:
    """Position of a chunk's first pixel frame: 0, 9, 21, ..."""
    return num_pixel_frames(chunk_index)


def chunk_pixel_frames(chunk_index: int) -> int:
    """Pixel frames in one chunk: 9 in chunk 0, 12 later."""
    return num_pixel_frames(chunk_index + 1) - num_pixel_frames(chunk_index)


def num_whole_chunks(num_frames: int) -> int:
    """Chunks that ``num_frames`` pixel frames suffice for: 0 below 9, 1 below 21, ..."""
    num_latent_frames = 0 if num_frames < 1 else (num_frames - 1) // TEMPORAL_STRIDE + 1
    return num_latent_frames // CHUNK_LATENT_FRAMES


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Latent rows and columns of a frame of ``height`` x ``width`` pixels."""
    return height // SPATIAL_STRIDE, width // SPATIAL_STRIDE


def token_grid(height: int, width: int) -> tuple[int, int]:
    """Token rows and columns of a frame of ``height`` x ``width`` pixels."""
    return height // SIZE_MULTIPLE, width // SIZE_MULTIPLE


def chunk_tokens(height: int, width: int) -> int:
    """Tokens in one chunk of frames of ``height`` x ``width`` pixels (4524 at 464x832)."""
    rows, columns = token_grid(height, width)
    return CHUNK_LATENT_FRAMES * rows * columns
