# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Single passes of the network at any chunk, without the rollout that leads there."""

from __future__ import annotations

import torch

from lingbot_core.bench.work import Part
from lingbot_core.executor.local import cache_sizes
from lingbot_core.image_latents import MASK_FEATURES
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.loader import LoadedModel
from lingbot_core.passes import NOISE_FEATURES, NetworkPasses
from lingbot_core.timeline import chunk_tokens, token_grid

GRAPHS_PER_CHUNK = 4
"""Runs of a pass after which all CUDA graphs that it prepares are there."""


class PassProbe:
    """The passes of one chunk, any number of times each.

    Inputs are random. The chunks before it are put into the cache by one pass each.

    Args:
        model: Whose network.
        chunk_index: Which chunk.
        frame_size: Height and width in pixels.
    """

    def __init__(self, model: LoadedModel, chunk_index: int, frame_size: tuple[int, int]) -> None:
        config = model.dit.config
        self.num_tokens = chunk_tokens(*frame_size)
        """L."""
        self.chunk_index = chunk_index
        """Which chunk."""
        self._cache = SinkWindowKVCache(*cache_sizes(model, *frame_size))
        self._passes = NetworkPasses(model.dit, self._cache, model.schedule, token_grid(*frame_size))
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator).to(model.device, model.dtype)

        self._tokens = normal(self.num_tokens, NOISE_FEATURES)
        self._condition = normal(self.num_tokens, MASK_FEATURES + NOISE_FEATURES)
        self._camera = normal(self.num_tokens, config.camera_channels * 4)
        self._passes.set_text("random", normal(config.text_len, config.text_dim))
        for index in range(chunk_index + 1):
            self._cache.begin_chunk(index)
            self.run("camera branch", index)
            if index < chunk_index:
                self.run("cache update", index)
                self._cache.commit_chunk()
        for _ in range(GRAPHS_PER_CHUNK):
            self.run("denoising pass")
            self.run("cache update")

    @property
    def num_visible_tokens(self) -> int:
        """Keys that a query sees."""
        return self._cache.num_visible_chunks(self.chunk_index) * self.num_tokens

    def run(self, part: Part, chunk_index: int | None = None) -> None:
        """Run a part of the work of the chunk once."""
        if part == "camera branch":
            index = self.chunk_index if chunk_index is None else chunk_index
            self._passes.begin_chunk(index, self._condition, self._camera)
        elif part == "denoising pass":
            self._passes.denoise(self._tokens, 0)
        else:
            self._passes.update_cache(self._tokens)
