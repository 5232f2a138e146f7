# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Matrix products in 8 bits: float8_e4m3fn values with one float32 scale per row."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.choice import with_triton_twin

FP8_MAX = 448.0
"""Largest value of float8_e4m3fn."""

TINY = 1e-12
"""Least amax of a row, so that a row of zeros has a scale."""

FAST_ACCUMULATION = True
"""Sum products inside the tensor cores, without moving partial sums to float32 registers in between.

On Hopper such a sum keeps 13 bits. Simulated for 13824 products of normal numbers it errs by 0.3 % of its size, where
rounding the factors to 8 bits costs 3.8 %.
"""


MIN_ROWS = 64
"""Fewer tokens are padded to so many for the product on a GPU."""


class RowScaled(NamedTuple):
    """A matrix in 8 bits: ``values * scale``."""

    values: Tensor
    """float8_e4m3fn ``[rows, C]``."""

    scale: Tensor
    """float32 ``[rows, 1]``."""


@with_triton_twin("lingbot_core.kernels.fp8_triton")
def quantise_rows(x: Tensor) -> RowScaled:
    """A matrix ``[rows, C]`` in 8 bits, each row scaled so that its largest value is the largest that fits.

    Equal bits on every device. A row with an infinity or a NaN becomes NaN.
    """
    wide = x.float()
    amax = wide.abs().amax(-1, keepdim=True).clamp(min=TINY)
    values = wide * (
        amax.reciprocal() * FP8_MAX
    )  # one division per row: a GPU takes longer for a division than to read a value
    # times the reciprocal: that is what a GPU makes of a division by a constant
    return RowScaled(values.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn), amax * (1 / FP8_MAX))


def fp8_linear(x: RowScaled, weight: RowScaled, bias: Tensor) -> Tensor:
    """``x @ weight^T + bias``, in 8 bits on a GPU, by the same numbers in float32 elsewhere.

    Args:
        x: Tokens, ``[L, C]``. On a GPU, C and ``out`` must be multiples of 16.
        weight: ``[out, C]``.
        bias: ``[out]``; its dtype is that of the result, on a GPU bfloat16.

    Returns:
        ``[L, out]``.
    """
    if not x.values.is_cuda:
        products = x.values.float() @ weight.values.float().T
        return (products * x.scale * weight.scale.T + bias.float()).to(bias.dtype)
    num_rows = len(x.values)
    if num_rows < MIN_ROWS:  # cuBLAS has no kernel for some such sizes
        padding = (0, 0, 0, MIN_ROWS - num_rows)
        x = RowScaled(F.pad(x.values.view(torch.uint8), padding).view(x.values.dtype), F.pad(x.scale, padding))
    result = torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage] - its public successor is younger than torch 2.9
        x.values,
        weight.values.T,
        scale_a=x.scale,
        scale_b=weight.scale.T,
        bias=bias,
        out_dtype=bias.dtype,
        use_fast_accum=FAST_ACCUMULATION,
    )
    return result[:num_rows]


def fp8_failure(device: torch.device) -> Exception | None:
    """Why a device does not multiply in 8 bits with scales by row; None when it does.

    Found out by doing it: it takes a GPU of compute capability 8.9 or newer, and a torch that was built for it.
    """
    try:
        _multiply_once(device)
    except (RuntimeError, ValueError) as error:
        return error
    return None


@cache  # of successes; failures are tried again, as memory may have been short
def _multiply_once(device: torch.device) -> None:
    if device.type != "cuda":
        raise RuntimeError("not a GPU")
    ones = quantise_rows(torch.ones(32, 32, device=device))
    result = fp8_linear(ones, ones, torch.zeros(32, dtype=torch.bfloat16, device=device))
    if not torch.equal(result.float(), torch.full_like(result, 32, dtype=torch.float32)):
        raise RuntimeError("wrong result of a product of ones")
