# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Attention without mask, by one of several backends.

A backend is tried on a small input before it is used: it must be installed, take the device, dtype
and head size, and be right. ``auto`` takes the first exact one that passes, in an order by GPU
generation; naming one that does not pass is an error. SageAttention is only used when named: it
computes in 8 bits, so results differ.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.errors import InputError
from lingbot_core.folders import default_cache_dir

_log = logging.getLogger(__name__)

AUTO = "auto"
"""Name that stands for the best exact backend."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention over queries ``[L, N, D]``, keys and values ``[S, N, D]``; gives ``[L, N, D]``."""

_MAX_ERROR = 1e-2
"""Relative L2 error in the trial; a backend that computes in bf16 stays below a third of it."""

_MAX_ERROR_INEXACT = 0.1
"""The same for 8-bit attention, which on normal numbers errs by a few percent."""


@dataclass(frozen=True)
class Backend:
    """A way to compute attention that may or may not work here."""

    name: str
    """As an option."""

    label: str
    """In logs and statistics."""

    load: Callable[[], Attend]
    """Imports it."""

    module: str = ""
    """Package that it needs; empty when it comes with torch."""

    is_exact: bool = True
    """Whether it computes in the dtype of its inputs."""

    takes_float32: bool = False
    """Whether dtypes other than bf16 and fp16 are worth a trial."""

    devices: tuple[str, ...] = ("cuda",)
    """Types of device on which it is worth a trial; empty when it works on all, and needs none."""


@dataclass(frozen=True)
class Choice:
    """A backend that works here."""

    name: str
    """As an option."""

    label: str
    """In logs and statistics."""

    attend: Attend
    """Computes."""

    is_exact: bool
    """Whether it computes in the dtype of its inputs."""

    is_capturable: bool
    """Whether a CUDA graph records all of it; not tried, and False, with an allocator that no graphs are used with."""


def attention(q: Tensor, k: Tensor, v: Tensor, name: str = AUTO) -> Tensor:
    """``softmax(q k^T / sqrt(D)) v``, each query over all keys.

    Args:
        q: Queries, ``[L, N, D]``.
        k: Keys, ``[S, N, D]``; may be a view.
        v: Values, like ``k``.
        name: Which backend, one of :data:`NAMES`.

    Returns:
        ``[L, N, D]``.
    """
    return choose(name, q.device, q.dtype, q.shape[-1]).attend(q, k, v)


