# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Measured poses as keyframes, as few as follow them closely."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lingbot_core.camera.files import JSON_VERSION, MAX_KEYFRAMES, parse_camera_path, trajectory_from_poses
from lingbot_core.camera.interpolate import quaternion_from_rotation, turn_between
from lingbot_core.camera.intrinsics import DEFAULT_INTRINSICS, check_intrinsics
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory, sample_keyframes
from lingbot_core.camera.poses import check_poses, measure_world_scale
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES
from lingbot_core.errors import InputError
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, TEMPORAL_STRIDE, num_whole_chunks

POSITION_TOLERANCE = 0.02
"""How far a path with fewer keyframes may be from a measured pose, in world scales."""

ROTATION_TOLERANCE_RAD = math.radians(0.5)
"""The same for its rotation."""

ZOOM_TOLERANCE = 0.002
"""The same for the logarithm of its zoom."""

CENTRE_TOLERANCE_PX = 0.5
"""A lens whose centre moves by more than this is said to be simplified."""

MIN_WORLD_SCALE, MAX_WORLD_SCALE = 1e-6, 1e6
"""What the JSON can hold."""

FIRST_GAP_SEC = 0.75
"""Keyframes are first tried this far apart: the length of a chunk."""


@dataclass(frozen=True)
class MeasuredPath:
    """Camera poses at even times, from a file."""

    c2w: Tensor
    """Camera-to-world poses, OpenCV axes, float64 ``[N, 4, 4]``."""

    intrinsics: Tensor | None = None
    """(fx, fy, cx, cy) in pixels of a 480x832 frame, float64 ``[4]``, ``[1, 4]`` or ``[N, 4]``; None when not told."""

    world_scale: float = 0.0
    """Length that the network sees as 1; 0 when not told, which is measured then."""

    is_ours: bool = False
    """Whether we wrote the file, so that its world stays where it is."""


def measured_path_json(
    measured: MeasuredPath, name: str, frames_per_second: float = FRAMES_PER_SECOND, is_exact: bool = False
) -> tuple[str, list[str]]:
    """Camera-path JSON that follows measured poses.

    Of 16 poses per second, those that fill no whole chunk are treated as upstream treats pose files: what is left
    of a latent frame is dropped, the rest is sped up to whole chunks.

    Args:
        measured: The poses.
        name: What the path is called.
        frames_per_second: Poses per second.
        is_exact: Make every pose a keyframe, in place of as few as follow them within the tolerances above.

    Returns:
        The JSON, and warnings in words.

    Raises:
        InputError: The poses or intrinsics cannot be used, or there are too many.
    """
    check_poses(measured.c2w)
    check_num_poses(len(measured.c2w))
    num_poses = len(measured.c2w)
    duration_sec = (num_poses - 1) / frames_per_second
    if duration_sec * FRAMES_PER_SECOND > MAX_FRAMES - FRAMES_PER_SECOND:
        raise InputError(
            "The camera path is too long.",
            got=f"{num_poses} poses at {frames_per_second:g} per second",
            need=f"less than {MAX_FRAMES // FRAMES_PER_SECOND} seconds",
        )
    warnings: list[str] = []
    keyframes, lens = _all_keyframes(measured, frames_per_second, warnings)
    if not measured.is_ours and _is_away(measured.c2w[0]):
        warnings.append("The world was moved and turned so that the first camera stands at its origin, looking ahead.")
    world_scale = measured.world_scale or _measured_scale(measured.c2w, keyframes, frames_per_second)
    if not MIN_WORLD_SCALE <= world_scale <= MAX_WORLD_SCALE:
        keyframes = [_shrunk(keyframe, world_scale) for keyframe in keyframes]
        warnings.append(f"All lengths were divided by {world_scale:.3g}, the longest step, which a path cannot hold.")
        world_scale = 1.0
    if not is_exact:
        keyframes = fewer_keyframes(keyframes, world_scale)
        if len(keyframes) < num_poses:
            warnings.append(f"{len(keyframes)} keyframes follow the {num_poses} poses.")
    if len(keyframes) > MAX_KEYFRAMES:
        raise InputError(
            "The camera path would have too many keyframes.", got=f"{len(keyframes)}", need=f"at most {MAX_KEYFRAMES}"
        )
    return keyframes_json(keyframes, name=name, world_scale=world_scale, intrinsics=lens), warnings


def check_num_poses(num_poses: int) -> None:
    """Raise unless there is at least one pose and no more than the longest path has frames.

    Raises:
        InputError: With the number.
    """
    if not 1 <= num_poses <= MAX_FRAMES:
        raise InputError("The file has an unusable number of poses.", got=f"{num_poses}", need=f"1 to {MAX_FRAMES}")


def keyframes_json(
    keyframes: Sequence[Keyframe],
    *,
    name: str = "",
    easing: str = "linear",
    world_scale: float,
    intrinsics: Sequence[float] = DEFAULT_INTRINSICS,
) -> str:
    """Camera-path JSON of keyframes.

    Raises:
        InputError: Names the place in the JSON that a path cannot hold.
    """
    rows = [
        {
            "time_sec": keyframe.time_sec,
            "position": list(keyframe.position),
            "rotation": list(keyframe.rotation),
            "zoom": keyframe.zoom,
        }
        for keyframe in keyframes
    ]
    text = json.dumps(
        {
            "format": "lingbot-camera-path",
            "version": JSON_VERSION,
            "name": name[:200],
            "easing": easing,
            "world_scale": world_scale,
            "intrinsics": list(intrinsics),
            "keyframes": rows,
        }
    )
    parse_camera_path(text)
    return text


