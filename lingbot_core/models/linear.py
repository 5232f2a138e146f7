# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Linear layers in 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lingbot_core.kernels.fp8 import RowScaled, fp8_linear, quantise_rows


class Fp8Linear(nn.Module):
    """``nn.Linear`` with weights in 8 bits and one scale per output; for inference only."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, dtype=torch.float8_e4m3fn), False)
        self.weight_scale = nn.Parameter(torch.empty(out_features, 1, dtype=torch.float32), False)
        self.bias = nn.Parameter(torch.empty(out_features), False)

    def fixed_dtype(self) -> tuple[Tensor, Tensor]:
        """The parameters that keep their dtype when a model is cast."""
        return self.weight, self.weight_scale

    def forward(self, x: Tensor | RowScaled) -> Tensor:
        """Tokens ``[L, out]`` of tokens ``[L, in]``, which are quantised unless they already are."""
        x = x if isinstance(x, RowScaled) else quantise_rows(x)
        return fp8_linear(x, RowScaled(self.weight, self.weight_scale), self.bias)


def linear_into(layer: nn.Linear | Fp8Linear, x: Tensor, out: Tensor) -> None:
    """Write a layer's result ``[L, out]`` to memory that is there."""
    if isinstance(layer, Fp8Linear):
        out.copy_(layer(x))
    else:
        torch.addmm(layer.bias, x, layer.weight.T, out=out)
