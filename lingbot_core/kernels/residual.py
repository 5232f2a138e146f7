# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Updates of the residual stream, with the norm that comes behind them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.choice import with_triton_twin
from lingbot_core.kernels.fp8 import RowScaled, quantise_rows
from lingbot_core.kernels.norms import layer_norm_modulate

_TRITON = "lingbot_core.kernels.residual_triton"


@with_triton_twin(_TRITON)
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
    """``x' = (1 + scale) * (x + update * gate) + shift``, and ``layer_norm(x') * weight + bias``.

    Args:
        x: Residual stream, ``[L, C]``.
        update: What is added, ``[L, C]``.
        gate: ``[C]``.
        scale_shift: Scale and shift of each token, ``[L, 2, C]``.
        weight: Of the norm, ``[C]``.
        bias: Of the norm, ``[C]``.
        eps: Added to the variance.
        fp8: Give the norm in 8 bits with a scale per token.

    Returns:
        Both, ``[L, C]``.
    """
    scale, shift = scale_shift.unbind(1)
    x = torch.addcmul(shift, torch.addcmul(x, update, gate), 1 + scale)
    y = F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    return x, quantise_rows(y) if fp8 else y


@with_triton_twin(_TRITON)
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
    """``x' = x + update * gate``, and ``layer_norm(x') * (1 + scale) + shift``.

    Args:
        x: Residual stream, ``[L, C]``.
        update: What is added, ``[L, C]``.
        gate: ``[C]``; None for 1.
        shift: ``[C]``.
        scale: ``[C]``.
        eps: Added to the variance.
        fp8: Give the norm in 8 bits with a scale per token.

    Returns:
        Both, ``[L, C]``.
    """
    x = x + update if gate is None else torch.addcmul(x, update, gate)
    return x, layer_norm_modulate.torch(x, shift, scale, eps, fp8=fp8)