@cache
def choose(name: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> Choice:
    """The backend for one kind of input; tried and logged when first asked for.

    Raises:
        InputError: It was named, and does not work here.
    """
    what = f"{device} in {str(dtype).removeprefix('torch.')} with heads of {head_dim}"
    if name != AUTO:
        if name not in _BACKENDS:
            raise InputError("Unknown attention.", got=repr(name), need=" or ".join(NAMES))
        try:
            choice = _try(_BACKENDS[name], device, dtype, head_dim)
        except _Unable as error:
            able = [other for other in _BACKENDS if other != name and _is_able(other, device, dtype, head_dim)]
            raise InputError(
                f"Attention by {_BACKENDS[name].label} is not possible on {what}.",
                got=str(error),
                need=" or ".join([AUTO, *able]),
            ) from error
        _log.info("Attention on %s: %s, as was chosen.", what, choice.label)
        return choice
    reasons = []
    for candidate in _candidates(device):
        try:
            choice = _try(_BACKENDS[candidate], device, dtype, head_dim)
        except _Unable as error:
            reasons.append(f"not {_BACKENDS[candidate].label}: {error}")
            continue
        _log.info("Attention on %s: %s%s.", what, choice.label, f" ({'; '.join(reasons)})" if reasons else "")
        return choice
    raise AssertionError(f"no attention on {what}: {reasons}")


def exact_name(name: str) -> str:
    """The backend itself if it is exact, else :data:`AUTO`."""
    return name if name in _BACKENDS and _BACKENDS[name].is_exact else AUTO


# --- the backends -----------------------------------------------------------------------


def _heads_first(attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Attend:
    """From a function over ``[1, N, L, D]``, as torch's are."""
    return lambda q, k, v: attend(*(x.transpose(0, 1)[None] for x in (q, k, v)))[0].transpose(0, 1)


def _tokens_first(attend: Callable[[Tensor, Tensor, Tensor], Tensor | tuple[Tensor, ...]]) -> Attend:
    """From a function over ``[1, L, N, D]``, which depending on its version also returns other things."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result = attend(q[None], k[None], v[None])
        return (result if isinstance(result, Tensor) else result[0])[0]

    return run


# torch's kernels are called directly: its own switches between them are global, so threads would disturb each other


def _cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, compute_log_sumexp=False)[0]


def _flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0]


def _efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, compute_log_sumexp=False)[0]


def _load_flash_attention_3() -> Attend:
    return _tokens_first(importlib.import_module("flash_attn_interface").flash_attn_func)


def _load_flash_attention_4() -> Attend:
    # it compiles for 7 s; unless told to, it keeps nothing of that, and if told to, it does so below /tmp
    os.environ.setdefault("FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED", "1")
    os.environ.setdefault("FLASH_ATTENTION_CUTE_DSL_CACHE_DIR", str(default_cache_dir() / "flash-attention-4"))
    return _tokens_first(importlib.import_module("flash_attn.cute").flash_attn_func)


def _load_sage_attention() -> Attend:
    sageattn = importlib.import_module("sageattention").sageattn
    # the scale is given because not every version leaves out of it what it pads small heads with
    return _tokens_first(lambda q, k, v: sageattn(q, k, v, tensor_layout="NHD", sm_scale=q.shape[-1] ** -0.5))


_BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("cudnn", "cuDNN", lambda: _heads_first(_cudnn)),
        Backend("flash", "torch flash", lambda: _heads_first(_flash)),
        Backend("efficient", "torch memory-efficient", lambda: _heads_first(_efficient), takes_float32=True),
        Backend("sdpa", "torch SDPA", lambda: _heads_first(F.scaled_dot_product_attention), devices=()),
        Backend("flash3", "FlashAttention-3", _load_flash_attention_3, "flash_attn_interface"),
        Backend("flash4", "FlashAttention-4", _load_flash_attention_4, "flash_attn.cute"),
        Backend("sage", "SageAttention", _load_sage_attention, "sageattention", is_exact=False),
    )
}

NAMES = (AUTO, *_BACKENDS)
"""What can be chosen; ``sdpa`` leaves it to torch."""


def _candidates(device: torch.device) -> tuple[str, ...]:
    """Exact backends, best first."""
    if device.type != "cuda":
        return ("sdpa",)
    capability = torch.cuda.get_device_capability(device) if torch.version.hip is None else (0, 0)
    if capability >= (10, 0):
        return "cudnn", "flash4", "flash", "efficient", "sdpa"
    if capability >= (9, 0):  # measured on Hopper at full load: FlashAttention-4 takes 15 % less time than cuDNN
        return "flash4", "cudnn", "flash3", "flash", "efficient", "sdpa"
    return "flash", "cudnn", "efficient", "sdpa"


# --- trying them ------------------------------------------------------------------------


class _Unable(Exception):
    """A backend does not work here; says why."""


def _is_able(name: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    try:
        _try(_BACKENDS[name], device, dtype, head_dim)
    except _Unable:
        return False
    return True


def _try(backend: Backend, device: torch.device, dtype: torch.dtype, head_dim: int) -> Choice:
    """Load a backend and compare it with the formula on a small input."""
    if not backend.devices:
        return Choice(backend.name, f"{backend.label} ({device.type})", backend.load(), backend.is_exact, True)
    if device.type not in backend.devices:
        raise _Unable("it needs a GPU")
    if dtype not in (torch.bfloat16, torch.float16) and not backend.takes_float32:
        raise _Unable("it computes in bf16 and fp16 only")
    trial = _Trial(device, dtype, head_dim, _MAX_ERROR if backend.is_exact else _MAX_ERROR_INEXACT)
    try:
        attend = backend.load()
        trial.run(attend)
    except (_Unable, torch.OutOfMemoryError):
        raise
    except ModuleNotFoundError as error:
        installed = error.name is None or not backend.module.startswith(error.name)
        raise _Unable(str(error) if installed else f"{backend.module} is not installed") from error
    except Exception as error:  # a package for another torch or GPU fails in any of a dozen ways
        raise _Unable((str(error).splitlines() or [type(error).__name__])[0]) from error
    is_capturable = not backend.module or device.type != "cuda" or trial.survives_capture(attend)
    return Choice(backend.name, backend.label, attend, backend.is_exact, is_capturable)


class _Trial:
    """A small input with its result, of odd sizes.

    Args:
        device: Where it lies.
        dtype: Of the input.
        head_dim: D.
        max_error: What a result may be off by, relative L2.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, head_dim: int, max_error: float) -> None:
        self._device, self._max_error = device, max_error
        generator = torch.Generator().manual_seed(0)
        shapes = ((200, 2, head_dim), (333, 2, head_dim), (333, 2, head_dim))
        self._inputs, self._others = (
            [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes] for _ in range(2)
        )

    def run(self, attend: Attend) -> None:
        """Compare with the formula; raises what ``attend`` raises, and :class:`_Unable` when its result is wrong."""
        error = self._error(attend(*self._inputs), self._inputs)
        if not error <= self._max_error:
            raise _Unable(f"its result is wrong by {error:.2g}")

    def survives_capture(self, attend: Attend) -> bool:
        """Whether a CUDA graph records all of it: some kernels are launched past the stream that is recorded."""
        if torch.cuda.get_allocator_backend() != "native":  # freeing what was recorded can end the process there
            return False
        stream, graph = torch.cuda.Stream(self._device), torch.cuda.CUDAGraph()
        inputs = [x.clone() for x in self._inputs]
        torch.cuda.current_stream(self._device).synchronize()
        try:
            with torch.cuda.stream(stream):
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    result = attend(*inputs)
                finally:
                    graph.capture_end()
                torch.cuda.synchronize(self._device)
                for x, other in zip(inputs, self._others, strict=True):
                    x.copy_(other)
                graph.replay()
                return self._error(result, self._others) <= self._max_error
        except Exception as error:  # see _try
            _log.debug("This attention cannot be recorded: %s", error)
            return False

    @staticmethod
    def _error(result: Tensor, inputs: list[Tensor]) -> float:
        """Relative L2 distance from the formula."""
        q, k, v = (x.double() for x in inputs)
        weights = (torch.einsum("lnd,snd->nls", q, k) * q.shape[-1] ** -0.5).softmax(-1)
        expected = torch.einsum("nls,snd->lnd", weights, v)
        return float((result.double() - expected).norm() / expected.norm())
