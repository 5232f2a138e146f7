# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Normalisation, with what is done to its result."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def layer_norm_modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """``layer_norm(x) * (1 + scale) + shift`` over the last axis.

    Args:
        x: Tokens, ``[L, C]``.
        shift: ``[C]``.
        scale: ``[C]``.
        eps: Added to the variance.
    """
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axis, rounded once, behind the weight.

    Args:
        x: Tokens, ``[L, C]``.
        weight: ``[C]``.
        eps: Added to the mean square.
    """
    return F.rms_norm(x, x.shape[-1:], weight, eps)
