# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The least work of a pass, counted from the sizes of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lingbot_core.models.dit_config import PATCH_CELLS, DiTConfig

Part = Literal["camera branch", "denoising pass", "cache update"]
PARTS: tuple[Part, ...] = ("camera branch", "denoising pass", "cache update")
"""What a chunk runs: the first once, the second four times, the third once."""


@dataclass(frozen=True)
class Linear:
    """Matrix products of one shape: tokens ``[L, width]`` by weights ``[out, width]``."""

    width: int
    out: int
    count: int
    """How many of them."""

    may_be_fp8: bool
    """Whether precision fp8 computes them in 8 bits."""

    def operations(self, num_tokens: int) -> float:
        """Multiplications and additions of all of them."""
        return 2.0 * num_tokens * self.width * self.out * self.count


@dataclass(frozen=True)
class Attention:
    """Attention of all heads, in so many layers."""

    num_keys: int
    count: int

    def operations(self, config: DiTConfig, num_tokens: int) -> float:
        """Multiplications and additions of all of them, both products counted."""
        return 4.0 * num_tokens * self.num_keys * config.dim * self.count


def linears(config: DiTConfig, part: Part) -> list[Linear]:
    """Matrix products of a part, those of equal shape together."""
    dim, ffn_dim, layers = config.dim, config.ffn_dim, config.num_layers
    if part == "camera branch":
        return [
            Linear(config.camera_channels * PATCH_CELLS, dim, 1, False),
            Linear(dim, dim, 2, False),
            Linear(dim, dim, 2 * layers, True),
            Linear(dim, 2 * dim, layers, True),
        ]
    whole = layers if part == "denoising pass" else layers - 1  # a cache update ends with the last keys and values
    blocks = [
        Linear(dim, 3 * dim, layers, True),
        Linear(dim, dim, 3 * whole, True),
        Linear(dim, ffn_dim, whole, True),
        Linear(ffn_dim, dim, whole, True),
        Linear(config.in_channels * PATCH_CELLS, dim, 1, False),
    ]
    head = [Linear(dim, config.out_channels * PATCH_CELLS, 1, False)] if part == "denoising pass" else []
    return blocks + head


def attentions(config: DiTConfig, part: Part, num_keys: int) -> tuple[Attention, Attention]:
    """Attention to ``num_keys`` visible tokens, and to the text."""
    layers = {"camera branch": 0, "denoising pass": config.num_layers, "cache update": config.num_layers - 1}[part]
    return Attention(num_keys, layers), Attention(config.text_len, layers)


def linear_operations(items: Sequence[Linear], num_tokens: int) -> float:
    """Operations of several shapes."""
    return sum(item.operations(num_tokens) for item in items)
