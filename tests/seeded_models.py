# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Autoencoders with the golden fixtures' weights, made once per test run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_core.layouts.base import CheckpointView
from lingbot_core.models.taehv import TAEHVConfig, TAEHVDecoder
from lingbot_core.models.wan_vae import WanVAEConfig, WanVAEDecoder, WanVAEEncoder
from tests.golden.seeded_weights import seeded_input, seeded_tensor

GOLDEN = Path(__file__).parent / "golden"


class _HasViews(Protocol):
    def checkpoint_views(self) -> dict[str, CheckpointView]: ...


ModelT = TypeVar("ModelT", bound=_HasViews)


def fill(model: ModelT, key_to_shape: Mapping[str, tuple[int, ...]] | None = None) -> ModelT:
    """Give a model the seeded weights; ``key_to_shape`` where a checkpoint has more rows than the model."""
    for name, view in model.checkpoint_views().items():
        tensor = torch.from_numpy(seeded_tensor(name, (key_to_shape or {}).get(name, view.shape)))
        view.target.copy_(tensor[-view.shape[0] :])
    return model


def golden(name: str) -> dict[str, Tensor]:
    """Recorded tensors of one file."""
    return load_file(GOLDEN / f"{name}.safetensors")


def random_input(tag: str, *shape: int) -> Tensor:
    """Seeded standard normal input."""
    return torch.from_numpy(seeded_input(tag, shape))


@cache
def wan_encoder(base_dim: int = 96) -> WanVAEEncoder:
    """Seeded encoder, float32."""
    return fill(WanVAEEncoder(WanVAEConfig(base_dim=base_dim)))


@cache
def wan_decoder(base_dim: int = 96) -> WanVAEDecoder:
    """Seeded decoder, float32."""
    return fill(WanVAEDecoder(WanVAEConfig(base_dim=base_dim)))


@cache
def tiny_decoder(*, denormalize: bool, widths: tuple[int, int, int] = (256, 128, 64)) -> TAEHVDecoder:
    """Seeded TAEHV decoder, float32."""
    return fill(TAEHVDecoder(TAEHVConfig(widths), denormalize))
