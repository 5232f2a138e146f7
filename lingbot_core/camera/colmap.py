# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's text models: ``images.txt`` and ``cameras.txt``.

COLMAP keeps world-to-camera rotations (quaternion w, x, y, z) and translations with OpenCV axes, and puts the centre
of the upper left pixel at (0.5, 0.5), as we do. Format: https://colmap.github.io/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch

from lingbot_core.camera.interpolate import inverse, normalized, quaternion_from_rotation, rotation_from_quaternion
from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH, check_intrinsics
from lingbot_core.camera.measured import MAX_WORLD_SCALE, MIN_WORLD_SCALE, MeasuredPath, check_num_poses
from lingbot_core.camera.poses import pose_matrix
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError

SCALE_NOTE = "# LingBot-World world scale:"
"""Begins the comment in which we keep the world scale; marks a file as ours."""

_ONE_FOCAL = {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"}
_TWO_FOCALS = {"PINHOLE", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE", "FOV", "THIN_PRISM_FISHEYE"}

Matrix = list[list[float]]


def looks_like_images(text: str) -> bool:
    """Whether a text is an ``images.txt``: its first line of data has an id, seven numbers, a camera and a name."""
    parts = next(iter(_data_lines(text)), (0, ""))[1].split(maxsplit=9)
    return len(parts) == 10 and all(map(_is_number, parts[:9]))


def looks_like_cameras(text: str) -> bool:
    """Whether a text is a ``cameras.txt``: its first line of data has an id, a model, a size and parameters."""
    parts = next(iter(_data_lines(text)), (0, ""))[1].split()
    return len(parts) >= 7 and parts[1] in _ONE_FOCAL | _TWO_FOCALS


def read_colmap(images: str, cameras: str | None = None) -> MeasuredPath:
    """Camera path of a text model, images in the order of their names.

    Args:
        images: Contents of ``images.txt``.
        cameras: Contents of ``cameras.txt``; None when there is none.

    Raises:
        InputError: Names the line that is wrong.
    """
    lenses = None if cameras is None else _read_cameras(cameras)
    rows = []
    lines = iter(_data_lines(images, keep_empty=True))
    for number, line in lines:
        if not line:
            continue
        check_num_poses(len(rows) + 1)
        rows.append((*_read_image(number, line), number))
        next(lines, None)  # the points seen in it
    if not rows:
        raise InputError("images.txt: there are no images.", need="a COLMAP model saved as text")
    rows.sort(key=lambda row: natural_key(row[0]))
    intrinsics = None
    if lenses is not None:
        for _, _, camera_id, number in rows:
            if camera_id not in lenses:
                raise InputError(f"images.txt line {number}: camera {camera_id} is not in cameras.txt.")
        intrinsics = torch.tensor([lenses[row[2]] for row in rows], dtype=torch.float64)
    note = re.search(rf"^{re.escape(SCALE_NOTE)}\s*(\S+)\s*$", images, re.MULTILINE)
    world_scale = float(note[1]) if note and _is_number(note[1]) else 0.0
    world_scale = world_scale if MIN_WORLD_SCALE <= world_scale <= MAX_WORLD_SCALE else 0.0
    poses = torch.tensor([row[1] for row in rows], dtype=torch.float64)
    return MeasuredPath(poses, intrinsics, world_scale, is_ours=bool(world_scale))


def write_colmap(trajectory: CameraTrajectory) -> dict[str, str]:
    """A path as the files of a text model, one image per pixel frame, one camera per lens."""
    lenses: dict[tuple[float, ...], int] = {}
    images = [
        "# Image list with two lines of data per image:",
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
        "#   POINTS2D[] as (X, Y, POINT3D_ID)",
        f"{SCALE_NOTE} {trajectory.world_scale!r}",
    ]
    rows = zip(trajectory.c2w.tolist(), trajectory.intrinsics.tolist(), strict=True)
    for frame, (pose, lens) in enumerate(rows):
        camera_id = lenses.setdefault(tuple(lens), len(lenses) + 1)
        x, y, z, w = inverse(quaternion_from_rotation(pose))
        rotation = rotation_from_quaternion((x, y, z, w))
        shift = [-sum(rotation[i][k] * pose[k][3] for k in range(3)) for i in range(3)]
        numbers = " ".join(repr(value) for value in (w, x, y, z, *shift))
        images += [f"{frame + 1} {numbers} {camera_id} frame_{frame:05d}.png", ""]
    cameras = ["# Camera list with one line of data per camera:", "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for lens, camera_id in lenses.items():
        params = " ".join(repr(value) for value in lens)
        cameras.append(f"{camera_id} PINHOLE {INTRINSICS_WIDTH} {INTRINSICS_HEIGHT} {params}")
    points = "# 3D point list, empty: the path is not measured\n"
    return {"cameras.txt": "\n".join(cameras) + "\n", "images.txt": "\n".join(images) + "\n", "points3D.txt": points}


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts ``frame_9`` before ``frame_10``."""
    # digits beyond int's limit on text are compared as text
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() and len(part) < 1000 else (1, 0, part) for part in parts]


def _data_lines(text: str, keep_empty: bool = False) -> list[tuple[int, str]]:
    """Lines that are no comments, stripped, with their numbers from 1."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if not line.startswith("#") and (line or keep_empty)]


def _read_image(number: int, line: str) -> tuple[str, Matrix, str]:
    """Name, camera-to-world matrix and camera id of an image's first line."""
    parts = line.split(maxsplit=9)
    if len(parts) < 10:
        raise _wrong("images.txt", number, line, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
    w, x, y, z, *shift = _floats("images.txt", number, parts[1:8])
    if math.hypot(w, x, y, z) < 1e-6:
        raise _wrong("images.txt", number, line, "a quaternion that is not zero")
    rotation = rotation_from_quaternion(inverse(normalized((x, y, z, w))))
    place = [-sum(rotation[i][k] * shift[k] for k in range(3)) for i in range(3)]
    return parts[9], pose_matrix(rotation, place), parts[8]


def _read_cameras(text: str) -> dict[str, Sequence[float]]:
    """Intrinsics in pixels of a 480x832 frame by camera id."""
    lenses: dict[str, Sequence[float]] = {}
    for number, line in _data_lines(text):
        parts = line.split()
        if len(parts) < 7 or parts[1] not in _ONE_FOCAL | _TWO_FOCALS:
            raise _wrong("cameras.txt", number, line, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS of one of COLMAP's models")
        width, height, *params = _floats("cameras.txt", number, parts[2:])
        if parts[1] in _ONE_FOCAL:
            params = [params[0], *params]
        if len(params) < 4 or width < 1 or height < 1:
            raise _wrong("cameras.txt", number, line, "a size and at least a focal length and a centre")
        lenses[parts[0]] = stretched(params[:4], width, height)
        check_intrinsics(torch.tensor(lenses[parts[0]], dtype=torch.float64), 1)
    return lenses


def stretched(lens: Sequence[float], width: float, height: float) -> list[float]:
    """Intrinsics of a frame of any size as those of a 480x832 frame."""
    across, down = INTRINSICS_WIDTH / width, INTRINSICS_HEIGHT / height
    fx, fy, cx, cy = lens
    return [fx * across, fy * down, cx * across, cy * down]


def _floats(file: str, number: int, parts: Sequence[str]) -> list[float]:
    for part in parts:
        if not _is_number(part):
            raise _wrong(file, number, part, "finite numbers")
    return [float(part) for part in parts]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _wrong(file: str, number: int, got: str, need: str) -> InputError:
    return InputError(
        f"{file} line {number}: this cannot be used.", got=got if len(got) <= 60 else f"{got[:57]}...", need=need
    )
