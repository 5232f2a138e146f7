# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Token order, against its definition and recorded channel layouts."""

from __future__ import annotations

import torch

from lingbot_core.models.tokens import patchify, unpatchify
from tests.golden.dit_tiny import recorded


def test_patchify_orders_tokens_by_frame_row_column_and_features_by_channel_row_column() -> None:
    x = torch.arange(3 * 5 * 4 * 6).view(3, 5, 4, 6)
    tokens = patchify(x)
    assert tokens.shape == (3 * 2 * 3, 20)
    t, row, column, channel, kh, kw = 2, 1, 2, 3, 1, 0
    token = (t * 2 + row) * 3 + column
    assert tokens[token, channel * 4 + kh * 2 + kw] == x[t, channel, row * 2 + kh, column * 2 + kw]


def test_unpatchify_undoes_patchify() -> None:
    x = torch.randn(2, 16, 6, 10)
    assert torch.equal(unpatchify(patchify(x), (3, 5)), x)


def test_patchify_matches_recorded_layout() -> None:
    layout = recorded("i2v_mask_layout")
    assert torch.equal(patchify(layout["coded.noise_latent"]), layout["coded.ar0.tokens_144"][:, :64])
    assert torch.equal(patchify(layout["coded.image_latent"]), layout["coded.ar0.tokens_144"][:, 80:])
