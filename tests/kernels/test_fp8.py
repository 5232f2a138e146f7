# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Quantisation by row, and matrix products in 8 bits against float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lingbot_core.kernels import fp8
from lingbot_core.kernels.fp8 import FP8_MAX, RowScaled, fp8_failure, fp8_linear, quantise_rows
from lingbot_core.models.linear import Fp8Linear, linear_into

HALF_STEP = 2.0**-4
"""Rounding to 4 significant bits errs by at most this part of the value."""

LEAST_STEP = 2.0**-9
"""Spacing of the smallest values of float8_e4m3fn."""


def dequantise(x: RowScaled) -> Tensor:
    return x.values.double() * x.scale.double()


def random_matrix(rows: int, columns: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(dtype)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(-9, 36),
    st.sampled_from([torch.bfloat16, torch.float32]),
    st.sampled_from([1, 3, 192, 1000]),
)
def test_quantise_rows_errs_by_half_a_step_of_8_bits(seed: int, log_scale: float, dtype: torch.dtype, columns: int):
    x = (random_matrix(5, columns, seed) * 10**log_scale).clamp(-3e38, 3e38).to(dtype)
    quantised = quantise_rows(x)
    assert quantised.values.dtype == torch.float8_e4m3fn and quantised.scale.shape == (5, 1)
    assert quantised.scale.dtype == torch.float32
    wide, scale = x.double(), quantised.scale.double()
    error = (dequantise(quantised) - wide).abs()
    assert bool((error <= torch.maximum(HALF_STEP * wide.abs(), LEAST_STEP / 2 * scale) * (1 + 1e-6)).all())
    assert bool((quantised.values.float().abs().amax(-1) == FP8_MAX).all()), "a row does not use the whole range"


def test_quantise_rows_when_a_row_is_zero_gives_zeros_and_no_nan():
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0], [1e-30, 0.0]])
    quantised = quantise_rows(x)
    assert torch.equal(dequantise(quantised)[0], torch.zeros(2, dtype=torch.float64))
    assert bool((quantised.scale > 0).all() and quantised.values.float().isfinite().all())


def test_quantise_rows_when_a_row_has_nan_or_infinity_spoils_that_row_only():
    x = torch.ones(3, 4)
    x[0, 1], x[2, 3] = math.nan, math.inf
    result = dequantise(quantise_rows(x))
    assert bool(result[0].isnan().all() and result[2].isnan().all() and result[1].isfinite().all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_fp8_linear_off_the_gpu_is_the_product_of_what_is_stored(dtype: torch.dtype):
    x, weight = quantise_rows(random_matrix(7, 192)), quantise_rows(random_matrix(48, 192, 1))
    bias = random_matrix(1, 48, 2)[0].to(dtype)
    expected = dequantise(x) @ dequantise(weight).T + bias.double()
    actual = fp8_linear(x, weight, bias)
    assert actual.dtype == dtype
    tolerance = {torch.bfloat16: 2.0**-8, torch.float32: 1e-5}[dtype]
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=1e-4)


def test_fp8_linear_errs_by_what_rounding_to_4_bits_costs():
    x, weight = random_matrix(64, 512), random_matrix(96, 512, 1)
    actual = fp8_linear(quantise_rows(x), quantise_rows(weight), torch.zeros(96)).double()
    expected = x.double() @ weight.double().T
    assert 0.02 < float((actual - expected).norm() / expected.norm()) < 0.05


def make_layer(in_features: int, out_features: int, device: str = "cpu") -> tuple[Fp8Linear, Tensor]:
    """A layer with bf16 bias, and the weights it was made from."""
    layer, weight = Fp8Linear(in_features, out_features).to(device), random_matrix(out_features, in_features, 1)
    rows = quantise_rows(weight.bfloat16())
    layer.weight.copy_(rows.values)
    layer.weight_scale.copy_(rows.scale)
    layer.bias.data = random_matrix(1, out_features, 2)[0].to(device, torch.bfloat16)
    return layer, weight


