# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Memory bandwidth that the fused kernels reach, against a copy of as many bytes.

Each input counts once and each output once. Kernel and copy are launched by a CUDA graph of many
calls over several sets of buffers, so that neither launches nor the cache of the GPU are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lingbot_core.bench.ceilings import time_ms
from lingbot_core.bench.report import table
from lingbot_core.kernels.activations import activate
from lingbot_core.kernels.fp8 import quantise_rows
from lingbot_core.kernels.norms import layer_norm_modulate, rms_norm
from lingbot_core.kernels.qkv import norm_rope_pack, norm_rope_store, store_exchanged
from lingbot_core.kernels.residual import gated_residual_affine_layer_norm, gated_residual_layer_norm_modulate
from lingbot_core.models.dit_config import DiTConfig

BUFFER_SETS = 8
"""Sets of buffers in rotation."""

GRAPH_CALLS = 13 * BUFFER_SETS
"""Calls in one CUDA graph."""

_NUM_RANKS = 2
"""GPUs in the cases of several."""

Call = Callable[[], object]


class Inputs:
    """Makes random inputs for one call of a kernel, and counts their bytes.

    Args:
        config: Sizes of the network.
        num_tokens: L.
        dtype: Of activations.
        device: Where they live.
        fp8: Whether results are wanted in 8 bits where a kernel can give them so.
    """

    def __init__(
        self, config: DiTConfig, num_tokens: int, dtype: torch.dtype, device: torch.device, fp8: bool = False
    ) -> None:
        self.config, self.num_tokens, self.fp8 = config, num_tokens, fp8
        self.num_bytes = 0
        """Bytes of all inputs, and of outputs made by :meth:`target`."""
        self._dtype, self._device = dtype, device

    def normal(self, *shape: int, mean: float = 0.0) -> Tensor:
        """An input of normal numbers."""
        drawn = torch.randn(shape, device=self._device).add_(mean)
        return self._count(drawn.to(self._dtype))

    def tokens(self, width: int | None = None, mean: float = 0.0) -> Tensor:
        """``[L, width]``, as wide as the network unless told otherwise."""
        return self.normal(self.num_tokens, width or self.config.dim, mean=mean)

    def row(self) -> Tensor:
        """``[C]``."""
        return self.normal(self.config.dim)

    def slots(self) -> Tensor:
        """Token numbers, int64 ``[L]``."""
        return self._count(torch.arange(self.num_tokens, device=self._device))

    def target(self, *shape: int) -> Tensor:
        """Memory that the kernel fills, and does not read."""
        return self._count(torch.empty(shape, dtype=self._dtype, device=self._device))

    def _count(self, tensor: Tensor) -> Tensor:
        self.num_bytes += tensor.nbytes
        return tensor


@dataclass(frozen=True)
class Case:
    """A kernel to measure."""

    name: str
    """In the table."""

    make: Callable[[Inputs], Call]
    """Makes inputs and returns a call on them; what the call returns counts as written."""

    calls: Callable[[int, bool], tuple[int, int]]
    """Calls per denoising pass and per cache update, of so many layers, in 8 bits or not."""

    only_fp8: bool = False
    """Whether it belongs to precision fp8 alone."""


def _per_layer(times: int) -> Callable[[int, bool], tuple[int, int]]:
    """So often in each block; the cache update leaves out the last one."""
    return lambda layers, fp8: (times * layers, times * (layers - 1))


def _residual(make: Inputs, *, gated: bool) -> Call:
    gate = make.row() if gated else None
    streams = make.tokens(), make.tokens(), gate, make.row(), make.row()
    return partial(gated_residual_layer_norm_modulate, *streams, make.config.eps, fp8=make.fp8)


def _residual_camera(make: Inputs) -> Call:
    camera = make.normal(make.num_tokens, 2, make.config.dim)
    streams = make.tokens(), make.tokens(), make.row(), camera, make.row(), make.row()
    return partial(gated_residual_affine_layer_norm, *streams, make.config.eps, fp8=make.fp8)


def _norm_rope_store(make: Inputs) -> Call:
    heads, half = (make.config.num_heads, make.config.head_dim), make.config.head_dim // 2
    inputs = make.tokens(3 * make.config.dim), make.row(), make.row(), make.config.eps
    rotation = make.normal(make.num_tokens, half), make.normal(make.num_tokens, half)
    targets = make.target(make.num_tokens, *heads), make.target(make.num_tokens, *heads)
    return partial(norm_rope_store, *inputs, *rotation, *targets, make.slots())


