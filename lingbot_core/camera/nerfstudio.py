# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""nerfstudio's ``transforms.json``, and files of its kind (Instant NGP, Blender).

They keep camera-to-world matrices with OpenGL camera axes (x right, y up, looking down -z) in a world whose z is up.
nerfstudio makes that world from COLMAP's, whose y is down as ours is, by ``applied_transform``; see
https://docs.nerf.studio/quickstart/data_conventions.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lingbot_core.camera.colmap import natural_key, stretched
from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH
from lingbot_core.camera.measured import MAX_WORLD_SCALE, MIN_WORLD_SCALE, MeasuredPath, check_num_poses
from lingbot_core.camera.poses import check_poses
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, CameraTrajectory
from lingbot_core.errors import InputError

Z_UP_FROM_Y_DOWN = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 0.0))
"""nerfstudio's usual ``applied_transform``: (x, y, z) becomes (x, z, -y)."""

SCALE_KEY = "lingbot_world_scale"
"""Where we keep the world scale; marks a file as ours."""

_FLIP = (1.0, -1.0, -1.0)
"""Signs of the camera's axes between OpenCV and OpenGL."""


def looks_like_transforms(value: Any) -> bool:
    """Whether JSON is a ``transforms.json``."""
    return isinstance(value, Mapping) and isinstance(value.get("frames"), list)


def camera_axes_flipped(c2w: Tensor) -> Tensor:
    """Camera-to-world poses with OpenGL camera axes from OpenCV ones, or back; the world stays. ``[..., 4, 4]``."""
    return c2w * c2w.new_tensor([*_FLIP, 1.0])


def read_transforms(value: Mapping[str, Any]) -> MeasuredPath:
    """Camera path of a ``transforms.json``, frames in the order of their file names.

    Raises:
        InputError: Names the place in the JSON.
    """
    frames = value["frames"]
    if not frames:
        raise InputError("frames: there are none.", need="a transforms.json with at least one frame")
    check_num_poses(len(frames))
    rows, lenses = [], []
    for index, frame in enumerate(frames):
        place = f"frames[{index}]"
        if not isinstance(frame, Mapping):
            raise _wrong(place, frame, "an object")
        rows.append(
            (str(frame.get("file_path", "")), _matrix(frame.get("transform_matrix"), f"{place}.transform_matrix"))
        )
        lenses.append(_lens({**_lens_values(value), **_lens_values(frame)}, place))
    order = sorted(range(len(rows)), key=lambda index: natural_key(rows[index][0]))
    matrices = torch.tensor([rows[index][1] for index in order], dtype=torch.float64)
    applied = _matrix(value.get("applied_transform", Z_UP_FROM_Y_DOWN), "applied_transform")
    transform = torch.tensor(applied, dtype=torch.float64)
    try:
        check_poses(transform[None])
    except InputError as error:
        raise _wrong("applied_transform", applied, "a rotation with a translation, no scale") from error
    c2w = camera_axes_flipped(torch.linalg.inv(transform) @ matrices)
    known = [lenses[index] for index in order]
    intrinsics = None if any(lens is None for lens in known) else torch.tensor(known, dtype=torch.float64)
    scale = value.get(SCALE_KEY)
    scale = scale if isinstance(scale, float) and MIN_WORLD_SCALE <= scale <= MAX_WORLD_SCALE else 0.0
    return MeasuredPath(c2w, intrinsics, scale, is_ours=bool(scale))


def write_transforms(trajectory: CameraTrajectory) -> dict[str, Any]:
    """A path as ``transforms.json``, one frame per pixel frame."""
    transform = torch.tensor([*Z_UP_FROM_Y_DOWN, (0, 0, 0, 1)], dtype=torch.float64)
    matrices = (transform @ camera_axes_flipped(trajectory.c2w)).tolist()
    names = ("fl_x", "fl_y", "cx", "cy")
    lenses = [dict(zip(names, row, strict=True)) for row in trajectory.intrinsics.tolist()]
    frames = [
        {"file_path": f"images/frame_{index:05d}.png", "transform_matrix": matrix, **lens}
        for index, (matrix, lens) in enumerate(zip(matrices, lenses, strict=True))
    ]
    return {
        "camera_model": "OPENCV",
        "w": INTRINSICS_WIDTH,
        "h": INTRINSICS_HEIGHT,
        **lenses[0],
        "fps": FRAMES_PER_SECOND,
        SCALE_KEY: float(trajectory.world_scale),
        "applied_transform": [list(row) for row in Z_UP_FROM_Y_DOWN],
        "frames": frames,
    }


def _lens_values(value: Mapping[str, Any]) -> dict[str, Any]:
    names = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x")
    return {name: value[name] for name in names if value.get(name) is not None}


def _lens(values: Mapping[str, Any], place: str) -> list[float] | None:
    """Intrinsics in pixels of a 480x832 frame; None when the file does not tell."""
    numbers = {name: _number(value, f"{place}.{name}") for name, value in values.items()}
    for name, value in numbers.items():
        if value <= 0 and name not in ("cx", "cy"):
            raise _wrong(f"{place}.{name}", value, "a positive number")
    width, height = numbers.get("w", INTRINSICS_WIDTH), numbers.get("h", INTRINSICS_HEIGHT)
    if "fl_x" in numbers:
        if not {"w", "h"} <= numbers.keys():
            raise InputError(f"{place}: the size of the pictures is missing.", need="w and h beside fl_x")
        focal = numbers["fl_x"]
    elif "camera_angle_x" in numbers and numbers["camera_angle_x"] < math.pi:
        focal = width / 2 / math.tan(numbers["camera_angle_x"] / 2)
    else:
        return None
    centre = numbers.get("cx", width / 2), numbers.get("cy", height / 2)
    return stretched((focal, numbers.get("fl_y", focal), *centre), width, height)


def _matrix(value: Any, place: str) -> list[list[float]]:
    """A 4x4 matrix; the last row may be left out."""
    is_matrix = isinstance(value, (list, tuple)) and len(value) in (3, 4)
    if not is_matrix or any(not isinstance(row, (list, tuple)) or len(row) != 4 for row in value):
        raise _wrong(place, value, "a matrix of four rows of four numbers")
    rows = [[_number(item, f"{place}[{i}][{j}]") for j, item in enumerate(row)] for i, row in enumerate(value)]
    return rows if len(rows) == 4 else [*rows, [0.0, 0.0, 0.0, 1.0]]


def _number(value: Any, place: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e12
    if not is_number:  # NaN is not below anything either
        raise _wrong(place, value, "a finite number")
    return float(value)


def _wrong(place: str, value: Any, need: str) -> InputError:
    got = "nothing" if value is None else repr(value)
    return InputError(f"{place}: this cannot be used.", got=got if len(got) <= 60 else f"{got[:57]}...", need=need)