def test_layer_when_given_tokens_or_their_8_bits_gives_the_same():
    layer, _ = make_layer(64, 32)
    x = random_matrix(5, 64, 3, torch.bfloat16)
    direct, out = layer(x), torch.empty(5, 32, dtype=torch.bfloat16)
    assert direct.dtype == torch.bfloat16 and torch.equal(layer(quantise_rows(x)), direct)
    linear_into(layer, x, out)
    assert torch.equal(out, direct)


def test_layer_can_be_made_without_memory():
    with torch.device("meta"):
        layer = Fp8Linear(64, 32)
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in layer.named_parameters()}
    assert shapes["weight"] == ((32, 64), torch.float8_e4m3fn) and shapes["weight_scale"] == ((32, 1), torch.float32)
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_fp8_failure_when_there_is_no_gpu_says_so():
    assert "not a GPU" in str(fp8_failure(torch.device("cpu")))


# --- on a GPU ---------------------------------------------------------------------------


@pytest.fixture
def gpu() -> torch.device:
    device = torch.device("cuda", torch.cuda.current_device())
    failure = fp8_failure(device)
    if failure is not None:
        pytest.skip(f"no fp8 on this GPU: {failure}")
    return device


@pytest.mark.gpu
@pytest.mark.parametrize("columns", [192, 5120, 13824])
def test_quantise_rows_gives_equal_bits_on_gpu_and_cpu(gpu: torch.device, columns: int):
    x = random_matrix(72, columns, dtype=torch.bfloat16)
    x[5] = 0
    here, there = quantise_rows(x), quantise_rows(x.to(gpu))
    assert torch.equal(here.scale, there.scale.cpu())
    assert torch.equal(here.values.view(torch.uint8), there.values.cpu().view(torch.uint8))


@pytest.mark.gpu
def test_quantise_rows_on_gpu_when_a_row_has_nan_or_infinity_spoils_that_row_only(gpu: torch.device):
    x = random_matrix(4, 192).to(gpu)
    x[1, 3], x[2, 5] = torch.nan, torch.inf
    is_nan = dequantise(quantise_rows(x)).isnan()
    assert is_nan[1:3].any(dim=1).all() and is_nan[1].all() and not is_nan[[0, 3]].any()


@pytest.mark.gpu
@pytest.mark.parametrize("length", [1, 3, 72, 512, 4524])
@pytest.mark.parametrize(("columns", "rows"), [(192, 576), (256, 256), (512, 192), (5120, 15360), (13824, 5120)])
@pytest.mark.parametrize("fast", [True, False])
def test_fp8_linear_on_gpu_is_the_product_of_what_is_stored(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch, length: int, columns: int, rows: int, fast: bool
):
    monkeypatch.setattr(fp8, "FAST_ACCUMULATION", fast)
    x, weight = (quantise_rows(torch.randn(n, columns, device=gpu)) for n in (length, rows))
    bias = torch.randn(rows, device=gpu).bfloat16()
    expected = dequantise(x) @ dequantise(weight).T + bias.double()
    error = (fp8_linear(x, weight, bias).double() - expected).abs()
    # Hopper's tensor cores add 32 products at a time to a sum that keeps 13 bits; in full it goes to float32 after 4
    lost = 2.0**-13 * (columns / 32 if fast else 4)
    spread = dequantise(x).norm(dim=-1)[:, None] * dequantise(weight).norm(dim=-1) / columns**0.5
    assert bool((error <= 2.0**-8 * expected.abs() + 4 * lost * spread + 1e-6).all()), float((error / spread).max())
    assert float(error.norm() / expected.norm()) < 2.0**-9 + lost / 2


@pytest.mark.gpu
def test_layer_on_gpu_agrees_with_the_cpu(gpu: torch.device):
    layer, _ = make_layer(192, 64)
    x = random_matrix(72, 192, 3, torch.bfloat16)
    expected = layer(x)
    actual = layer.to(gpu)(x.to(gpu)).cpu()
    torch.testing.assert_close(actual, expected, rtol=2.0**-7, atol=1e-2)
