# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Intrinsics (fx, fy, cx, cy) in pixels, and the frame size they refer to.

Upstream states all intrinsics for frames of 480 rows and 832 columns, whatever the
size of the photo; a run of another size stretches them as it stretches the photo.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lingbot_core.errors import InputError

INTRINSICS_HEIGHT, INTRINSICS_WIDTH = 480, 832
"""Frame size that stored intrinsics refer to."""

DEFAULT_INTRINSICS = (502.9, 503.1, 415.8, 239.8)
"""Used when none are given: those of upstream's examples 00 and 02, rounded."""


def check_intrinsics(intrinsics: Tensor, num_poses: int) -> Tensor:
    """Bring intrinsics to one row per pose, or raise.

    Args:
        intrinsics: ``[4]``, ``[1, 4]`` or ``[num_poses, 4]``, float64.
        num_poses: Poses they belong to.

    Returns:
        ``[num_poses, 4]``.

    Raises:
        InputError: Another shape, values that are not finite, focal lengths that are not positive.
    """
    if intrinsics.shape not in ((4,), (1, 4), (num_poses, 4)):
        raise InputError(
            "The camera intrinsics do not fit the poses.",
            got=f"intrinsics of shape {list(intrinsics.shape)} for {num_poses} poses",
            need=f"[4], [1, 4] or [{num_poses}, 4]: fx, fy, cx, cy, once or per pose",
        )
    rows = intrinsics.reshape(-1, 4)
    is_right = rows.isfinite().all(1) & (rows[:, :2] > 0).all(1)
    if not bool(is_right.all()):
        index = int((~is_right).nonzero()[0])
        raise InputError(
            f"Row {index} of the camera intrinsics cannot be used.",
            got=", ".join(f"{value:g}" for value in rows[index].tolist()),
            need="finite fx, fy, cx, cy with positive fx and fy, "
            f"in pixels of a {INTRINSICS_HEIGHT}x{INTRINSICS_WIDTH} (height x width) frame",
        )
    return rows.expand(num_poses, 4).clone()


def default_intrinsics(num_frames: int) -> Tensor:
    """The default intrinsics for every frame, ``[num_frames, 4]``, float64."""
    return torch.tensor(DEFAULT_INTRINSICS, dtype=torch.float64).repeat(num_frames, 1)


def scale_intrinsics(intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Intrinsics after the frame was stretched to another size.

    Args:
        intrinsics: For a frame of 480x832, ``[..., 4]``.
        height: Rows of the stretched frame.
        width: Its columns.

    Returns:
        ``[..., 4]`` in pixels of the stretched frame.
    """
    across, down = width / INTRINSICS_WIDTH, height / INTRINSICS_HEIGHT
    return intrinsics * intrinsics.new_tensor([across, down, across, down])
