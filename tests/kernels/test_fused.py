# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Kernels against their formulas in float64: the torch functions, and their Triton twins.

Without a GPU, Triton's interpreter runs the twins on the CPU.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from lingbot_core.kernels import activations, norms, qkv, residual
from lingbot_core.kernels.choice import Kernel
from lingbot_core.kernels.fp8 import RowScaled

EPS = 1e-6
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
SIZES = [(1, 192), (7, 192), (5, 1000), (72, 256), (3, 5120)] + ([(4524, 5120), (333, 13824)] if ON_GPU else [])
DTYPES = [torch.bfloat16, torch.float16, torch.float32]

if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined, which importing a twin does

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


@dataclass(frozen=True)
class Case:
    """One kernel with its arguments and its formula."""

    kernel: Kernel[Any, Any]
    make: Callable[[int, int, torch.dtype], dict[str, Any]]
    """(tokens, width, dtype) -> arguments."""

    formula: Callable[..., list[Tensor]]
    """Results in float64 from arguments in float64."""

    fp8: bool = False
    """Whether the last result can be in 8 bits."""


def randn(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, device=DEVICE).to(dtype)


def layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + EPS).sqrt()


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()


def vectors(length: int, width: int, dtype: torch.dtype, *names: str) -> dict[str, Any]:
    """Tokens ``x`` and ``update``, and vectors by name."""
    tokens = {name: randn(length, width, dtype=dtype) for name in ("x", "update")}
    return {**tokens, **{name: randn(width, dtype=dtype) for name in names}, "eps": EPS}


