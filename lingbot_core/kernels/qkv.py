# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What lies between the projection to queries, keys and values, and attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.choice import with_triton_twin
from lingbot_core.kernels.rope import rotate

_TRITON = "lingbot_core.kernels.qkv_triton"


@with_triton_twin(_TRITON)
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
    """Normalise and rotate queries and keys, and store keys and values.

    Args:
        qkv: Projected tokens, ``[L, 3 * N * D]``: queries, keys, values.
        norm_q: Weight of the RMS norm of the queries, over all heads together, ``[N * D]``.
        norm_k: Same for the keys.
        eps: Added to the mean square.
        cos: Cosine of each feature pair's rotation, ``[L, D/2]``.
        sin: Sine, likewise.
        k_rows: Where the keys go, ``[S, N, D]``; of one layer.
        v_rows: Where the values go, same shape.
        rows: Row of each token in both, int64 ``[L]``.

    Returns:
        Queries, ``[L, N, D]``.
    """
    q, k, v = _heads(qkv, norm_q, norm_k, eps, cos, sin)
    k_rows.index_copy_(0, rows, k)
    v_rows.index_copy_(0, rows, v)
    return q


@with_triton_twin(_TRITON)
def norm_rope_pack(
    qkv: Tensor, norm_q: Tensor, norm_k: Tensor, eps: float, cos: Tensor, sin: Tensor, num_ranks: int
) -> Tensor:
    """Normalise and rotate queries and keys, and sort everything by the rank that has its head.

    Args:
        qkv: Projected tokens, ``[L, 3 * N * D]``: queries, keys, values.
        norm_q: Weight of the RMS norm of the queries, over all heads together, ``[N * D]``.
        norm_k: Same for the keys.
        eps: Added to the mean square.
        cos: Cosine of each feature pair's rotation, ``[L, D/2]``.
        sin: Sine, likewise.
        num_ranks: R, divides N; rank r has the heads from ``r * N/R`` on.

    Returns:
        ``[R, L, 3, N/R, D]``: queries, keys, values.
    """
    parts = torch.stack(_heads(qkv, norm_q, norm_k, eps, cos, sin), dim=1)  # [L, 3, N, D]
    return parts.unflatten(2, (num_ranks, -1)).movedim(2, 0).contiguous()


@with_triton_twin(_TRITON)
def store_exchanged(received: Tensor, k_rows: Tensor, v_rows: Tensor, rows: Tensor) -> Tensor:
    """Store the keys and values that all ranks sent for the heads that are here; padding is dropped.

    Args:
        received: From each rank its tokens in order, ``[R, l, 3, N, D]``: queries, keys, values. The first L
            of the ``R * l`` tokens are real.
        k_rows: Where the keys go, ``[S, N, D]``; of one layer.
        v_rows: Where the values go, same shape.
        rows: Row of each token in both, int64 ``[L]``.

    Returns:
        Queries, ``[L, N, D]``.
    """
    q, k, v = received.flatten(0, 1)[: len(rows)].unbind(1)
    k_rows.index_copy_(0, rows, k)
    v_rows.index_copy_(0, rows, v)
    return q.contiguous()


def _heads(
    qkv: Tensor, norm_q: Tensor, norm_k: Tensor, eps: float, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normalised and rotated, and values, ``[L, N, D]`` each."""
    q, k, v = qkv.chunk(3, dim=-1)
    q, k = (F.rms_norm(x, x.shape[-1:], weight, eps) for x, weight in ((q, norm_q), (k, norm_k)))
    q, k, v = (x.unflatten(-1, (-1, 2 * cos.shape[1])) for x in (q, k, v))
    return rotate(q, cos, sin), rotate(k, cos, sin), v
