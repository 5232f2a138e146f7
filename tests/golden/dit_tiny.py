# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The network of the ``dit_tiny`` and ``chunk_tiny`` fixtures, and its inputs (see README.md here)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.tokens import patchify
from lingbot_core.timeline import CHUNK_LATENT_FRAMES
from tests.golden.seeded_weights import seeded_input, seeded_tensor

CONFIG = DiTConfig(dim=192, ffn_dim=384, num_heads=4, num_layers=3, text_dim=64, text_len=32)
GRID = (4, 6)
"""Token rows and columns: 8x12 latent cells."""
NUM_TOKENS = CHUNK_LATENT_FRAMES * GRID[0] * GRID[1]
LATENT_SIZE = (8, 12)
TIMESTEPS = (1000.0, 976.0, 948.0, 824.0, 0.0)
"""Of the recorded passes; the last one is the cache update."""


def recorded(name: str) -> dict[str, Tensor]:
    """Tensors of a recorded file, by name without ending."""
    return load_file(Path(__file__).parent / f"{name}.safetensors")


def build_network(config: DiTConfig = CONFIG, dtype: torch.dtype = torch.float32) -> LingBotDiT:
    """A network with the seeded weights."""
    with torch.device("meta"):
        network = LingBotDiT(config).to(dtype)
    network.to_empty(device="cpu")
    for key, view in network.checkpoint_views().items():
        view.target.copy_(torch.from_numpy(seeded_tensor(key, view.shape)).view(view.target.shape))
    return network


def build_cache(config: DiTConfig, window_frames: int, sink_frames: int, dtype: torch.dtype) -> SinkWindowKVCache:
    """An empty cache for chunks of ``NUM_TOKENS``; window and sink in latent frames."""
    window, sink = window_frames // CHUNK_LATENT_FRAMES, sink_frames // CHUNK_LATENT_FRAMES
    return SinkWindowKVCache(
        config.num_layers, config.num_heads, config.head_dim, NUM_TOKENS, window, sink, dtype, "cpu"
    )


def text_embedding(config: DiTConfig = CONFIG) -> Tensor:
    """Text input, ``[text_len, text_dim]``, zeros from row 20 on."""
    text = torch.from_numpy(seeded_input("dit_tiny/text", (1, config.text_len, config.text_dim)))[0]
    text[20:] = 0
    return text


def noise_tokens(chunk_index: int, pass_index: int) -> Tensor:
    """Noisy latents of a pass, ``[L, 64]``."""
    tag = f"dit_tiny/noise/ar{chunk_index}/pass{pass_index}"
    return patchify(torch.from_numpy(seeded_input(tag, (CHUNK_LATENT_FRAMES, 16, *LATENT_SIZE))))


def condition_tokens(chunk_index: int) -> Tensor:
    """Mask and photo latents of a chunk, ``[L, 80]``."""
    shape = (CHUNK_LATENT_FRAMES, 16, *LATENT_SIZE)
    image = torch.from_numpy(seeded_input(f"dit_tiny/image/ar{chunk_index}", shape))
    mask = torch.zeros(CHUNK_LATENT_FRAMES, 4, *LATENT_SIZE)
    if chunk_index == 0:
        mask[0] = 1
    return patchify(torch.cat([mask, image], dim=1))


def camera_tokens(chunk_index: int) -> Tensor:
    """Ray map of a chunk, ``[L, 1536]``."""
    shape = (CHUNK_LATENT_FRAMES, 384, *LATENT_SIZE)
    return patchify(torch.from_numpy(seeded_input(f"dit_tiny/camera/ar{chunk_index}", shape)))


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    """Distance relative to the length of ``expected``."""
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / expected.norm())