def fewer_keyframes(keyframes: Sequence[Keyframe], world_scale: float) -> list[Keyframe]:
    """The keyframes that are needed to follow them all within the tolerances; the first and last included.

    Starts with one per chunk and adds the worst of every gap until none is off by too much.
    """
    times_sec = [keyframe.time_sec for keyframe in keyframes]
    gap = max(round(FIRST_GAP_SEC * (len(keyframes) - 1) / max(times_sec[-1] - times_sec[0], 1e-9)), 1)
    chosen = sorted({*range(0, len(keyframes), gap), len(keyframes) - 1})
    while len(chosen) < len(keyframes):
        samples = sample_keyframes([keyframes[index] for index in chosen], times_sec)
        errors = [_error(*pair, world_scale) for pair in zip(keyframes, samples, strict=True)]
        worst = [
            max(range(start + 1, end), key=errors.__getitem__)
            for start, end in zip(chosen, chosen[1:], strict=False)
            if end - start > 1
        ]
        missing = {index for index in worst if errors[index] > 1}
        if not missing:
            break
        chosen = sorted({*chosen, *missing})
    return [keyframes[index] for index in chosen]


def _measured_scale(c2w: Tensor, keyframes: Sequence[Keyframe], frames_per_second: float) -> float:
    """World scale by upstream's rule: the longest step of a latent frame."""
    if frames_per_second == FRAMES_PER_SECOND and num_whole_chunks(len(c2w)):
        return trajectory_from_poses(c2w).world_scale
    return measure_world_scale(keyframe_trajectory(keyframes).c2w[::TEMPORAL_STRIDE])


def _shrunk(keyframe: Keyframe, factor: float) -> Keyframe:
    x, y, z = keyframe.position
    return replace(keyframe, position=(x / factor, y / factor, z / factor))


def _error(wanted: Keyframe, found: Keyframe, world_scale: float) -> float:
    """How far a sample is off, 1 being the most that is tolerated."""
    return max(
        math.dist(wanted.position, found.position) / (POSITION_TOLERANCE * world_scale),
        math.hypot(*turn_between(wanted.rotation, found.rotation)) / ROTATION_TOLERANCE_RAD,
        abs(math.log(wanted.zoom / found.zoom)) / ZOOM_TOLERANCE,
    )


def _all_keyframes(
    measured: MeasuredPath, frames_per_second: float, warnings: list[str]
) -> tuple[list[Keyframe], Sequence[float]]:
    """One keyframe per pose that is used, and the intrinsics at zoom 1."""
    c2w = measured.c2w if measured.is_ours else relative_to_first(measured.c2w)
    lens, zooms = _lens(measured, warnings)
    num_used, pace = len(c2w), 1.0
    num_chunks = num_whole_chunks(num_used)
    if frames_per_second == FRAMES_PER_SECOND and num_chunks:
        num_steps = (num_used - 1) // TEMPORAL_STRIDE
        num_used = num_steps * TEMPORAL_STRIDE + 1
        pace = (num_chunks * CHUNK_LATENT_FRAMES - 1) / num_steps
        if pace < 1:
            warnings.append(f"The path was sped up by {(1 / pace - 1) * 100:.1f} % to end with a whole chunk.")
    keyframes = []
    for index, pose in enumerate(c2w[:num_used].tolist()):
        x, y, z = (row[3] for row in pose[:3])
        time_sec = index * pace / frames_per_second
        keyframes.append(Keyframe(time_sec, (x, y, z), quaternion_from_rotation(pose), zooms[index]))
    return keyframes, lens


def relative_to_first(c2w: Tensor) -> Tensor:
    """Poses in the frame of the first one, which becomes the identity exactly."""
    to_first = c2w[0, :3, :3].mT
    relative = torch.zeros_like(c2w)
    relative[:, :3, :3] = to_first @ c2w[:, :3, :3]
    relative[:, :3, 3:] = to_first @ (c2w[:, :3, 3:] - c2w[0, :3, 3:])  # subtracted first: places can be far away
    relative[:, 3, 3] = 1
    relative[0] = torch.eye(4, dtype=c2w.dtype)
    return relative


def _is_away(pose: Tensor) -> bool:
    return bool((pose - torch.eye(4, dtype=pose.dtype)).abs().max() > 1e-9)


def _lens(measured: MeasuredPath, warnings: list[str]) -> tuple[Sequence[float], list[float]]:
    """Intrinsics of the first pose, and how much closer the others zoom."""
    num_poses = len(measured.c2w)
    if measured.intrinsics is None:
        return DEFAULT_INTRINSICS, [1.0] * num_poses
    rows = check_intrinsics(measured.intrinsics, num_poses)
    ratios = rows[:, :2] / rows[0, :2]
    zooms = ratios.prod(1).sqrt().clamp(0.01, 100)
    moves = (rows[:, 2:] - rows[0, 2:]).abs().max() > CENTRE_TOLERANCE_PX
    if moves or (ratios / zooms[:, None] - 1).abs().max() > 0.01:
        warnings.append(
            "The lens changes from pose to pose in more than its zoom, which a path does not keep: the first centre is "
            "used. For the exact lens use LingBot Camera From Poses."
        )
    return rows[0].tolist(), zooms.tolist()
