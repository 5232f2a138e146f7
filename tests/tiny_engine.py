# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole engine small enough to run thousands of passes: seeded weights, 32x48 pixels, a counting text encoder."""

from __future__ import annotations

import copy
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from lingbot_core.camera.presets import make_preset
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.decoder import StreamingDecoder
from lingbot_core.errors import stop_if
from lingbot_core.executor.base import ChunkResult, Executor, RolloutRequest, TextEvent
from lingbot_core.loader import LoadedModel, ModelOptions
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.preflight import RunMemory
from lingbot_core.preview import Previewer
from lingbot_core.schedule import make_schedule
from lingbot_core.variants import VARIANTS
from tests.golden.dit_tiny import build_network
from tests.seeded_models import tiny_decoder, wan_decoder, wan_encoder

HEIGHT, WIDTH = 32, 48
CONFIG = DiTConfig(dim=96, ffn_dim=128, num_heads=2, num_layers=6, text_dim=16, text_len=8)
"""Six layers: a replay from two windows back would not rebuild the upper ones."""

FOUR_HEADS = replace(CONFIG, num_heads=4, num_layers=3)
"""For up to four ranks."""


class CountingTextEncoder:
    """Stands for the 11 GB encoder: an embedding that depends on the prompt, and a count of calls."""

    identity = "counting"
    BYTES = 12345

    def __init__(self) -> None:
        self.num_encoded = self.num_loads = 0
        self.is_loaded = False

    @property
    def num_bytes(self) -> int:
        """Memory that it says to take."""
        return self.BYTES if self.is_loaded else 0

    def truncation_warning(self, prompt: str) -> str:
        """A sentence for prompts of more than 100 characters."""
        return f"The prompt has {len(prompt)} characters: too long." if len(prompt) > 100 else ""

    def encode(self, prompts: list[str], cancelled: Callable[[], bool] | None = None) -> Tensor:
        """Seeded embeddings ``[n, 8, 16]``; takes its time for a prompt that says "slow"."""
        for _ in range(600 if "slow" in prompts[0] else 0):
            stop_if(cancelled, "Stopped while a prompt was encoded.")
            time.sleep(0.05)
        self.num_loads += not self.is_loaded
        self.is_loaded = True
        self.num_encoded += len(prompts)
        generators = (torch.Generator().manual_seed(zlib.crc32(prompt.encode())) for prompt in prompts)
        return torch.stack([torch.randn(CONFIG.text_len, CONFIG.text_dim, generator=g) for g in generators])

    def release(self) -> None:
        """Count the next use as another loading."""
        self.is_loaded = False


@cache
def _network(config: DiTConfig, dtype: torch.dtype):
    return build_network(config, dtype)


def build_model(
    window_frames: int = 6,
    sink_frames: int = 3,
    decoder: str = "taehv",
    dtype: torch.dtype = torch.float32,
    schedule: str = "bf16",
    config: DiTConfig = CONFIG,
) -> LoadedModel:
    """A model of its own for every test; weights are shared."""
    tiny = tiny_decoder(denormalize=True, widths=(16, 16, 8))
    module = tiny if decoder == "taehv" else wan_decoder(8)
    variant = VARIANTS["lingbot-world-fast-taehv-window15-sink3" if decoder == "taehv" else "lingbot-world-fast"]
    capacity_chunks = (window_frames + sink_frames) // 3
    return LoadedModel(
        variant=variant,
        options=ModelOptions(),
        device=torch.device("cpu"),
        dtype=dtype,
        precision="fp32" if dtype == torch.float32 else "bf16",
        identity="tiny",
        dit=_network(config, dtype),
        schedule=make_schedule(schedule),
        text=CountingTextEncoder(),  # pyright: ignore[reportArgumentType]
        decoder=StreamingDecoder(module, f"{decoder}-tiny"),
        build_image_encoder=lambda: copy.deepcopy(wan_encoder(8)).to(dtype),
        window_chunks=window_frames // 3,
        sink_chunks=sink_frames // 3,
        memory=RunMemory(variant, config, 1_000_000, 0, dtype.itemsize, (HEIGHT, WIDTH), capacity_chunks, 8),
        previewer=None if decoder == "taehv" else Previewer(StreamingDecoder(tiny, "preview")),
    )


def make_request(num_chunks: int, camera: CameraTrajectory | None = None, **changes) -> RolloutRequest:
    """A request; parts can be replaced by keyword."""
    photo = torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    camera = camera or make_preset("walk-forward", num_chunks)
    return replace(RolloutRequest(photo, camera, (TextEvent(0, "a street"),), num_chunks), **changes)


def bent_path(num_chunks: int, bend_chunk: int) -> CameraTrajectory:
    """A path that walks forward and turns aside from a chunk on."""
    straight, turned = make_preset("walk-forward", num_chunks), make_preset("pan-right", num_chunks)
    first = 0 if bend_chunk == 0 else 12 * bend_chunk - 3
    c2w = straight.c2w.clone()
    c2w[first:] = straight.c2w[first:] @ turned.c2w[: len(c2w) - first]
    return replace(straight, c2w=c2w, source="")


def run(executor: Executor, request: RolloutRequest, **options) -> list[ChunkResult]:
    """All chunks of a request."""
    return list(executor.stream(request, **options))


def assert_same_chunks(actual: list[ChunkResult], expected: list[ChunkResult]) -> None:
    """Equal keys, latents and frames, bit for bit."""
    assert [chunk.key for chunk in actual] == [chunk.key for chunk in expected]
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a.latents, b.latents), f"latents of chunk {a.index}"
        assert (a.frames == b.frames).all(), f"frames of chunk {a.index}"
