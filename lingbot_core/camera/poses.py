# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera-to-world poses: checking, relating and resampling them.

Axes are OpenCV's everywhere: x right, y down, z forward. All in float64, because the
coordinates of real footage reach thousands while steps are fractions of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lingbot_core.camera.interpolate import quaternion_from_rotation, rotation_from_quaternion, slerp
from lingbot_core.errors import InputError

DEFAULT_WORLD_SCALE = 1.271182656288147
"""World scale of paths that were not measured: upstream's interactive default, that of its example 00."""

RIGID_TOLERANCE = 1e-3
"""Largest deviation of ``R R^T`` from the identity and of the last row from (0, 0, 0, 1)."""

STATIC_TOLERANCE = 2.0**-22
"""Steps below this fraction of the largest coordinate are float32 rounding, not motion."""

Rows = Sequence[Sequence[float]]
"""A 3x3 rotation as nested sequences."""


def check_poses(c2w: Tensor) -> None:
    """Raise unless these are rigid camera-to-world poses.

    Args:
        c2w: Supposed poses, ``[N, 4, 4]``, float64.

    Raises:
        InputError: Names the first pose that is wrong, and how.
    """
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise InputError(
            "The camera poses have the wrong shape.",
            got=str(list(c2w.shape)),
            need="[N, 4, 4], one camera-to-world matrix per frame",
        )
    _require(c2w.isfinite().all((1, 2)), "holds a value that is not finite", "remove NaN and infinities")
    last_row_error = (c2w[:, 3] - c2w.new_tensor([0, 0, 0, 1])).abs().amax(1)
    _require(last_row_error <= RIGID_TOLERANCE, "does not end with the row 0 0 0 1", "is the matrix transposed?")
    rotations = c2w[:, :3, :3]
    error = (rotations @ rotations.mT - torch.eye(3, dtype=c2w.dtype)).abs().amax((1, 2))
    _require(error <= RIGID_TOLERANCE, "is not rigid: its axes are not orthonormal", "remove scale and shear")
    _require(torch.linalg.det(rotations) > 0, "mirrors the world: its determinant is -1", "flip one axis back")


def _require(is_right: Tensor, what: str, hint: str) -> None:
    """Raise for the first pose that is not right."""
    if not bool(is_right.all()):
        index = int((~is_right).nonzero()[0])
        raise InputError(
            f"Camera pose {index} {what}.",
            need="rigid camera-to-world matrices [R | t] with OpenCV axes (x right, y down, z forward)",
            do=f"Correct the poses: {hint}",
        )


def relative_poses(c2w: Tensor, anchor_c2w: Tensor) -> Tensor:
    """Express each camera relative to the one before it.

    Subtracts positions before rotating, so that what stands still is exactly zero however
    far from the origin it stands.

    Args:
        c2w: Camera-to-world poses, ``[T, 4, 4]``, float64.
        anchor_c2w: Pose that precedes ``c2w[0]``, ``[4, 4]``.

    Returns:
        Poses in the frame of their predecessor, ``[T, 4, 4]``.
    """
    previous = torch.cat([anchor_c2w[None], c2w[:-1]])  # [T, 4, 4]
    to_previous = previous[:, :3, :3].mT
    relative = torch.zeros_like(c2w)
    relative[:, :3, :3] = to_previous @ c2w[:, :3, :3]
    relative[:, :3, 3:] = to_previous @ (c2w[:, :3, 3:] - previous[:, :3, 3:])
    relative[:, 3, 3] = 1
    return relative


def measure_world_scale(c2w: Tensor) -> float:
    """World scale of a whole path: its longest step, upstream's rule evaluated in float64.

    Args:
        c2w: One pose per latent frame, ``[T, 4, 4]``.

    Returns:
        The longest step between neighbours; 1 for a path that does not move.
    """
    positions = c2w[:, :3, 3]
    longest = float((positions[1:] - positions[:-1]).norm(dim=1).max())
    return longest if longest > STATIC_TOLERANCE * float(positions.abs().max()) else 1.0


def resample_poses(c2w: Tensor, num_poses: int) -> Tensor:
    """Read a path at evenly spaced positions, first and last pose included.

    Positions are interpolated linearly, rotations on the shortest arc.

    Args:
        c2w: Poses, ``[N, 4, 4]``, at least two.
        num_poses: How many are wanted, at least two.

    Returns:
        ``[num_poses, 4, 4]``, rotations exactly orthonormal.
    """
    rows = c2w.tolist()
    resampled = []
    for index in range(num_poses):
        position = index * (len(rows) - 1) / (num_poses - 1)
        before = min(math.floor(position), len(rows) - 2)
        weight = position - before
        start, end = rows[before], rows[before + 1]
        turn = slerp(quaternion_from_rotation(start), quaternion_from_rotation(end), weight)
        place = [start[axis][3] + weight * (end[axis][3] - start[axis][3]) for axis in range(3)]
        resampled.append(pose_matrix(rotation_from_quaternion(turn), place))
    return torch.tensor(resampled, dtype=torch.float64)


def pose_matrix(rotation: Rows, position: Sequence[float]) -> list[list[float]]:
    """A 4x4 camera-to-world matrix as nested lists."""
    return [[*rotation[axis], position[axis]] for axis in range(3)] + [[0.0, 0.0, 0.0, 1.0]]


def yaw_rotation(yaw_rad: float) -> list[list[float]]:
    """Rotation about the downward axis; positive turns the view to the right."""
    cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
    return [[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]


def pitch_rotation(pitch_rad: float) -> list[list[float]]:
    """Rotation about the rightward axis; positive tips the view up."""
    cosine, sine = math.cos(pitch_rad), math.sin(pitch_rad)
    return [[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]]


def compose(first: Rows, second: Rows) -> list[list[float]]:
    """Product of two 3x3 matrices."""
    columns = list(zip(*(row[:3] for row in second[:3]), strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in first]
