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
def norm_rope_row(
    source,
    weight_ptr,
    cos_ptr,
    sin_ptr,
    token,
    columns,
    inside,
    eps,
    WIDTH: tl.constexpr,
    HALF_HEAD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A token's query or key, normalised and rotated, in float32."""
    x = load_row(source, columns, inside)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / WIDTH + eps) * load_row(weight_ptr, columns, inside)
    pairs = tl.arange(0, BLOCK // 2)
    angle = token * HALF_HEAD + pairs % HALF_HEAD
    cos = tl.load(cos_ptr + angle, mask=pairs < WIDTH // 2, other=0.0).to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=pairs < WIDTH // 2, other=0.0).to(tl.float32)
    first, second = tl.split(tl.reshape(y, (BLOCK // 2, 2)))
    rotated = tl.join(first * cos - second * sin, second * cos + first * sin)
    return tl.reshape(rotated, (BLOCK,))


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
        rotated = norm_rope_row(
            source, weight_ptr, cos_ptr, sin_ptr, token, columns, inside, eps, WIDTH, HALF_HEAD, BLOCK
        )
        tl.store(target + row * WIDTH + columns, rotated.to(q_ptr.dtype.element_ty), mask=inside)


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


@triton.jit
def norm_rope_pack_kernel(
    qkv_ptr,
    norm_q_ptr,
    norm_k_ptr,
    cos_ptr,
    sin_ptr,
    packed_ptr,
    num_tokens,
    eps,
    WIDTH: tl.constexpr,
    RANK_WIDTH: tl.constexpr,
    HALF_HEAD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program per token and part: 0 is its query, 1 its key, 2 its value."""
    token = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    source = qkv_ptr + (3 * token + part) * WIDTH
    first_row = (columns // RANK_WIDTH).to(tl.int64) * num_tokens  # of the rank that has the column's head
    target = packed_ptr + (3 * (first_row + token) + part) * RANK_WIDTH + columns % RANK_WIDTH
    if part == 2:
        tl.store(target, tl.load(source + columns, mask=inside), mask=inside)
    else:
        weight_ptr = norm_q_ptr
        if part == 1:
            weight_ptr = norm_k_ptr
        rotated = norm_rope_row(
            source, weight_ptr, cos_ptr, sin_ptr, token, columns, inside, eps, WIDTH, HALF_HEAD, BLOCK
        )
        tl.store(target, rotated.to(packed_ptr.dtype.element_ty), mask=inside)


def norm_rope_pack(
    qkv: Tensor, norm_q: Tensor, norm_k: Tensor, eps: float, cos: Tensor, sin: Tensor, num_ranks: int
) -> Tensor:
    """See :func:`lingbot_core.kernels.qkv.norm_rope_pack`."""
    assert qkv.is_contiguous() and cos.is_contiguous() and sin.is_contiguous(), (qkv.stride(), cos.stride())
    num_tokens, head_dim = len(qkv), 2 * cos.shape[1]
    width = qkv.shape[1] // 3
    num_heads = width // head_dim // num_ranks
    assert len(cos) == num_tokens and num_heads * num_ranks * head_dim == width, (cos.shape, qkv.shape, num_ranks)
    packed = torch.empty((num_ranks, num_tokens, 3, num_heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    norm_rope_pack_kernel[(num_tokens, 3)](
        qkv,
        norm_q,
        norm_k,
        cos,
        sin,
        packed,
        num_tokens,
        eps,
        width,
        width // num_ranks,
        head_dim // 2,
        block_size(width),
        num_warps=num_warps(width),
    )
    return packed


@triton.jit
def store_exchanged_kernel(received_ptr, q_ptr, k_ptr, v_ptr, rows_ptr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """One program per token and part: 0 is its query, 1 its key, 2 its value."""
    token = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    row = token
    target = q_ptr
    if part > 0:
        row = tl.load(rows_ptr + token).to(tl.int64)
        target = k_ptr
        if part == 2:
            target = v_ptr
    x = tl.load(received_ptr + (3 * token + part) * WIDTH + columns, mask=inside)
    tl.store(target + row * WIDTH + columns, x, mask=inside)


def store_exchanged(received: Tensor, k_rows: Tensor, v_rows: Tensor, rows: Tensor) -> Tensor:
    """See :func:`lingbot_core.kernels.qkv.store_exchanged`."""
    assert received.is_contiguous() and k_rows.is_contiguous() and v_rows.is_contiguous(), (received.stride(),)
    assert received.shape[3:] == k_rows.shape[1:], (received.shape, k_rows.shape)
    q = torch.empty((len(rows), *k_rows.shape[1:]), dtype=received.dtype, device=received.device)
    width = q.shape[1] * q.shape[2]
    store_exchanged_kernel[(len(rows), 3)](
        received, q, k_rows, v_rows, rows, width, block_size(width), num_warps=num_warps(width)
    )
    return q
