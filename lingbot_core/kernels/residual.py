# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Elementwise updates of the residual stream, one rounding each."""

from __future__ import annotations

import torch
from torch import Tensor


def gated_residual(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """``x + update * gate`` for tokens ``[L, C]`` and a gate ``[C]``."""
    return torch.addcmul(x, update, gate)


def affine(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """``gain * x + shift`` for tokens, gain and shift ``[L, C]``."""
    return torch.addcmul(shift, x, gain)
