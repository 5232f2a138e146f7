# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding over time, rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor

_THETA = 10000.0


def rope_angles(
    head_dim: int, frames: range, grid: tuple[int, int], device: torch.device | str | None = None
) -> Tensor:
    """Rotation angle of every feature pair of a chunk's tokens.

    A third of the pairs, rounded down, turns with the row, as many with the column, and the
    rest, which come first, with time. Each axis has its own falling frequencies.

    Args:
        head_dim: D; pairs are features ``(2k, 2k + 1)`` of a head.
        frames: The chunk's latent frames, by their position in the whole rollout.
        grid: Token rows and columns of a latent frame.
        device: Where to compute.

    Returns:
        Angles in rad, float32 ``[L, D/2]``; pairs are ordered time, row, column.
    """
    num_space = head_dim // 6
    num_time = head_dim // 2 - 2 * num_space
    rows, columns = (torch.arange(size, dtype=torch.float32, device=device) for size in grid)
    # position of the chunk plus position in it, as upstream sums it: far from the start, float32 shows the difference
    in_chunk = torch.arange(len(frames), dtype=torch.float32, device=device)
    time_frequencies = _frequencies(num_time, device)
    time_angles = torch.outer(in_chunk, time_frequencies) + frames.start * time_frequencies  # [T, D/2 - 2S]
    row_angles = torch.outer(rows, _frequencies(num_space, device))  # [rows, S]
    column_angles = torch.outer(columns, _frequencies(num_space, device))  # [columns, S]
    shape = (len(frames), *grid, -1)
    angles = [time_angles[:, None, None].expand(shape), row_angles[:, None].expand(shape), column_angles.expand(shape)]
    return torch.cat(angles, dim=-1).flatten(0, 2)


def _frequencies(num_pairs: int, device: torch.device | str | None) -> Tensor:
    """Angle per unit of position of each pair of one axis, float32 ``[num_pairs]``."""
    exponents = torch.arange(num_pairs, dtype=torch.float32, device=device) / num_pairs
    return 1.0 / _THETA**exponents


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring feature pairs.

    Args:
        x: Queries or keys, ``[L, N, D]``.
        cos: Cosine of each pair's angle, ``[L, D/2]``, in the dtype of ``x``.
        sin: Sine, likewise.
    """
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)  # [L, N, D/2] each
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)
