# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Random weights: for checkpoints that only test code, and for measuring speed without a download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lingbot_core.kernels.fp8 import quantise_rows
from lingbot_core.layouts.base import CheckpointView
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.taehv import TAEHVConfig
from lingbot_core.models.umt5 import UMT5EncoderConfig
from lingbot_core.models.wan_vae import WanVAEConfig


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of everything that a variant consists of."""

    dit: DiTConfig
    """The network."""

    vae: WanVAEConfig = field(default_factory=WanVAEConfig)
    """Encoder and full decoder."""

    taehv: TAEHVConfig = field(default_factory=TAEHVConfig)
    """Tiny decoder."""

    text: UMT5EncoderConfig = field(default_factory=UMT5EncoderConfig.umt5_xxl)
    """Text encoder; always as wide as the published one, which the network reads."""


SIZES: dict[str, ModelSizes] = {
    "full": ModelSizes(DiTConfig.lingbot_14b()),
    "small": ModelSizes(
        DiTConfig(dim=256, ffn_dim=1024, num_heads=2, num_layers=4),
        WanVAEConfig(base_dim=16),
        TAEHVConfig((64, 48, 32)),
        UMT5EncoderConfig(vocab_size=2000, dim=4096, ffn_dim=512, num_heads=4, head_dim=64, num_layers=2),
    ),
    "tiny": ModelSizes(
        DiTConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=3),
        WanVAEConfig(base_dim=8),
        TAEHVConfig((32, 16, 8)),
        UMT5EncoderConfig(vocab_size=1000, dim=4096, ffn_dim=64, num_heads=2, head_dim=16, num_layers=2),
    ),
}
"""Sizes by name: as published, for realistic frames on a CPU, for tests."""

_TINY_DECODER_LAST_LAYER = "decoder.22."
"""Its output is the picture, from 0 to 1. Weak weights around mid-grey make calm noise, where others flash."""


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A float32 tensor with values that keep activations near one, on the CPU.

    Args:
        name: Native name; decides the scale.
        shape: Native shape.
        generator: Advanced by as many normal draws as there are elements.
    """
    mean, std = _scale(name, shape)
    return torch.randn(shape, generator=generator).mul_(std).add_(mean)


def fill_random(views: Mapping[str, CheckpointView], seed: int, device: torch.device | None = None) -> None:
    """Fill a model in place, in its dtype; the values depend on that and on the kind of device.

    What is in 8 bits gets the values that a bf16 model gets, quantised.

    Args:
        views: Where each tensor goes, on the device or in host memory.
        seed: Of all of them.
        device: Where they are drawn; None: where the first one goes.
    """
    device = device or next(iter(views.values())).target.device
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, view in views.items():
            mean, std = _scale(name, view.shape)
            if view.scale is None:
                there = view.target if view.target.device == device else torch.empty_like(view.target, device=device)
                there.normal_(mean, std, generator=generator)
                if there is not view.target:
                    view.target.copy_(there)
                continue
            drawn = torch.empty(view.target.shape, dtype=torch.bfloat16, device=device)
            rows = quantise_rows(drawn.normal_(mean, std, generator=generator))
            view.target.copy_(rows.values)
            view.scale.copy_(rows.scale)


def _scale(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a tensor: norms near 1, small biases, matrices that keep the variance."""
    leaf = name.rpartition(".")[2]
    if name.startswith(_TINY_DECODER_LAST_LAYER):
        return (0.5, 0.02) if leaf == "bias" else (0.0, 0.1 * torch.Size(shape[1:]).numel() ** -0.5)
    if leaf == "modulation":
        return 0.0, 0.1
    if leaf == "gamma" or (leaf == "weight" and len(shape) == 1):
        return 1.0, 0.1
    if leaf == "bias":
        return 0.0, 0.02
    return 0.0, torch.Size(shape[1:]).numel() ** -0.5