def without(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def affine_layer_norm_formula(x, update, gate, scale_shift, weight, bias, eps) -> list[Tensor]:
    scale, shift = scale_shift.unbind(1)
    x = (1 + scale) * (x + update * gate) + shift
    return [x, layer_norm(x) * weight + bias]


def residual_formula(x, update, gate, shift, scale, eps) -> list[Tensor]:
    x = x + update * (1 if gate is None else gate)
    return [x, layer_norm(x) * (1 + scale) + shift]


CASES = {
    "layer_norm_modulate": Case(
        norms.layer_norm_modulate,
        lambda n, c, d: without(vectors(n, c, d, "shift", "scale"), "update"),
        lambda x, shift, scale, eps: [layer_norm(x) * (1 + scale) + shift],
        fp8=True,
    ),
    "rms_norm": Case(
        norms.rms_norm,
        lambda n, c, d: {"x": randn(n, 2 * c, dtype=d)[:, c:], "weight": randn(c, dtype=d), "eps": EPS},
        lambda x, weight, eps: [rms(x) * weight],
    ),
    "gated_residual_affine_layer_norm": Case(
        residual.gated_residual_affine_layer_norm,
        lambda n, c, d: {**vectors(n, c, d, "gate", "weight", "bias"), "scale_shift": randn(n, 2, c, dtype=d)},
        affine_layer_norm_formula,
        fp8=True,
    ),
    "gated_residual_layer_norm_modulate": Case(
        residual.gated_residual_layer_norm_modulate,
        lambda n, c, d: vectors(n, c, d, "gate", "shift", "scale"),
        residual_formula,
        fp8=True,
    ),
    "residual_layer_norm_modulate": Case(
        residual.gated_residual_layer_norm_modulate,
        lambda n, c, d: {**vectors(n, c, d, "shift", "scale"), "gate": None},
        residual_formula,
        fp8=True,
    ),
    "gelu": Case(
        activations.activate,
        lambda n, c, d: {"x": 3 * randn(n, c, dtype=d), "function": "gelu"},
        lambda x, function: [gelu(x)],
        fp8=True,
    ),
    "silu": Case(
        activations.activate,
        lambda n, c, d: {"x": 3 * randn(n, c, dtype=d), "function": "silu"},
        lambda x, function: [x * torch.sigmoid(x)],
        fp8=True,
    ),
}


def copies(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments with tensors of their own, with the strides that they had."""
    return {
        name: torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).copy_(value)
        if isinstance(value, Tensor)
        else value
        for name, value in arguments.items()
    }


def doubled(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.double() if isinstance(value, Tensor) else value for name, value in arguments.items()}


def results(value: Any) -> list[Tensor]:
    """All results of a kernel as plain tensors."""
    parts = [value] if isinstance(value, (Tensor, RowScaled)) else list(value)
    return [part.values.float() * part.scale if isinstance(part, RowScaled) else part for part in parts]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


def ulp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Distance to the next number of ``dtype``; for small values that of a thousandth, since they are differences."""
    return torch.exp2(torch.floor(torch.log2(x.abs().clamp(min=1e-3)))) * torch.finfo(dtype).eps


def check_as_exact(actual: Tensor, twin: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    """Within one step of ``dtype`` everywhere, or at most 1.5 times as far off as ``twin`` is, or as float32 rounds."""
    assert bool(actual.isfinite().all())
    within = bool(((actual.double() - exact).abs() <= ulp(exact, dtype)).all())
    errors = relative_error(actual, exact), relative_error(twin, exact)
    assert within or errors[0] <= max(1.5 * errors[1], 2 * torch.finfo(torch.float32).eps), errors


def check_twin(case: Case, length: int, width: int, dtype: torch.dtype, **options: Any) -> None:
    """Compare each result of the Triton twin with the formula and with the torch function."""
    torch.manual_seed(length * width)
    arguments = case.make(length, width, dtype)
    expected = case.formula(**doubled(arguments))
    by_torch = results(case.kernel.torch(**copies(arguments), **options))
    by_triton = results(case.kernel.triton(**copies(arguments), **options))
    for actual, twin, exact in zip(by_triton, by_torch, expected, strict=True):
        check_as_exact(actual, twin, exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_torch_kernel_matches_formula(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    arguments = case.make(7, 192, dtype)
    actual = results(case.kernel.torch(**copies(arguments)))
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    for part, expected in zip(actual, case.formula(**doubled(arguments)), strict=True):
        assert part.dtype == dtype
        assert relative_error(part, expected) < tolerance


def test_rms_norm_rounds_once_behind_the_weight() -> None:
    arguments = CASES["rms_norm"].make(7, 96, torch.bfloat16)
    wide, weight = arguments["x"].float(), arguments["weight"].float()
    expected = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS) * weight).to(torch.bfloat16)
    actual = norms.rms_norm.torch(**arguments)
    assert float((actual != expected).float().mean()) < 0.01  # two roundings would differ in a fifth of all values


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_triton_twin_is_as_exact_as_torch(name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    check_twin(CASES[name], *size, dtype)


@pytest.mark.gpu  # Triton's interpreter cuts fp8 values off where a GPU rounds them
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.fp8])
def test_triton_twin_in_8_bits_is_as_exact_as_torch(name: str, size: tuple[int, int]) -> None:
    check_twin(CASES[name], *size, torch.bfloat16, fp8=True)


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("num_heads", "head_dim"), [(4, 48), (2, 128), (3, 128), (1, 16), (40, 128)])
@pytest.mark.parametrize("length", [1, 18] + ([4524] if ON_GPU else []))
def test_norm_rope_store_matches_formula(length: int, num_heads: int, head_dim: int, dtype: torch.dtype) -> None:
    torch.manual_seed(length)
    width = num_heads * head_dim
    tokens, norm_q, norm_k = (randn(*shape, dtype=dtype) for shape in ((length, 3 * width), (width,), (width,)))
    angles = 6 * torch.rand(length, head_dim // 2, device=DEVICE)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    rows = torch.randperm(length + 9, device=DEVICE)[:length]

    def rotated(x: Tensor, weight: Tensor) -> Tensor:
        x = (rms(x) * weight).view(length, num_heads, head_dim // 2, 2)
        turn = torch.complex(cos.double(), sin.double())
        return torch.view_as_real(torch.view_as_complex(x) * turn[:, None]).flatten(2)

    q, k, v = tokens.double().chunk(3, dim=-1)
    expected = rotated(q, norm_q.double()), rotated(k, norm_k.double()), v.view(length, num_heads, head_dim)
    all_parts = []
    for function in (qkv.norm_rope_store.torch, qkv.norm_rope_store.triton):
        store = [torch.full((length + 9, num_heads, head_dim), torch.nan, device=DEVICE).to(dtype) for _ in range(2)]
        k_rows, v_rows = store
        actual = function(tokens, norm_q, norm_k, EPS, cos, sin, k_rows, v_rows, rows)
        parts = actual, *(part[rows] for part in store)
        untouched = torch.ones(length + 9, dtype=torch.bool, device=DEVICE)
        untouched[rows] = False
        assert all(bool(part[untouched].isnan().all()) for part in store)
        all_parts.append(parts)
    limit = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    for by_torch, by_triton, exact in zip(*all_parts, expected, strict=True):
        assert relative_error(by_torch, exact) <= limit
        check_as_exact(by_triton, by_torch, exact, dtype)


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("num_heads", "head_dim", "num_ranks"), [(4, 48, 2), (2, 128, 2), (6, 16, 3), (40, 128, 2), (40, 128, 8)]
)
@pytest.mark.parametrize("length", [1, 18] + ([2262] if ON_GPU else []))
def test_norm_rope_pack_gives_each_rank_its_heads_of_norm_rope_store(
    length: int, num_heads: int, head_dim: int, num_ranks: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(length)
    width = num_heads * head_dim
    tokens, norm_q, norm_k = (randn(*shape, dtype=dtype) for shape in ((length, 3 * width), (width,), (width,)))
    angles = 6 * torch.rand(length, head_dim // 2, device=DEVICE)
    arguments = tokens, norm_q, norm_k, EPS, angles.cos().to(dtype), angles.sin().to(dtype)
    for store, pack in (
        (qkv.norm_rope_store.torch, qkv.norm_rope_pack.torch),
        (qkv.norm_rope_store.triton, qkv.norm_rope_pack.triton),
    ):
        k, v = (torch.empty(length, num_heads, head_dim, dtype=dtype, device=DEVICE) for _ in range(2))
        q = store(*arguments, k, v, torch.arange(length, device=DEVICE))
        packed = pack(*arguments, num_ranks)
        assert packed.shape == (num_ranks, length, 3, num_heads // num_ranks, head_dim) and packed.is_contiguous()
        for part, expected in enumerate((q, k, v)):
            actual, step = torch.cat(list(packed[:, :, part]), dim=1), torch.finfo(dtype).eps
            torch.testing.assert_close(actual, expected, rtol=2 * step, atol=4 * step)  # compiled apart on a GPU


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("num_ranks", "num_heads", "head_dim"), [(2, 1, 48), (4, 3, 16), (2, 20, 128), (8, 5, 128)])
@pytest.mark.parametrize("length", [1, 18, 27] + ([4524] if ON_GPU else []))
def test_store_exchanged_drops_padding_and_touches_no_other_row(
    length: int, num_ranks: int, num_heads: int, head_dim: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(length)
    received = randn(num_ranks, -(-length // num_ranks), 3, num_heads, head_dim, dtype=dtype)
    rows = torch.randperm(length + 9, device=DEVICE)[:length]
    tokens = [received[rank, row] for rank in range(num_ranks) for row in range(received.shape[1])][:length]
    for function in (qkv.store_exchanged.torch, qkv.store_exchanged.triton):
        store = [torch.full((length + 9, num_heads, head_dim), torch.nan, device=DEVICE).to(dtype) for _ in range(2)]
        q = function(received, store[0], store[1], rows)
        assert q.is_contiguous()
        for part, actual in enumerate((q, store[0][rows], store[1][rows])):
            assert torch.equal(actual, torch.stack([token[part] for token in tokens])), part
        assert all(int(part.isnan().flatten(1).all(1).sum()) == 9 for part in store)
