# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
# pyright: reportCallIssue=false
"""Triton twin of :mod:`lingbot_core.kernels.qkv`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lingbot_core.kernels.triton_rows import block_size, load_row, num_warps


@triton.jit
def norm_rope_store_kernel(
    qkv_ptr,
    norm_q_ptr,
    norm_k_ptr,
    cos_ptr,
    sin_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    rows_ptr,
    eps,
    WIDTH: tl.constexpr,
    HALF_HEAD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program per token and part: 0 is its query, 1 its key, 2 its value."""
    token = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    source = qkv_ptr + (3 * token + part) * WIDTH
    row = token
    if part > 0:
        row = tl.load(rows_ptr + token).to(tl.int64)
    if part == 2:
        value = tl.load(source + columns, mask=inside)
        tl.store(v_ptr + row * WIDTH + columns, value, mask=inside)
    else:
        weight_ptr = norm_q_ptr
        target = q_ptr
        if part == 1:
            weight_ptr = norm_k_ptr
            target = k_ptr
        x = load_row(source, columns, inside)
        y = x * tl.rsqrt(tl.sum(x * x, axis=0) / WIDTH + eps) * load_row(weight_ptr, columns, inside)
        pairs = tl.arange(0, BLOCK // 2)
        angle = token * HALF_HEAD + pairs % HALF_HEAD
        cos = tl.load(cos_ptr + angle, mask=pairs < WIDTH // 2, other=0.0).to(tl.float32)
        sin = tl.load(sin_ptr + angle, mask=pairs < WIDTH // 2, other=0.0).to(tl.float32)
        first, second = tl.split(tl.reshape(y, (BLOCK // 2, 2)))
        rotated = tl.join(first * cos - second * sin, second * cos + first * sin)
        rotated = tl.reshape(rotated, (BLOCK,)).to(q_ptr.dtype.element_ty)
        tl.store(target + row * WIDTH + columns, rotated, mask=inside)


def norm_rope_store(
    qkv: Tensor,
    norm_q: Tensor,
    norm_k: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
    k_rows: Tensor,
    v_rows: Tensor,
    rows: Tensor,
) -> Tensor:
    """See :func:`lingbot_core.kernels.qkv.norm_rope_store`."""
    assert qkv.is_contiguous() and k_rows.is_contiguous() and v_rows.is_contiguous(), (qkv.stride(), k_rows.stride())
    assert cos.is_contiguous() and sin.is_contiguous() and cos.shape[0] == len(qkv), (cos.shape, qkv.shape)
    heads, head_dim = k_rows.shape[1:]
    width = heads * head_dim
    q = torch.empty((len(qkv), heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    norm_rope_store_kernel[(len(qkv), 3)](
        qkv,
        norm_q,
        norm_k,
        cos,
        sin,
        q,
        k_rows,
        v_rows,
        rows,
        eps,
        width,
        head_dim // 2,
        block_size(width),
        num_warps=num_warps(width),
    )
    return q
