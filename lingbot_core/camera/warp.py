# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera path shown on the photo alone: what each camera would see if the photo were infinitely far away.

Without depth only the rotation and the lens can be shown. For a camera that turns on the spot this is exactly what it
sees; what the photo does not show is black.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.camera.intrinsics import scale_intrinsics
from lingbot_core.camera.trajectory import CameraTrajectory


def rotation_homographies(trajectory: CameraTrajectory, frames: Tensor, height: int, width: int) -> Tensor:
    """Where in the photo each camera's pixels are.

    A pixel's ray is turned from its camera to the first one, which took the photo:
    ``K_0 R_0^T R_f K_f^-1``.

    Args:
        trajectory: The path.
        frames: Pixel frames, int64 ``[N]``.
        height: Rows of photo and pictures.
        width: Their columns.

    Returns:
        ``[N, 3, 3]``, float64: homogeneous pixel coordinates (pixel centres at halves) of a frame to those of the
        photo. A third coordinate that is not positive is behind the photo's camera.
    """
    lenses = scale_intrinsics(trajectory.intrinsics, height, width)
    rotations = trajectory.c2w[:, :3, :3]
    to_photo = rotations[0].mT @ rotations[frames]
    return _lens_matrices(lenses[:1]) @ to_photo @ torch.linalg.inv(_lens_matrices(lenses[frames]))


def warp_photo(photo: Tensor, homographies: Tensor) -> Tensor:
    """The photo through homographies, linearly interpolated.

    Args:
        photo: ``[H, W, 3]``, float32.
        homographies: From pixels of the results to pixels of the photo, float64 ``[N, 3, 3]``.

    Returns:
        ``[N, H, W, 3]``, float32; zero where the photo shows nothing.
    """
    height, width = photo.shape[:2]
    x = torch.arange(width, dtype=torch.float64) + 0.5
    y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5
    planes = photo.permute(2, 0, 1)[None].contiguous()  # [1, 3, H, W]
    pictures = torch.empty(len(homographies), height, width, photo.shape[2])
    for index, matrix in enumerate(homographies):  # one by one: a long path at full size would need gigabytes
        right, down, ahead = (row[0] * x + row[1] * y + row[2] for row in matrix)  # [H, W] each
        is_ahead = ahead > 1e-9
        ahead = ahead.where(is_ahead, ahead.new_ones(()))
        # grid_sample's coordinates: -1 and 1 are the outer edges of the outer pixels
        grid = torch.stack([2 * right / ahead / width - 1, 2 * down / ahead / height - 1], dim=-1)
        is_inside = is_ahead & (grid.abs() <= 1).all(-1)
        sampled = F.grid_sample(
            planes, grid[None].float().clamp(-2, 2), mode="bilinear", padding_mode="border", align_corners=False
        )
        pictures[index] = sampled[0].permute(1, 2, 0) * is_inside[..., None]
    return pictures


def rotation_preview(photo: Tensor, trajectory: CameraTrajectory, frames: Tensor, height: int, width: int) -> Tensor:
    """What the cameras see of a photo, as far as their rotation and lens tell.

    Args:
        photo: What the first camera sees, ``[H, W, 3]`` in 0..1, of any size; stretched as the run stretches it.
        trajectory: The path.
        frames: Pixel frames wanted, int64 ``[N]``.
        height: Rows of the pictures.
        width: Their columns.

    Returns:
        ``[N, height, width, 3]``, float32, 0..1.
    """
    planes = photo.detach().cpu().float().nan_to_num().permute(2, 0, 1)[None]
    small = F.interpolate(planes, (height, width), mode="bilinear", antialias=True, align_corners=False)
    scaled = small[0].permute(1, 2, 0).clamp(0, 1)
    return warp_photo(scaled, rotation_homographies(trajectory, frames, height, width))


def _lens_matrices(lenses: Tensor) -> Tensor:
    """(fx, fy, cx, cy) ``[N, 4]`` as ``[N, 3, 3]``."""
    matrices = torch.zeros(len(lenses), 3, 3, dtype=lenses.dtype)
    fx, fy, cx, cy = lenses.unbind(1)
    matrices[:, 0, 0], matrices[:, 0, 2] = fx, cx
    matrices[:, 1, 1], matrices[:, 1, 2] = fy, cy
    matrices[:, 2, 2] = 1
    return matrices
