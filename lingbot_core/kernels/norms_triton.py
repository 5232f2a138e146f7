# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportCallIssue=false, reportArgumentType=false
"""Triton twins of :mod:`lingbot_core.kernels.norms`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.kernels.triton_rows import block_size, layer_norm, load_row, num_warps, rows_like, store_row


@triton.jit
def layer_norm_modulate_kernel(
    x_ptr,
    shift_ptr,
    scale_ptr,
    out_ptr,
    out_scale_ptr,
    eps,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    FP8: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    x = load_row(x_ptr + row * WIDTH, columns, inside)
    y = layer_norm(x, inside, eps, WIDTH)
    y = y * (1.0 + load_row(scale_ptr, columns, inside)) + load_row(shift_ptr, columns, inside)
    store_row(y, out_ptr, out_scale_ptr, row, columns, inside, WIDTH, FP8)


def layer_norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, eps: float, *, fp8: bool = False
) -> Tensor | RowScaled:
    """See :func:`lingbot_core.kernels.norms.layer_norm_modulate`."""
    assert x.is_contiguous() and shift.is_contiguous() and scale.is_contiguous(), x.stride()
    width = x.shape[1]
    out, values, scales = rows_like(x, fp8=fp8)
    layer_norm_modulate_kernel[(len(x),)](
        x,
        shift,
        scale,
        values,
        scales,
        eps,
        width,
        block_size(width),
        fp8,
        num_warps=num_warps(width, 128 if fp8 else 32),
    )
    return out


@triton.jit
def rms_norm_kernel(x_ptr, weight_ptr, out_ptr, stride, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    x = load_row(x_ptr + row * stride, columns, inside)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / WIDTH + eps) * load_row(weight_ptr, columns, inside)
    store_row(y, out_ptr, out_ptr, row, columns, inside, WIDTH, False)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """See :func:`lingbot_core.kernels.norms.rms_norm`."""
    assert x.stride(1) == 1, x.stride()
    width = x.shape[1]
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    rms_norm_kernel[(len(x),)](x, weight, out, x.stride(0), eps, width, block_size(width), num_warps=num_warps(width))
    return out
