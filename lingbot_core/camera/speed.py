# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast a camera path is, in the measure that the model sees, against what it has seen.

The measure is per latent frame (a quarter of a second): the way divided by the world scale, and the turn in
degrees. What the model has seen is taken from upstream's examples 00, 01 and 02, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lingbot_core.camera.poses import relative_poses
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, camera_frame_indices, first_pixel_frame

LEVELS = ("green", "amber", "red")
"""As the model knows it; near the fastest it has seen; faster than anything it has seen."""


@dataclass(frozen=True)
class Seen:
    """What the examples hold of one measure, over their 207 chunks."""

    median: float
    """Of the chunks."""

    maximum: float
    """Of the chunks."""

    @property
    def amber(self) -> float:
        """Where amber begins: the geometric mean, from which on a value is nearer to the maximum."""
        return (self.median * self.maximum) ** 0.5

    def level(self, value: float) -> str:
        """One of ``LEVELS``. A part in a thousand above the maximum still counts as seen."""
        if value > self.maximum * 1.001:
            return "red"
        return "amber" if value > self.amber else "green"


SEEN_STEP = Seen(median=0.804, maximum=1.0)
"""Longest step of a chunk in world scales. The maximum is 1 by upstream's rule for the world scale."""

SEEN_ROTATION_DEG = Seen(median=2.26, maximum=28.75)
"""Largest turn of a chunk from one latent frame to the next, degrees."""


@dataclass(frozen=True)
class ChunkSpeed:
    """How fast the camera is in one chunk."""

    index: int
    """Chunk, from 0."""

    step: float
    """Longest step from one latent frame to the next, in world scales."""

    rotation_deg: float
    """Largest turn from one latent frame to the next, degrees."""

    @property
    def first_frame(self) -> int:
        """First pixel frame of the chunk."""
        return first_pixel_frame(self.index)

    @property
    def level(self) -> str:
        """The worse of both measures' levels."""
        levels = SEEN_STEP.level(self.step), SEEN_ROTATION_DEG.level(self.rotation_deg)
        return max(levels, key=LEVELS.index)


def chunk_speeds(trajectory: CameraTrajectory) -> list[ChunkSpeed]:
    """How fast a path is, one entry per whole chunk."""
    if not trajectory.num_chunks:
        return []
    frames = [frame for index in range(trajectory.num_chunks) for frame in camera_frame_indices(index)]
    poses = trajectory.c2w[frames]  # [T, 4, 4]
    relative = relative_poses(poses, poses[0])
    steps = relative[:, :3, 3].norm(dim=1) / trajectory.world_scale
    rotations = relative[:, :3, :3]
    # |R - 1| (Frobenius) is 2 sqrt(2) sin(angle / 2), which is exact near zero where the arc cosine is not.
    chords = (rotations - torch.eye(3, dtype=rotations.dtype)).flatten(1).norm(dim=1) / 8**0.5
    turns_deg = torch.rad2deg(2 * torch.asin(chords.clamp(max=1.0)))
    turns_deg[0] = 0.0  # relative to itself
    shape = (trajectory.num_chunks, CHUNK_LATENT_FRAMES)
    rows = zip(steps.reshape(shape).amax(1).tolist(), turns_deg.reshape(shape).amax(1).tolist(), strict=True)
    return [ChunkSpeed(index, step, turn) for index, (step, turn) in enumerate(rows)]


def speed_warnings(speeds: Sequence[ChunkSpeed]) -> list[str]:
    """What a user should know about a path's speed, in words: at most one sentence each for way and turn."""
    warnings = []
    fast = [speed for speed in speeds if SEEN_STEP.level(speed.step) == "red"]
    if fast:
        factor = max(speed.step for speed in fast) / SEEN_STEP.maximum
        warnings.append(
            f"The camera moves too fast in {_chunks(fast)}: up to {_times(factor)} the fastest step that the model has "
            "seen. Place the keyframes closer together, give them more time, or raise the world scale."
        )
    turning = [speed for speed in speeds if SEEN_ROTATION_DEG.level(speed.rotation_deg) == "red"]
    if turning:
        largest = max(speed.rotation_deg for speed in turning)
        warnings.append(
            f"The camera turns too fast in {_chunks(turning)}: up to {largest:.0f} degrees in a quarter of a second; "
            f"the model has seen {SEEN_ROTATION_DEG.maximum:.0f} at most. Give the turn more time."
        )
    return warnings


def _times(factor: float) -> str:
    """A factor as one says it."""
    return f"{factor:.1f} times" if factor < 100 else f"{factor:.0e} times" if factor >= 1e4 else f"{factor:.0f} times"


def _chunks(speeds: Sequence[ChunkSpeed]) -> str:
    """Chunk numbers as the timeline shows them, neighbours drawn together, at most four groups."""
    groups: list[list[int]] = []
    for speed in speeds:
        if groups and speed.index == groups[-1][-1] + 1:
            groups[-1][1:] = [speed.index]
        else:
            groups.append([speed.index])
    words = [str(group[0]) if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups[:4]]
    if len(groups) > 4:
        words.append("others")
    return ("chunk " if words == [str(speeds[0].index)] else "chunks ") + ", ".join(words)
