# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths through keyframes.

Positions follow cubic curves and rotations the matching curves on the sphere of rotations, both with continuous
speed and through every keyframe. Before the first and after the last keyframe the camera rests.
Moving a keyframe bends the path from two keyframes before it on; what lies earlier stays bit for bit.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from lingbot_core.camera.easing import EASINGS, ends_at_rest, starts_at_rest
from lingbot_core.camera.interpolate import (
    Quaternion,
    Vector,
    hermite,
    hermite_rotation,
    normalized,
    rotation_from_quaternion,
    tangents,
    turn_between,
)
from lingbot_core.camera.intrinsics import DEFAULT_INTRINSICS, check_intrinsics
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE, pose_matrix
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES, CameraTrajectory, check_num_chunks
from lingbot_core.errors import InputError
from lingbot_core.timeline import num_pixel_frames, num_whole_chunks

MIN_GAP_SEC = 1e-4
"""Keyframes must be at least this far apart."""


@dataclass(frozen=True)
class Keyframe:
    """Where the camera is at one moment."""

    time_sec: float
    """Seconds since the start of the video; not negative."""

    position: tuple[float, float, float]
    """Place of the camera in the world, x right, y down, z forward."""

    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)
    """Camera-to-world unit quaternion (x, y, z, w); the default looks along +z."""

    zoom: float = 1.0
    """Multiplies the focal lengths; 1 leaves them."""


@dataclass(frozen=True)
class _Curves:
    """Keyframes with the speeds that make the path smooth."""

    keyframes: Sequence[Keyframe]
    """In order of time."""

    times_sec: Sequence[float]
    """Their times."""

    velocities: Sequence[Vector]
    """Speed of the position at each keyframe, units per second."""

    turn_rates: Sequence[Vector]
    """Angular speed at each keyframe in the camera's axes, radians per second."""

    zoom_rates: Sequence[Vector]
    """Speed of the zoom's logarithm at each keyframe, one component."""

    def at(self, time_sec: float) -> Keyframe:
        """The camera at one moment."""
        index = bisect_right(self.times_sec, time_sec) - 1
        if index < 0 or index == len(self.keyframes) - 1:
            return self.keyframes[max(index, 0)]
        start, end = self.keyframes[index], self.keyframes[index + 1]
        gap_sec = end.time_sec - start.time_sec
        weight = (time_sec - start.time_sec) / gap_sec

        def speeds(rates: Sequence[Vector]) -> tuple[Vector, Vector]:
            return rates[index], rates[index + 1]

        x, y, z = hermite((start.position, end.position), speeds(self.velocities), gap_sec, weight)
        rotation = hermite_rotation((start.rotation, end.rotation), speeds(self.turn_rates), gap_sec, weight)
        log_zooms = (math.log(start.zoom),), (math.log(end.zoom),)
        (log_zoom,) = hermite(log_zooms, speeds(self.zoom_rates), gap_sec, weight)
        return Keyframe(time_sec, (x, y, z), rotation, math.exp(log_zoom))


def keyframe_trajectory(
    keyframes: Sequence[Keyframe],
    num_chunks: int | None = None,
    *,
    easing: str = EASINGS[0],
    intrinsics: Sequence[float] = DEFAULT_INTRINSICS,
    world_scale: float = DEFAULT_WORLD_SCALE,
    name: str = "",
    source: str = "",
) -> CameraTrajectory:
    """A smooth path through keyframes.

    Args:
        keyframes: At least one, their times increasing by ``MIN_GAP_SEC`` or more.
        num_chunks: Length of the path; None is as many chunks as it takes to reach the last keyframe.
        easing: Whether the camera starts from rest and ends at rest, one of ``EASINGS``.
        intrinsics: (fx, fy, cx, cy) at zoom 1, in pixels of a 480x832 frame.
        world_scale: Length that the network sees as 1.
        name: What the path is called in messages.
        source: JSON that the keyframes came from.

    Raises:
        InputError: Names the keyframe that is wrong as ``keyframes[i]``.
    """
    _check(keyframes)
    assert easing in EASINGS, easing
    if num_chunks is None:
        num_chunks = _num_chunks_until(keyframes[-1].time_sec)
    num_frames = check_num_chunks(num_chunks, MAX_FRAMES)
    samples = _sample(keyframes, [frame / FRAMES_PER_SECOND for frame in range(num_frames)], easing)
    poses = [pose_matrix(rotation_from_quaternion(sample.rotation), sample.position) for sample in samples]
    rows = check_intrinsics(torch.tensor(intrinsics, dtype=torch.float64), num_frames)
    rows[:, :2] *= torch.tensor([[sample.zoom] for sample in samples], dtype=torch.float64)
    return CameraTrajectory(torch.tensor(poses, dtype=torch.float64), rows, world_scale, name, source)


