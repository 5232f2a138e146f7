# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportCallIssue=false, reportArgumentType=false
"""Triton twin of :mod:`lingbot_core.kernels.activations`."""

from __future__ import annotations

from typing import Literal

import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.kernels.triton_rows import block_size, load_row, num_warps, rows_like, store_row

FLAT_BLOCK = 4096
"""Values per program where rows do not matter."""


@triton.jit
def _activate(x, GELU: tl.constexpr):
    if GELU:  # 0.5 (1 + tanh u) = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), in powers of 2
        return x / (1.0 + tl.exp2(x * (-2.302208198144325 - 0.1029432395800235 * x * x)))
    return x / (1.0 + tl.exp2(-1.4426950408889634 * x))


@triton.jit
def activate_kernel(x_ptr, num_values, BLOCK: tl.constexpr, GELU: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < num_values
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
    tl.store(x_ptr + offsets, _activate(x, GELU).to(x_ptr.dtype.element_ty), mask=inside)


@triton.jit
def activate_fp8_kernel(x_ptr, out_ptr, out_scale_ptr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, GELU: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    y = _activate(load_row(x_ptr + row * WIDTH, columns, inside), GELU)
    store_row(y, out_ptr, out_scale_ptr, row, columns, inside, WIDTH, True)


def activate(x: Tensor, function: Literal["gelu", "silu"], *, fp8: bool = False) -> Tensor | RowScaled:
    """See :func:`lingbot_core.kernels.activations.activate`."""
    assert x.is_contiguous(), x.stride()
    gelu, width = function == "gelu", x.shape[1]
    if not fp8:
        activate_kernel[(triton.cdiv(x.numel(), FLAT_BLOCK),)](x, x.numel(), FLAT_BLOCK, gelu, num_warps=4)
        return x
    out, values, scales = rows_like(x, fp8=True)
    activate_fp8_kernel[(len(x),)](x, values, scales, width, block_size(width), gelu, num_warps=num_warps(width, 128))
    return out
