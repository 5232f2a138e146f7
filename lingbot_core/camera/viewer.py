# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths through the cameras of a 3D viewer.

Such a camera is a mapping as three.js and ComfyUI describe it: right-handed axes, y up, looking down
-z, a vertical field of view in degrees. Ours look down +z with y down; turning the world half a turn
about x, with everything in it, gives the same pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lingbot_core.camera.files import JSON_VERSION, trajectory_from_json
from lingbot_core.camera.interpolate import Quaternion, quaternion_from_rotation
from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError

ViewerCamera = Mapping[str, Any]
Point = tuple[float, float, float]


def viewer_trajectory(
    cameras: Sequence[ViewerCamera],
    *,
    seconds_between: float,
    default_fov_deg: float,
    num_chunks: int | None = None,
    easing: str = "linear",
    world_scale: float = DEFAULT_WORLD_SCALE,
    names: Sequence[str] = (),
) -> CameraTrajectory:
    """A smooth path through a viewer's cameras.

    Args:
        cameras: ``position``, and ``quaternion`` or else ``target``; ``fov``, ``zoom``, ``cameraType`` may be absent.
        seconds_between: Time from one camera to the next.
        default_fov_deg: Vertical field of view of cameras that do not tell theirs.
        num_chunks: Length of the path; None is as long as it takes to reach the last camera.
        easing: One of ``lingbot_core.camera.easing.EASINGS``.
        world_scale: Length that the network sees as 1.
        names: What messages call the cameras; empty for ``camera 1`` and so on.

    Returns:
        The path; its ``source`` is the camera-path JSON.

    Raises:
        InputError: There is no camera, or one cannot be used; names it.
    """
    times_sec = [seconds_between * index for index in range(len(cameras))]
    text = viewer_path_json(cameras, times_sec, default_fov_deg, easing=easing, world_scale=world_scale, names=names)
    return trajectory_from_json(text, num_chunks)


def viewer_path_json(
    cameras: Sequence[ViewerCamera],
    times_sec: Sequence[float],
    default_fov_deg: float,
    *,
    easing: str = "linear",
    world_scale: float = DEFAULT_WORLD_SCALE,
    names: Sequence[str] = (),
) -> str:
    """Camera-path JSON with a viewer's cameras as keyframes, not checked yet.

    Args:
        cameras: See :func:`viewer_trajectory`.
        times_sec: When each of them is reached, increasing.
        default_fov_deg: Vertical field of view of cameras that do not tell theirs.
        easing: One of ``lingbot_core.camera.easing.EASINGS``.
        world_scale: Length that the network sees as 1.
        names: See :func:`viewer_trajectory`.

    Raises:
        InputError: See :func:`viewer_trajectory`.
    """
    if not cameras:
        raise InputError("No camera is connected.", need="at least one camera of a 3D viewer")
    names = names or [f"camera {number}" for number in range(1, len(cameras) + 1)]
    focals = [_focal_length(camera, name, default_fov_deg) for camera, name in zip(cameras, names, strict=True)]
    keyframes = []
    for camera, name, focal, time_sec in zip(cameras, names, focals, times_sec, strict=True):
        position, (qx, qy, qz, qw) = _pose(camera, name)
        keyframe = {
            "time_sec": time_sec,
            "position": (position[0], -position[1], -position[2]),
            "rotation": (qx, -qy, -qz, qw),
            "zoom": focal / focals[0],
        }
        keyframes.append(keyframe)
    path = {
        "format": "lingbot-camera-path",
        "version": JSON_VERSION,
        "name": "3D viewer",
        "easing": easing,
        "world_scale": world_scale,
        "intrinsics": (focals[0], focals[0], INTRINSICS_WIDTH / 2, INTRINSICS_HEIGHT / 2),
        "keyframes": keyframes,
    }
    return json.dumps(path)


def _focal_length(camera: ViewerCamera, name: str, default_fov_deg: float) -> float:
    """Focal length in pixels of a frame of 480 rows."""
    if camera.get("cameraType") == "orthographic":
        raise InputError(
            f"{_first_upper(name)} is orthographic, which the model cannot show.",
            do="Switch the viewer to perspective.",
        )
    fov_deg = _number(camera.get("fov") or default_fov_deg, f"fov of {name}")
    zoom = _number(camera.get("zoom") or 1.0, f"zoom of {name}")
    if not 0 < fov_deg < 180 or zoom <= 0:
        raise InputError(
            f"The lens of {name} cannot be used.",
            got=f"fov {fov_deg:g} degrees, zoom {zoom:g}",
            need="a vertical field of view between 0 and 180 degrees and a positive zoom",
        )
    return INTRINSICS_HEIGHT / 2 / math.tan(math.radians(fov_deg) / 2) * zoom


def _pose(camera: ViewerCamera, name: str) -> tuple[Point, Quaternion]:
    """Position and camera-to-world rotation in the viewer's axes."""
    position = _point(camera, "position", name)
    quaternion = camera.get("quaternion")
    if quaternion:
        values = [_number(quaternion.get(axis), f"quaternion of {name}") for axis in "xyzw"]
        length = math.hypot(*values)
        if length > 0:
            x, y, z, w = (value / length for value in values)
            return position, (x, y, z, w)
    return position, _look_at(position, _point(camera, "target", name), name)


def _look_at(position: Point, target: Point, name: str) -> Quaternion:
    """Rotation of a camera that looks at a point, its head up (+y); looking straight up or down, its right is +x."""
    backward = [a - b for a, b in zip(position, target, strict=True)]
    length = math.hypot(*backward)
    if length == 0:
        raise InputError(f"{_first_upper(name)} stands on the point it looks at.", do="Move it in the 3D viewer.")
    bx, by, bz = (value / length for value in backward)
    flat = math.hypot(bx, bz)
    right = (bz / flat, 0.0, -bx / flat) if flat > 1e-9 else (1.0, 0.0, 0.0)
    up = (by * right[2] - bz * right[1], bz * right[0] - bx * right[2], bx * right[1] - by * right[0])
    return quaternion_from_rotation(list(zip(right, up, (bx, by, bz), strict=True)))


def _point(camera: ViewerCamera, key: str, name: str) -> Point:
    value = camera.get(key)
    if not isinstance(value, Mapping):
        raise InputError(
            f"{_first_upper(name)} has no {key}.", got=repr(value)[:60], do="Open its 3D viewer once, then queue again."
        )
    x, y, z = (_number(value.get(axis), f"{key} of {name}") for axis in "xyz")
    return x, y, z


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"The {what} is not a number.", got=repr(value)[:60])
    return number


def _first_upper(text: str) -> str:
    """As the beginning of a sentence."""
    return text[:1].upper() + text[1:]