def sample_keyframes(
    keyframes: Sequence[Keyframe], times_sec: Sequence[float], easing: str = EASINGS[0]
) -> list[Keyframe]:
    """The smooth path through keyframes at any moments, as :func:`keyframe_trajectory` follows it.

    Raises:
        InputError: Names the keyframe that is wrong as ``keyframes[i]``.
    """
    _check(keyframes)
    return _sample(keyframes, times_sec, easing)


def _sample(keyframes: Sequence[Keyframe], times_sec: Sequence[float], easing: str) -> list[Keyframe]:
    curves = _fit_curves(keyframes, easing)
    return [curves.at(time_sec) for time_sec in times_sec]


def _check(keyframes: Sequence[Keyframe]) -> None:
    if not keyframes:
        raise InputError("keyframes: the camera path has none.", need="at least one keyframe")
    for index, keyframe in enumerate(keyframes):
        earliest_sec = keyframes[index - 1].time_sec + MIN_GAP_SEC if index else 0.0
        if not earliest_sec <= keyframe.time_sec < math.inf:  # also when it is NaN
            raise InputError(
                f"keyframes[{index}].time_sec: keyframes must come one after the other.",
                got=f"{keyframe.time_sec:g} seconds",
                need=f"{earliest_sec:g} or more" + (f", as keyframes[{index - 1}] comes before" if index else ""),
            )
        values = (*keyframe.position, *keyframe.rotation, keyframe.zoom)
        if not all(map(math.isfinite, values)) or keyframe.zoom <= 0 or not any(keyframe.rotation):
            raise InputError(
                f"keyframes[{index}]: the camera there cannot be used.",
                got=f"{keyframe}",
                need="finite numbers, a positive zoom, a rotation that is not zero",
            )


def _num_chunks_until(time_sec: float) -> int:
    """Chunks whose last frame is not before a moment, at least one."""
    num_frames = math.ceil(time_sec * FRAMES_PER_SECOND) + 1
    num_chunks = num_whole_chunks(num_frames)
    return num_chunks if num_chunks and num_pixel_frames(num_chunks) >= num_frames else num_chunks + 1


def _fit_curves(keyframes: Sequence[Keyframe], easing: str) -> _Curves:
    """Find the speeds at the keyframes."""
    keyframes = [Keyframe(k.time_sec, k.position, normalized(k.rotation), k.zoom) for k in keyframes]
    times_sec = [keyframe.time_sec for keyframe in keyframes]
    if len(keyframes) == 1:
        return _Curves(keyframes, times_sec, (), (), ())
    pairs = list(pairwise(keyframes))
    ways = [tuple(b - a for a, b in zip(start.position, end.position, strict=True)) for start, end in pairs]
    turns = [turn_between(start.rotation, end.rotation) for start, end in pairs]
    zooms = [(math.log(end.zoom / start.zoom),) for start, end in pairs]
    rests = starts_at_rest(easing), ends_at_rest(easing)
    velocities, turn_rates, zoom_rates = (tangents(times_sec, deltas, *rests) for deltas in (ways, turns, zooms))
    return _Curves(keyframes, times_sec, velocities, turn_rates, zoom_rates)
