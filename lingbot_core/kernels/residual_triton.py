# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportCallIssue=false
"""Triton twins of :mod:`lingbot_core.kernels.residual`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.kernels.triton_rows import block_size, layer_norm, load_row, num_warps, rows_like, store_row


@triton.jit
def gated_residual_affine_layer_norm_kernel(
    x_ptr,
    update_ptr,
    gate_ptr,
    scale_shift_ptr,
    weight_ptr,
    bias_ptr,
    x_out_ptr,
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
    x += load_row(update_ptr + row * WIDTH, columns, inside) * load_row(gate_ptr, columns, inside)
    scale = load_row(scale_shift_ptr + 2 * row * WIDTH, columns, inside)
    x = (1.0 + scale) * x + load_row(scale_shift_ptr + (2 * row + 1) * WIDTH, columns, inside)
    tl.store(x_out_ptr + row * WIDTH + columns, x.to(x_out_ptr.dtype.element_ty), mask=inside)
    y = layer_norm(x, inside, eps, WIDTH)
    y = y * load_row(weight_ptr, columns, inside) + load_row(bias_ptr, columns, inside)
    store_row(y, out_ptr, out_scale_ptr, row, columns, inside, WIDTH, FP8)


def gated_residual_affine_layer_norm(
    x: Tensor,
    update: Tensor,
    gate: Tensor,
    scale_shift: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    *,
    fp8: bool = False,
) -> tuple[Tensor, Tensor | RowScaled]:
    """See :func:`lingbot_core.kernels.residual.gated_residual_affine_layer_norm`."""
    assert x.is_contiguous() and update.is_contiguous() and scale_shift.is_contiguous(), (x.stride(), update.stride())
    width = x.shape[1]
    x_out = torch.empty_like(x)
    out, values, scales = rows_like(x, fp8=fp8)
    gated_residual_affine_layer_norm_kernel[(len(x),)](
        x,
        update,
        gate,
        scale_shift,
        weight,
        bias,
        x_out,
        values,
        scales,
        eps,
        width,
        block_size(width),
        fp8,
        num_warps=num_warps(width, 64 if fp8 else 32),
    )
    return x_out, out


@triton.jit
def gated_residual_layer_norm_modulate_kernel(
    x_ptr,
    update_ptr,
    gate_ptr,
    shift_ptr,
    scale_ptr,
    x_out_ptr,
    out_ptr,
    out_scale_ptr,
    eps,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    GATED: tl.constexpr,
    FP8: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    x = load_row(x_ptr + row * WIDTH, columns, inside)
    update = load_row(update_ptr + row * WIDTH, columns, inside)
    if GATED:
        update *= load_row(gate_ptr, columns, inside)
    x += update
    tl.store(x_out_ptr + row * WIDTH + columns, x.to(x_out_ptr.dtype.element_ty), mask=inside)
    y = layer_norm(x, inside, eps, WIDTH)
    y = y * (1.0 + load_row(scale_ptr, columns, inside)) + load_row(shift_ptr, columns, inside)
    store_row(y, out_ptr, out_scale_ptr, row, columns, inside, WIDTH, FP8)


def gated_residual_layer_norm_modulate(
    x: Tensor,
    update: Tensor,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    eps: float,
    *,
    fp8: bool = False,
) -> tuple[Tensor, Tensor | RowScaled]:
    """See :func:`lingbot_core.kernels.residual.gated_residual_layer_norm_modulate`."""
    assert x.is_contiguous() and update.is_contiguous(), (x.stride(), update.stride())
    width = x.shape[1]
    x_out = torch.empty_like(x)
    out, values, scales = rows_like(x, fp8=fp8)
    gated_residual_layer_norm_modulate_kernel[(len(x),)](
        x,
        update,
        x if gate is None else gate,
        shift,
        scale,
        x_out,
        values,
        scales,
        eps,
        width,
        block_size(width),
        gate is not None,
        fp8,
        num_warps=num_warps(width, 64 if fp8 else 32),
    )
    return x_out, out
