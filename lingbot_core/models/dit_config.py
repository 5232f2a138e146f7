# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Sizes of the diffusion transformer, and what its passes are given besides tokens.

L tokens of a chunk, or with several ranks those of one rank; N heads, D head dim, C network width (= N * D).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lingbot_core.timeline import PATCH_SIZE

PATCH_CELLS = PATCH_SIZE**2
"""Latent cells per token."""


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the network."""

    dim: int
    """Width of the residual stream, C."""

    ffn_dim: int
    """Hidden width of the feed-forward layers."""

    num_heads: int
    """N; divides ``dim``."""

    num_layers: int
    """Blocks."""

    text_dim: int = 4096
    """Width of the text encoder."""

    text_len: int = 512
    """Text tokens, padding included: padding is attended to."""

    freq_dim: int = 256
    """Sines and cosines that encode the timestep."""

    in_channels: int = 36
    """Latent channels in: 16 noisy, 4 mask, 16 of the photo."""

    out_channels: int = 16
    """Latent channels out."""

    camera_channels: int = 384
    """Ray map channels per latent cell: 6 of 8x8 pixels."""

    eps: float = 1e-6
    """Of every norm."""

    def __post_init__(self) -> None:
        assert self.dim % self.num_heads == 0 and self.head_dim % 2 == 0, (self.dim, self.num_heads)

    @property
    def head_dim(self) -> int:
        """D."""
        return self.dim // self.num_heads

    @classmethod
    def lingbot_14b(cls) -> DiTConfig:
        """The published network: 18.5 B parameters, camera layers included."""
        return cls(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40)


@dataclass(frozen=True)
class TextContext:
    """Cross-attention keys and values of a text."""

    k: Tensor
    """``[layers, text_len, N, D]``."""

    v: Tensor
    """``[layers, text_len, N, D]``."""


@dataclass(frozen=True)
class CameraModulation:
    """What a chunk's cameras do to the residual stream, ``(1 + scale) * x + shift``, in each layer."""

    scale_shift: Tensor
    """``[layers, L, 2, C]``: scale (0 for no effect), then shift."""


@dataclass(frozen=True)
class TimestepEmbedding:
    """A timestep, as the network is told of it."""

    e: Tensor
    """For the head, ``[C]``."""

    e0: Tensor
    """For the blocks, ``[6, C]``: shift, scale, gate of self-attention, then of the feed-forward layers."""


@dataclass(frozen=True)
class TimestepModulation:
    """What a timestep does in each layer: embedding plus the layer's own modulation."""

    blocks: Tensor
    """``[layers, 6, C]``: shift, scale, gate of self-attention, then of the feed-forward layers."""

    head: Tensor
    """``[2, C]``: shift, scale."""

    def shift_scale_before(self, layer: int) -> tuple[Tensor, Tensor]:
        """Shift and scale ``[C]`` of the norm that a layer begins with; the head's behind the last layer."""
        shift, scale = self.blocks[layer, :2] if layer < len(self.blocks) else self.head
        return shift, scale


@dataclass(frozen=True)
class RopeAngles:
    """Rotation of each token's feature pairs, in the dtype of the network."""

    cos: Tensor
    """``[L, D/2]``."""

    sin: Tensor
    """``[L, D/2]``."""
