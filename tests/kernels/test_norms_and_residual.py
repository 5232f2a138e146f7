# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Norms and residual updates against their formulas."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.kernels.norms import layer_norm_modulate, rms_norm
from lingbot_core.kernels.residual import affine, gated_residual

EPS = 1e-6
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-2}


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


def test_layer_norm_modulate_matches_formula(dtype: torch.dtype) -> None:
    x, (shift, scale) = torch.randn(7, 96).to(dtype), torch.randn(2, 96).to(dtype)
    wide = x.double()
    normed = (wide - wide.mean(-1, keepdim=True)) / (wide.var(-1, correction=0, keepdim=True) + EPS).sqrt()
    expected = normed * (1 + scale.double()) + shift.double()
    actual = layer_norm_modulate(x, shift, scale, EPS)
    assert actual.dtype == dtype
    assert float((actual - expected).norm() / expected.norm()) < TOLERANCE[dtype]


def test_rms_norm_of_a_strided_view_rounds_once_behind_the_weight(dtype: torch.dtype) -> None:
    x, weight = torch.randn(7, 3 * 96).to(dtype).chunk(3, dim=-1)[1], torch.randn(96).to(dtype)
    wide = x.float()
    expected = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS) * weight.float()).to(dtype)
    actual = rms_norm(x, weight, EPS)
    assert actual.dtype == dtype
    if dtype == torch.bfloat16:  # two roundings would differ in a fifth of all values
        assert float((actual != expected).float().mean()) < 0.01
    torch.testing.assert_close(actual, expected, rtol=TOLERANCE[dtype], atol=1e-6)


def test_residual_updates_match_formulas(dtype: torch.dtype) -> None:
    x, y, z = torch.randn(3, 7, 96).to(dtype)
    gate = torch.randn(96).to(dtype)
    expected = (x.double() + y.double() * gate.double()).to(dtype)
    torch.testing.assert_close(gated_residual(x, y, gate), expected, rtol=TOLERANCE[dtype], atol=1e-6)
    expected = (x.double() * y.double() + z.double()).to(dtype)
    torch.testing.assert_close(affine(x, gain=y, shift=z), expected, rtol=TOLERANCE[dtype], atol=1e-6)
