# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera path of a whole video, and what the network is told of one chunk of it.

A chunk's camera depends only on the path up to that chunk, so that extending a path or
bending its end leaves every earlier chunk as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lingbot_core.camera.intrinsics import scale_intrinsics
from lingbot_core.camera.poses import relative_poses
from lingbot_core.errors import InputError
from lingbot_core.timeline import camera_frame_indices, num_pixel_frames, num_whole_chunks

FRAMES_PER_SECOND = 16
"""Pixel frames per second of camera time: pixel frame ``f`` is seen at ``f / 16`` seconds."""


MAX_FRAMES = 3600 * FRAMES_PER_SECOND
"""Longest path that is made from keyframes, keys or a preset: an hour."""


@dataclass(frozen=True, eq=False)
class ChunkCamera:
    """Cameras of one chunk's latent frames, ready for the ray map. Hashed into the chunk's key."""

    relative_poses: Tensor
    """Each latent frame's camera in the frame of the one before, float32 ``[T, 4, 4]``.

    Translations are divided by the world scale. The very first is the identity."""

    intrinsics: Tensor
    """(fx, fy, cx, cy) in pixels of the run, float32 ``[T, 4]``."""


@dataclass(frozen=True, eq=False)
class CameraTrajectory:
    """A camera path: one pose per pixel frame, on the host, never changed once made."""

    c2w: Tensor
    """Camera-to-world poses with OpenCV axes, float64 ``[F, 4, 4]``."""

    intrinsics: Tensor
    """(fx, fy, cx, cy) in pixels of a 480x832 frame, float64 ``[F, 4]``."""

    world_scale: float
    """Length that the network sees as 1, positive. A property of the path, never recomputed."""

    name: str = ""
    """What the path is called in messages: a preset, a file name; may be empty."""

    source: str = ""
    """Camera-path JSON that the path was sampled from; empty when it came from elsewhere."""

    intrinsics_of_photo: bool = False
    """Whether the intrinsics were measured on the photo, so that cutting it changes them; others describe the run."""

    def __post_init__(self) -> None:
        num_frames = len(self.c2w)
        assert self.c2w.shape == (num_frames, 4, 4), self.c2w.shape
        assert self.intrinsics.shape == (num_frames, 4), (self.intrinsics.shape, num_frames)
        assert self.c2w.dtype == self.intrinsics.dtype == torch.float64, (self.c2w.dtype, self.intrinsics.dtype)
        if not (math.isfinite(self.world_scale) and self.world_scale > 0):
            raise InputError(
                "The world scale of the camera path cannot be used.",
                got=f"{self.world_scale}",
                need="a positive number: the distance per latent frame that counts as 1",
            )

    def __str__(self) -> str:
        return (
            f"camera path {self.name!r} of {self.num_chunks} chunks"
            if self.name
            else f"camera path of {self.num_chunks} chunks"
        )

    @property
    def num_frames(self) -> int:
        """Pixel frames of the path."""
        return len(self.c2w)

    @property
    def num_chunks(self) -> int:
        """Whole chunks that the path suffices for."""
        return num_whole_chunks(self.num_frames)

    def chunk(self, chunk_index: int, height: int, width: int) -> ChunkCamera:
        """What the network is told of one chunk.

        Args:
            chunk_index: From 0, below ``num_chunks``.
            height: Rows of the run's frames.
            width: Their columns.
        """
        assert 0 <= chunk_index < self.num_chunks, (chunk_index, self.num_chunks)
        frames = camera_frame_indices(chunk_index)
        anchor_frame = camera_frame_indices(chunk_index - 1)[-1] if chunk_index else frames[0]
        relative = relative_poses(self.c2w[frames], self.c2w[anchor_frame])  # [T, 4, 4]
        if chunk_index == 0:  # exactly, not up to the rounding of R^T R
            relative[0] = torch.eye(4, dtype=torch.float64)
        relative[:, :3, 3] /= self.world_scale
        intrinsics = scale_intrinsics(self.intrinsics[frames], height, width)
        return ChunkCamera(relative.float(), intrinsics.float())

    def truncated(self, num_chunks: int) -> CameraTrajectory:
        """The first chunks of the path; all of it when it has no more.

        Raises:
            InputError: ``num_chunks`` is below 1.
        """
        if num_chunks < 1:
            raise InputError("A camera path of no chunks was asked for.", got=f"{num_chunks}", need="at least 1 chunk")
        num_frames = num_pixel_frames(num_chunks)
        return replace(self, c2w=self.c2w[:num_frames], intrinsics=self.intrinsics[:num_frames])


def check_num_chunks(num_chunks: int, num_frames_max: int) -> int:
    """Pixel frames of so many chunks.

    Raises:
        InputError: Fewer than one chunk, or more than ``num_frames_max`` frames.
    """
    if 1 <= num_chunks <= num_whole_chunks(num_frames_max):
        return num_pixel_frames(num_chunks)
    raise InputError(
        "The camera path cannot have this many chunks.",
        got=f"{num_chunks}",
        need=f"1 to {num_whole_chunks(num_frames_max)}",
    )
