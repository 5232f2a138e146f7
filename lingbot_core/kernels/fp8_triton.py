# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportCallIssue=false, reportArgumentType=false
"""Triton twin of :func:`lingbot_core.kernels.fp8.quantise_rows`, with the same bits."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.kernels.triton_rows import block_size, load_row, num_warps, rows_like, store_row


@triton.jit
def quantise_rows_kernel(x_ptr, out_ptr, out_scale_ptr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    store_row(load_row(x_ptr + row * WIDTH, columns, inside), out_ptr, out_scale_ptr, row, columns, inside, WIDTH, True)


def quantise_rows(x: Tensor) -> RowScaled:
    """See :func:`lingbot_core.kernels.fp8.quantise_rows`."""
    x = x.contiguous()
    width = x.shape[1]
    out, values, scales = rows_like(x, fp8=True)
    assert isinstance(out, RowScaled)
    quantise_rows_kernel[(len(x),)](x, values, scales, width, block_size(width), num_warps=num_warps(width, 64))
    return out