def _norm_rope_pack(make: Inputs) -> Call:
    num_local, half = -(-make.num_tokens // _NUM_RANKS), make.config.head_dim // 2
    inputs = make.normal(num_local, 3 * make.config.dim), make.row(), make.row(), make.config.eps
    return partial(norm_rope_pack, *inputs, make.normal(num_local, half), make.normal(num_local, half), _NUM_RANKS)


def _store_exchanged(make: Inputs) -> Call:
    heads = make.config.num_heads // _NUM_RANKS, make.config.head_dim
    received = make.normal(_NUM_RANKS, -(-make.num_tokens // _NUM_RANKS), 3, *heads)
    targets = make.target(make.num_tokens, *heads), make.target(make.num_tokens, *heads)
    return partial(store_exchanged, received, *targets, make.slots())


def _never(layers: int, fp8: bool) -> tuple[int, int]:
    """Not in a pass of one GPU."""
    return 0, 0


CASES: tuple[Case, ...] = (
    Case(
        "LayerNorm, modulation",
        lambda make: partial(layer_norm_modulate, make.tokens(), make.row(), make.row(), make.config.eps, fp8=make.fp8),
        lambda layers, fp8: (1, 1),
    ),
    Case("q, k, v: RMSNorm, rotation, store", _norm_rope_store, lambda layers, fp8: (layers, layers)),
    Case("gated residual, camera, LayerNorm", _residual_camera, _per_layer(1)),
    Case("gated residual, LayerNorm, modulation", partial(_residual, gated=True), _per_layer(1)),
    Case("residual, LayerNorm, modulation", partial(_residual, gated=False), _per_layer(1)),
    Case(
        "RMSNorm of the queries to the text",
        lambda make: partial(rms_norm, make.tokens(), make.row(), make.config.eps),
        _per_layer(1),
    ),
    Case(
        "GELU",  # of numbers that it does not change: it works in place, time and again
        lambda make: partial(activate, make.tokens(make.config.ffn_dim, mean=8.0), "gelu", fp8=make.fp8),
        _per_layer(1),
    ),
    Case(
        "quantisation of attention's result",
        lambda make: partial(quantise_rows, make.tokens()),
        _per_layer(2),
        only_fp8=True,
    ),
    Case("q, k, v on two GPUs: RMSNorm, rotation, packed for the exchange", _norm_rope_pack, _never),
    Case("q, k, v on two GPUs: store of what was exchanged", _store_exchanged, _never),
)
"""Every kernel between the matrix products, each with the shapes of a full pass."""


@dataclass(frozen=True)
class KernelRate:
    """A kernel and a copy of as many bytes."""

    name: str
    num_bytes: int
    """Each input once and each output once."""

    kernel_us: float
    copy_us: float
    calls: tuple[int, int]
    """Per denoising pass, and per cache update."""

    @property
    def fraction(self) -> float:
        """Bandwidth in parts of that of the copy."""
        return self.copy_us / self.kernel_us


def cases(fp8: bool) -> list[Case]:
    """Those that a precision runs."""
    return [case for case in CASES if fp8 or not case.only_fp8]


def measure(
    config: DiTConfig, num_tokens: int, dtype: torch.dtype, device: torch.device, fp8: bool
) -> list[KernelRate]:
    """Every kernel in the shapes of a network and a frame size."""
    return [_measure_case(case, config, num_tokens, dtype, device, fp8) for case in cases(fp8)]


def count_bytes(case: Case, config: DiTConfig, num_tokens: int, dtype: torch.dtype, fp8: bool) -> int:
    """Bytes that one call reads and writes at least."""
    inputs = Inputs(config, num_tokens, dtype, torch.device("meta"), fp8)  # nothing is computed
    return _written_bytes(case.make(inputs)()) + inputs.num_bytes


def _measure_case(
    case: Case, config: DiTConfig, num_tokens: int, dtype: torch.dtype, device: torch.device, fp8: bool
) -> KernelRate:
    calls = []
    for _ in range(BUFFER_SETS):
        inputs = Inputs(config, num_tokens, dtype, device, fp8)
        calls.append(case.make(inputs))
    num_bytes = inputs.num_bytes + _written_bytes(calls[0]())
    kernel_us = _rotating_us(calls, device)
    calls.clear()
    half = num_bytes // 2
    pairs = [torch.randint(0, 256, (2, half), dtype=torch.uint8, device=device) for _ in range(BUFFER_SETS)]
    memcpy_us = _rotating_us([partial(pair[1].copy_, pair[0]) for pair in pairs], device)
    # a graph copies by a memcpy node, which is not always the fastest way: compare with the faster of two
    kernel_copy_us = _rotating_us([partial(torch.bitwise_not, pair[0], out=pair[1]) for pair in pairs], device)
    copy_us = min(memcpy_us, kernel_copy_us)
    return KernelRate(case.name, num_bytes, kernel_us, copy_us, case.calls(config.num_layers, fp8))


def _written_bytes(result: object) -> int:
    """Bytes of all tensors in a result."""
    if isinstance(result, Tensor):
        return result.nbytes
    assert isinstance(result, tuple), type(result)
    return sum(map(_written_bytes, result))


def _rotating_us(calls: Sequence[Call], device: torch.device) -> float:
    """Time of one call in µs, buffers taken in turn."""
    results: list[object] = [None] * len(calls)  # kept, so that outputs rotate as well

    def run_all(num_calls: int) -> None:
        for index in range(num_calls):
            results[index % len(calls)] = calls[index % len(calls)]()

    if device.type != "cuda":
        return 1e3 * time_ms(lambda _: run_all(len(calls)), device) / len(calls)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        run_all(len(calls))  # compiles
    torch.cuda.synchronize(device)
    results[:] = [None] * len(calls)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run_all(GRAPH_CALLS)
    return 1e3 * time_ms(lambda _: graph.replay(), device) / GRAPH_CALLS


def elementwise_markdown(rates: Sequence[KernelRate]) -> str:
    """The rates as text."""
    cells = [
        [
            rate.name,
            f"{rate.num_bytes / 1e6:.1f}",
            f"{rate.kernel_us:.1f}",
            f"{rate.num_bytes / rate.kernel_us / 1e6:.2f}",
            f"{rate.copy_us:.1f}",
            f"{rate.num_bytes / rate.copy_us / 1e6:.2f}",
            f"{100 * rate.fraction:.0f} %",
        ]
        for rate in rates
    ]
    headings = ["kernel", "MB", "µs", "TB/s", "copy µs", "copy TB/s", "of the copy"]
    return (
        "### Kernels between the matrix products\n\n"
        "Each against a copy of as many bytes, inputs and outputs counted once; on a GPU in graphs of "
        f"{GRAPH_CALLS} calls over {BUFFER_SETS} sets of buffers.\n\n{table(headings, cells)}"
    )
