# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
"""What the Triton kernels that handle one token per program have in common.

A program holds its token's whole row in registers, in float32, so that each value is read once,
written once and rounded once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.fp8 import RowScaled

FP8_MAX = tl.constexpr(448.0)
"""Largest value of float8_e4m3fn."""

TINY = tl.constexpr(1e-12)
"""Least amax of a row, so that a row of zeros has a scale."""


@triton.jit
def load_row(pointer, columns, inside):
    """A row in float32, with zeros behind its end."""
    return tl.load(pointer + columns, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def layer_norm(x, inside, eps, WIDTH: tl.constexpr):
    """A row with mean 0 and variance 1; values behind its end are meaningless."""
    mean = tl.sum(x, axis=0) / WIDTH
    centred = tl.where(inside, x - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / WIDTH
    return centred * tl.rsqrt(variance + eps)


@triton.jit
def store_row(y, out_ptr, out_scale_ptr, row, columns, inside, WIDTH: tl.constexpr, FP8: tl.constexpr):
    """Write a row to ``out[row]``, with ``FP8`` in 8 bits and its scale to ``out_scale[row]``."""
    if FP8:
        magnitude = tl.where(inside, tl.abs(y), 0.0)
        # as integers, whose order is the same: the maximum of numbers passes over NaN, which here comes last
        amax = tl.max(magnitude.to(tl.int32, bitcast=True), axis=0).to(tl.float32, bitcast=True)
        amax = tl.maximum(amax, TINY, propagate_nan=tl.PropagateNan.ALL)
        tl.store(out_scale_ptr + row, amax * (1.0 / FP8_MAX))
        y = tl.minimum(tl.maximum(y * (tl.div_rn(1.0, amax) * FP8_MAX), -FP8_MAX), FP8_MAX)
    tl.store(out_ptr + row * WIDTH + columns, y.to(out_ptr.dtype.element_ty), mask=inside)


def block_size(width: int) -> int:
    """Values that a program holds for a row: the next power of two."""
    return 1 << (width - 1).bit_length()


def num_warps(width: int, values_per_thread: int = 32) -> int:
    """Warps per program for so many values of a row in each thread, as far as there are warps.

    The fewer warps, the sooner a sum or a maximum over the row is known; the more values, the fewer rows have room.
    """
    return max(1, min(16, block_size(width) // (32 * values_per_thread)))


def rows_like(x: Tensor, *, fp8: bool) -> tuple[Tensor | RowScaled, Tensor, Tensor]:
    """Memory for a result as large as ``x`` ``[L, C]``: the result, its values, and its scales (unused: the values)."""
    if not fp8:
        values = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        return values, values, values
    values = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty((len(x), 1), dtype=torch.float32, device=x.device)
    return RowScaled(values, scale), values, scale
