# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Activation functions, with what is done to their result."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.choice import with_triton_twin
from lingbot_core.kernels.fp8 import RowScaled, quantise_rows


@with_triton_twin("lingbot_core.kernels.activations_triton")
def activate(x: Tensor, function: Literal["gelu", "silu"], *, fp8: bool = False) -> Tensor | RowScaled:
    """GELU (by tanh) or SiLU of each value.

    Args:
        x: Tokens, ``[L, C]``; overwritten by the result unless it is wanted in 8 bits.
        function: Which one.
        fp8: Give the result in 8 bits with a scale per token.
    """
    y = F.gelu(x, approximate="tanh") if function == "gelu" else F.silu(x)
    return quantise_rows(y) if fp8 else y
