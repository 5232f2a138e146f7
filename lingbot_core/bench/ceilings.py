# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the device can do at best: matrix products, copies, attention; measured, on random data."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.kernels.attention import Attend
from lingbot_core.kernels.fp8 import RowScaled, fp8_linear, quantise_rows
from lingbot_core.stats import DeviceMark

BATCHES = 5
"""Times are medians over so many batches of calls."""

BATCH_MS = 100.0
"""About the length of a batch: long enough for the clock frequency to settle."""

COPY_BYTES = 2**29
"""Size of the tensor whose copy gives the rate of the memory."""


def time_ms(call: Callable[[int], object], device: torch.device, batch_ms: float = BATCH_MS) -> float:
    """Median time of a call, launched one behind the other.

    Args:
        call: Is told how often it was called before; may choose among buffers by it.
        device: Where it computes.
        batch_ms: About the length of a batch of calls.
    """

    def batch(num_calls: int) -> float:
        start = DeviceMark(device)
        for index in range(num_calls):
            call(index)
        return DeviceMark(device).milliseconds_since(start) / num_calls

    batch(3)
    num_calls = max(3, int(batch_ms / max(batch(3), 1e-3)))
    return statistics.median(batch(num_calls) for _ in range(BATCHES))


@dataclass(frozen=True)
class CardRate:
    """How fast the device is at the moment; tells drift of its clocks."""

    gemm_tflops: float
    """A large matrix product in the dtype of the activations, 10^12 operations per second."""

    copy_tbps: float
    """A large copy, bytes read and written, 10^12 per second."""

    def __str__(self) -> str:
        return f"GEMM {self.gemm_tflops:.0f} TFLOP/s, copy {self.copy_tbps:.2f} TB/s"


def card_rate(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]) -> CardRate:
    """Measure it.

    Args:
        device: Which device.
        dtype: Of the matrix product.
        shape: L, C and N of the product ``[L, C] @ [C, N]``.
    """
    rows, width, out = shape
    gemm_ms = linear_ms(device, dtype, rows, width, out)
    return CardRate(2e-9 * rows * width * out / gemm_ms, copy_tbps(device))


def linear_ms(device: torch.device, dtype: torch.dtype, rows: int, width: int, out: int) -> float:
    """Time of ``x @ weight^T + bias`` for tokens ``[rows, width]``; float8_e4m3fn with scales by row, result bf16."""
    x, weight = _normal((rows, width), device, torch.bfloat16), _normal((out, width), device, torch.bfloat16)
    bias = _normal((out,), device, torch.bfloat16)
    if dtype == torch.float8_e4m3fn:
        x8, weight8 = quantise_rows(x), quantise_rows(weight)
        return time_ms(lambda _: fp8_linear(x8, RowScaled(*weight8), bias), device)
    x, weight, bias = (tensor.to(dtype) for tensor in (x, weight, bias))
    return time_ms(lambda _: F.linear(x, weight, bias), device)


def copy_tbps(device: torch.device, num_bytes: int = COPY_BYTES) -> float:
    """Rate of a copy of ``num_bytes`` to ``num_bytes``, both counted, in 10^12 bytes per second."""
    source = torch.randint(0, 256, (num_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2e-9 * num_bytes / time_ms(lambda _: target.copy_(source), device)


def attention_ms(
    attend: Attend,
    device: torch.device,
    dtype: torch.dtype,
    num_queries: int,
    num_keys: int,
    num_heads: int,
    head_dim: int,
) -> float:
    """Time of attention by a backend, laid out as the network has it."""
    q, k, v = (_normal((n, num_heads, head_dim), device, dtype) for n in (num_queries, num_keys, num_keys))
    return time_ms(lambda _: attend(q, k, v), device)


def _normal(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, device=device, dtype=torch.float32 if device.type == "cpu" else dtype).to(dtype)
