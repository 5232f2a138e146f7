# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Rotary embedding against recorded numbers, and its properties."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lingbot_core.kernels.rope import rope_angles, rotate
from lingbot_core.timeline import latent_frame_indices
from tests.golden.dit_tiny import recorded

GOLDEN = recorded("rope")
GRID = (2, 3)
CASES = [(head_dim, chunk_index) for head_dim in (48, 128) for chunk_index in (0, 1, 7)]


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    return rotate(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))


@pytest.mark.parametrize(("head_dim", "chunk_index"), CASES)
def test_rope_matches_recording(head_dim: int, chunk_index: int) -> None:
    name = f"hd{head_dim}.ar{chunk_index}"
    angles = rope_angles(head_dim, latent_frame_indices(chunk_index), GRID)
    torch.testing.assert_close(angles, GOLDEN[f"{name}.angles"], atol=5e-6, rtol=0)

    q = GOLDEN[f"hd{head_dim}.q"][0]  # [L, N, D]
    torch.testing.assert_close(rotated(q, angles), GOLDEN[f"{name}.q_rotated_fp32"][0], atol=5e-6, rtol=0)
    in_bf16 = rotated(q.bfloat16(), GOLDEN[f"{name}.angles"])
    assert torch.equal(in_bf16.float(), GOLDEN[f"{name}.q_rotated_bf16"][0])


def test_rotate_keeps_length_and_depends_on_distance_only() -> None:
    q, k = torch.randn(2, 1, 1, 48, dtype=torch.float64)
    products = []
    for start in (0, 3, 300):
        angles = rope_angles(48, range(start, start + 2), (1, 1)).double()
        assert torch.allclose(rotated(q, angles[:1]).norm(), q.norm())
        products.append((rotated(q, angles[:1]) * rotated(k, angles[1:])).sum())
    assert torch.allclose(products[0], products[1], atol=1e-5)
    assert torch.allclose(products[0], products[2], atol=1e-3)  # float32 angles of some hundred rad
