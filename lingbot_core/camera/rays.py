# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Ray maps: how the network sees a camera.

Six channels per pixel, origin then direction of its ray in the frame of the previous latent
frame's camera. Upstream calls this Plücker, but there is no cross product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.camera.trajectory import ChunkCamera
from lingbot_core.timeline import PATCH_SIZE, SIZE_MULTIPLE, SPATIAL_STRIDE, token_grid
from lingbot_core.transfer import to_device


def ray_map(relative_poses: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Rays through the pixel centres.

    Args:
        relative_poses: Scaled relative poses, ``[T, 4, 4]``, float32.
        intrinsics: (fx, fy, cx, cy) in pixels of the frame, ``[T, 4]``, float32.
        height: Rows of the frame.
        width: Its columns.

    Returns:
        ``[T, 6, H, W]``, float32, on the device of the poses: the origin, the same for all
        pixels, then the unit direction.
    """
    device = relative_poses.device
    fx, fy, cx, cy = (value[:, None, None] for value in intrinsics.unbind(1))  # [T, 1, 1] each
    x = ((torch.arange(width, device=device) + 0.5) - cx) / fx  # [T, 1, W]
    y = ((torch.arange(height, device=device)[:, None] + 0.5) - cy) / fy  # [T, H, 1]
    depth = 1.0 / torch.sqrt(x * x + y * y + 1.0)  # [T, H, W]; z of the unit direction
    # Sums of products and not a matrix product, which a GPU might do in TF32.
    right, down, forward = relative_poses[:, :3, :3, None, None].unbind(2)  # [T, 3, 1, 1] each
    directions = (right * x[:, None] + down * y[:, None] + forward) * depth[:, None]  # [T, 3, H, W]
    origins = relative_poses[:, :3, 3, None, None].expand_as(directions)
    return torch.cat([origins, directions], dim=1)


def camera_volume(rays: Tensor) -> Tensor:
    """Fold the 8x8 pixels of each latent cell into channels.

    Args:
        rays: ``[T, 6, H, W]``.

    Returns:
        ``[T, 384, h, w]``, channel = 64 * ray channel + 8 * row in the cell + column in it.
    """
    return F.pixel_unshuffle(rays, SPATIAL_STRIDE)


def ray_tokens(rays: Tensor) -> Tensor:
    """Fold the pixels of each token into features.

    The same as patchifying :func:`camera_volume` like a latent, in one step.

    Args:
        rays: ``[T, 6, H, W]``.

    Returns:
        ``[L, 1536]``, tokens in the order (frame, row, column), features in the order
        (volume channel, latent row in the patch, latent column in it).
    """
    num_frames, num_channels, height, width = rays.shape
    rows, columns = token_grid(height, width)
    cells = rays.reshape(
        num_frames, num_channels, rows, PATCH_SIZE, SPATIAL_STRIDE, columns, PATCH_SIZE, SPATIAL_STRIDE
    )  # [T, 6, rows, kh, y8, columns, kw, x8]
    return cells.permute(0, 2, 5, 1, 4, 7, 3, 6).reshape(num_frames * rows * columns, -1)


def camera_tokens(
    camera: ChunkCamera, height: int, width: int, device: torch.device | str, dtype: torch.dtype
) -> Tensor:
    """The network's camera input for one chunk.

    Args:
        camera: Camera of the chunk.
        height: Rows of the frame, a multiple of 16.
        width: Its columns, a multiple of 16.
        device: Where the rays are computed, in float32.
        dtype: What they are cast to.

    Returns:
        ``[L, 1536]``.
    """
    assert height % SIZE_MULTIPLE == width % SIZE_MULTIPLE == 0, (height, width)
    rays = ray_map(to_device(camera.relative_poses, device), to_device(camera.intrinsics, device), height, width)
    return ray_tokens(rays).to(dtype)
