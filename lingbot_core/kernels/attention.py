# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Attention without mask, by the fastest exact backend that works here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_log = logging.getLogger(__name__)

_Backend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention over ``[1, N, L, D]`` queries and ``[1, N, S, D]`` keys and values."""

_names: dict[_Backend, str] = {}
"""Backends chosen so far, with their names."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(D)) v``, each query over all keys.

    Args:
        q: Queries, ``[L, N, D]``.
        k: Keys, ``[S, N, D]``; may be a view.
        v: Values, like ``k``.

    Returns:
        ``[L, N, D]``.
    """
    backend = _choose_backend(q.device, q.dtype, q.shape[-1])
    return backend(*(x.transpose(0, 1)[None] for x in (q, k, v)))[0].transpose(0, 1)


def attention_backend_name() -> str:
    """Backends in use, for logs and statistics; ``none`` before the first call."""
    return ", ".join(sorted(_names.values())) or "none"


@cache
def _choose_backend(device: torch.device, dtype: torch.dtype, head_dim: int) -> _Backend:
    """The backend for one kind of input; logged when first chosen."""
    backend, name = F.scaled_dot_product_attention, f"torch SDPA ({device.type})"
    if _can_run_cudnn(device, dtype, head_dim):
        backend, name = _cudnn_attention, "cuDNN"
    if backend not in _names:
        _log.info("Attention in %s on %s: %s.", dtype, device, name)
    _names[backend] = name
    return backend


def _can_run_cudnn(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether cuDNN is the fastest choice, which it is from Hopper on, and does run."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return False
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (9, 0):
        return False
    probe = torch.zeros(1, 1, 128, head_dim, dtype=dtype, device=device)
    try:
        _cudnn_attention(probe, probe, probe)
    except RuntimeError as error:  # built without it, too old, or a head size that it lacks
        _log.warning("cuDNN attention does not run here, torch chooses another backend: %s", error)
        return False
    return True


def _cudnn_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """cuDNN's kernel, called directly: torch's own switch is global, so threads would disturb each other."""
    return torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, compute_log_sumexp=False)[0]
