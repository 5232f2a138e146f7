# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Latents to tokens and back.

A token is a patch of 2x2 latent cells of one latent frame. Tokens are ordered by frame,
row, column; the features of a token by channel, row in the patch, column in the patch.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from lingbot_core.timeline import PATCH_SIZE


def patchify(x: Tensor) -> Tensor:
    """Cut ``[T, C, h, w]`` into tokens ``[T * h/2 * w/2, C * 4]``."""
    return rearrange(x, "t c (rows kh) (cols kw) -> (t rows cols) (c kh kw)", kh=PATCH_SIZE, kw=PATCH_SIZE)


def unpatchify(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put tokens ``[L, C * 4]`` back together as ``[T, C, h, w]``; undoes :func:`patchify`.

    Args:
        tokens: Tokens of any number of whole latent frames.
        grid: Token rows and columns of a latent frame.
    """
    return rearrange(
        tokens,
        "(t rows cols) (c kh kw) -> t c (rows kh) (cols kw)",
        rows=grid[0],
        cols=grid[1],
        kh=PATCH_SIZE,
        kw=PATCH_SIZE,
    )
