# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""TAEHV, the tiny decoder for Wan 2.1 latents, as a stream.

About a 25th of the work of the Wan decoder, at some loss of detail. Architecture and names
are those of https://github.com/madebyollin/taehv; entries keep their checkpoint numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_core.layouts.base import CheckpointView
from lingbot_core.models.streaming import (
    Conv2d,
    LayerMemory,
    Pointwise,
    empty_frames,
    parameter_views,
    upsample_nearest,
)
from lingbot_core.models.wan_vae import denormalize_latents
from lingbot_core.timeline import TEMPORAL_STRIDE

LATENT_CHANNELS = 16
"""Channels of a Wan 2.1 latent."""

BLOCKS_PER_STAGE = 3
"""Memory blocks at each resolution."""

STAGE_FRAME_FACTORS = (1, 2, 2)
"""Frames that each stage makes of one, at its end."""


@dataclass(frozen=True)
class TAEHVConfig:
    """Sizes of the decoder."""

    widths: tuple[int, int, int] = (256, 128, 64)
    """Channels at an eighth, a quarter and half of the frame's height and width."""


class MemBlock(nn.Module):
    """Residual block that also sees its own input of one frame earlier (zeros before the first)."""

    name = ""
    """Key of this block's context (one frame); set by the model that holds it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict(
            {
                "0": Conv2d(2 * channels, channels),
                "2": Conv2d(channels, channels),
                "4": Conv2d(channels, channels),
            }
        )

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        """``[F, C, H, W]`` to the same shape."""
        num_frames, channels = x.shape[:2]
        context = memory.get(self.name)
        memory.keep(self.name, x[-1:])
        joined = empty_frames(num_frames, like=x, channels=2 * channels)
        current, past = joined.split(channels, dim=1)
        current.copy_(x)
        past[1:].copy_(x[:-1])
        if context is None:
            past[:1].zero_()
        else:
            past[:1].copy_(context)
        hidden = self.conv["0"](joined).relu_()
        hidden = self.conv["2"](hidden).relu_()
        return self.conv["4"](hidden).add_(x).relu_()


class TimeGrow(nn.Module):
    """Makes ``factor`` frames of one by a 1x1 convolution."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = Pointwise(channels, factor * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[F, C, H, W]`` to ``[factor F, C, H, W]``."""
        return self.conv(x).unflatten(1, (self.factor, -1)).flatten(0, 1)


class TAEHVDecoder(nn.Module):
    """Streaming tiny decoder; device and precision are those of its parameters.

    Parameters have native names and start uninitialised.

    Args:
        config: Sizes.
        denormalize: Whether the weights were trained on the autoencoder's own latents
            (``lighttaew2_1``) and not on the network's normalised ones (``taew2_1``).
    """

    def __init__(self, config: TAEHVConfig, denormalize: bool) -> None:
        super().__init__()
        self.config, self.denormalize = config, denormalize
        layers: dict[str, nn.Module] = {"1": Conv2d(LATENT_CHANNELS, config.widths[0])}
        index = 3
        for stage, width in enumerate(config.widths):
            next_width = config.widths[min(stage + 1, len(config.widths) - 1)]
            for _ in range(BLOCKS_PER_STAGE):
                layers[str(index)] = MemBlock(width)
                index += 1
            layers[str(index + 1)] = TimeGrow(width, STAGE_FRAME_FACTORS[stage])
            layers[str(index + 2)] = Conv2d(width, next_width, bias=False)
            index += 3
        layers[str(index + 1)] = Conv2d(config.widths[-1], 3)
        self.decoder = nn.ModuleDict(layers)
        for name, module in self.named_modules():
            if isinstance(module, MemBlock):
                module.name = name

    def checkpoint_views(self) -> dict[str, CheckpointView]:
        """Where each tensor of a native checkpoint goes."""
        return parameter_views(self)

    def decode(self, latents: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode the next latent frames of a stream.

        Args:
            latents: Normalised latents ``[T, 16, h, w]``, any T from 1.
            state: Empty in the first call of a stream, then what the call before returned.

        Returns:
            Pixels clamped to [-1, 1], ``[F, 3, H, W]`` with F = 4 T, less 3 in the first call;
            and the state for the next call.
        """
        memory = LayerMemory(state)
        x = denormalize_latents(latents) if self.denormalize else latents
        x = (3 * torch.tanh(x / 3)).contiguous(memory_format=torch.channels_last)
        x = self._run(x, memory).clamp_(0, 1).mul_(2).sub_(1)
        return (x[TEMPORAL_STRIDE - 1 :] if memory.is_first_call else x), memory.next_state

    def _run(self, x: Tensor, memory: LayerMemory) -> Tensor:
        first, *layers, last = self.decoder.values()
        x = first(x).relu_()
        for layer in layers:
            if isinstance(layer, MemBlock):
                x = layer(x, memory)
            elif isinstance(layer, TimeGrow):
                # natively behind the upsampling; before it, the same values for a quarter of the work
                x = upsample_nearest(layer(x))
            else:
                x = layer(x)
        return last(F.relu_(x))
