# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Attention against its formula, and the choice of a backend."""

from __future__ import annotations

import math

import pytest
import torch

from lingbot_core.kernels import attention as attention_module
from lingbot_core.kernels.attention import attention, attention_backend_name


@pytest.mark.parametrize("head_dim", [48, 128])
def test_attention_matches_formula_without_mask(head_dim: int) -> None:
    q, k, v = (torch.randn(length, 2, head_dim) for length in (6, 15, 15))
    scores = torch.einsum("lnd,snd->nls", q, k) / math.sqrt(head_dim)
    expected = torch.einsum("nls,snd->lnd", scores.softmax(-1), v)
    torch.testing.assert_close(attention(q, k, v), expected, atol=1e-5, rtol=1e-5)


def test_attention_backend_name_after_a_call_names_it() -> None:
    attention(*torch.randn(3, 4, 1, 8))
    assert "torch SDPA (cpu)" in attention_backend_name()


def test_cudnn_when_it_does_not_run_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise RuntimeError("no execution plan")

    zeros = torch.zeros
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch, "zeros", lambda *size, dtype, device: zeros(*size, dtype=dtype))
    monkeypatch.setattr(attention_module, "_cudnn_attention", fail)
    assert not attention_module._can_run_cudnn(torch.device("cuda"), torch.bfloat16, 128)
    monkeypatch.setattr(attention_module, "_cudnn_attention", lambda q, k, v: v)
    assert attention_module._can_run_cudnn(torch.device("cuda"), torch.bfloat16, 128)
    assert not attention_module._can_run_cudnn(torch.device("cuda"), torch.float32, 128)
    assert not attention_module._can_run_cudnn(torch.device("cpu"), torch.bfloat16, 128)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_attention_on_gpu_matches_float64(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(length, 4, 128, device="cuda").to(dtype) for length in (300, 900, 900))
    expected = attention(q.double().cpu(), k.double().cpu(), v.double().cpu())
    actual = attention(q, k, v).double().cpu()
    assert float((actual - expected).norm() / expected.norm()) < {torch.float32: 1e-3, torch.bfloat16: 1e-2}[dtype]
