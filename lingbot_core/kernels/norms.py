# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Normalisation, with what is done to its result."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.choice import with_triton_twin
from lingbot_core.kernels.fp8 import RowScaled, quantise_rows

_TRITON = "lingbot_core.kernels.norms_triton"


@with_triton_twin(_TRITON)
def layer_norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, eps: float, *, fp8: bool = False
) -> Tensor | RowScaled:
    """``layer_norm(x) * (1 + scale) + shift`` over the last axis.

    Args:
        x: Tokens, ``[L, C]``.
        shift: ``[C]``.
        scale: ``[C]``.
        eps: Added to the variance.
        fp8: Give the result in 8 bits with a scale per token.
    """
    y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)
    return quantise_rows(y) if fp8 else y


@with_triton_twin(_TRITON)
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axis, rounded once, behind the weight.

    Args:
        x: Tokens, ``[L, C]``; rows may be strided.
        weight: ``[C]``.
        eps: Added to the mean square.
    """
    return F.rms_norm(x, x.shape[-1:], weight, eps)
