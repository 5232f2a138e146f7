# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The Wan 2.1 video autoencoder, encoder and decoder apart, as streams.

Pixels become latents at an eighth of the height and width and, but for the very first
frame, a quarter of the rate. Every layer is causal in time: what it needs of earlier frames
is a named tensor in the state that goes into each call and comes out of it. Calls of any
length therefore give the same video as one call for all of it.

Architecture, names and numbers are those of ``Wan2.1_VAE.pth``
(https://github.com/Wan-Video/Wan2.1, ``wan/modules/vae.py``).
"""

from __future__ import annotations

import math
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
    empty_parameter,
    parameter_views,
    upsample_nearest,
)
from lingbot_core.timeline import TEMPORAL_STRIDE

# fmt: off
LATENT_MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
               0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
"""Mean of each latent channel, from Wan's configuration."""

LATENT_STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
              3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)
"""Standard deviation of each latent channel, from Wan's configuration."""
# fmt: on

WIDTH_MULTIPLES = (1, 2, 4, 4)
"""Width of each resolution, finest first, as a multiple of the base width."""

CONTEXT_FRAMES = 2
"""Frames that a three-frame causal convolution sees before its own."""

State = Mapping[str, Tensor]
"""Context frames ``[n, C, H, W]`` by layer name; empty before the first call."""


def normalize_latents(latents: Tensor) -> Tensor:
    """From the autoencoder's own latents to those of the network; ``[T, 16, h, w]``, computed in float32."""
    mean, std = _latent_statistics(latents)
    return ((latents.float() - mean) / std).to(latents.dtype)


def denormalize_latents(latents: Tensor) -> Tensor:
    """From the network's latents to those of the autoencoder; ``[T, 16, h, w]``, computed in float32."""
    mean, std = _latent_statistics(latents)
    return (latents.float() * std + mean).to(latents.dtype)


def _latent_statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    statistics = torch.tensor((LATENT_MEAN, LATENT_STD), dtype=torch.float32)
    mean, std = statistics.to(latents.device)[..., None, None]  # [16, 1, 1] each
    return mean, std


@dataclass(frozen=True)
class WanVAEConfig:
    """Sizes of the autoencoder."""

    base_dim: int = 96
    """Channels at full resolution: 96 in Wan 2.1, 24 in LightVAE."""

    z_dim: int = 16
    """Latent channels."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at full, half, quarter and eighth resolution."""
        return tuple(self.base_dim * multiple for multiple in WIDTH_MULTIPLES)


class RMSNorm(nn.Module):
    """Divides each pixel's channels by their root mean square, then scales them."""

    def __init__(self, channels: int, *, rank: int = 4) -> None:
        super().__init__()
        self.gamma = empty_parameter(channels, *([1] * (rank - 1)))

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalise ``[F, C, H, W]``, into ``out`` if given. Statistics are in float32 at least."""
        target = torch.empty_like(x) if out is None else out
        precision = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=precision)  # [F, 1, H, W]
        scale = length.clamp_min_(1e-12).reciprocal_().mul_(math.sqrt(x.shape[1]))
        torch.mul(x, scale, out=target)
        return target.mul_(self.gamma.view(-1, 1, 1))


class CausalLayer(nn.Module):
    """A layer of the encoder: frames ``[F, C, H, W]`` and the memory in, frames out."""

    reach = 0
    """Frames before its own that a frame out is made of, at the rate of frames in."""

    temporal_stride = 1
    """Frames in for each frame out, but for the very first, which is made of the first one in."""


class CausalConv3d(CausalLayer):
    """Convolution over three frames, of which the last is the current one.

    In the first call two zero frames stand in for those before.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        spatial_size: 3 for a 3x3 window in each frame, 1 for a single cell.
    """

    name = ""
    """Key of this layer's context; set by the model that holds it."""

    reach = CONTEXT_FRAMES

    def __init__(self, in_channels: int, out_channels: int, spatial_size: int = 3) -> None:
        super().__init__()
        self.padding = (0, spatial_size // 2, spatial_size // 2)
        self.weight = empty_parameter(out_channels, in_channels, 3, spatial_size, spatial_size)
        self.bias = empty_parameter(out_channels)

    def forward(self, x: Tensor, memory: LayerMemory, norm: nn.Module | None = None) -> Tensor:
        """Convolve ``[F, C, H, W]``, F may be 0; with ``norm``, of ``silu(norm(x))``."""
        context = memory.get(self.name)
        # written where the context already is, which saves joining them
        joined = empty_frames(CONTEXT_FRAMES + x.shape[0], like=x)
        if context is None:
            joined[:CONTEXT_FRAMES].zero_()
        else:
            joined[:CONTEXT_FRAMES].copy_(context)
        current = joined[CONTEXT_FRAMES:]
        if norm is None:
            current.copy_(x)
        else:
            norm(x, out=current)
            F.silu(current, inplace=True)
        memory.keep(self.name, joined[-CONTEXT_FRAMES:])
        if x.shape[0] == 0:
            return empty_frames(0, like=x, channels=self.weight.shape[0])
        return convolve_time(joined, self.weight, self.bias, padding=self.padding)


def convolve_time(
    x: Tensor, weight: Tensor, bias: Tensor, *, stride: tuple[int, int, int] = (1, 1, 1), padding: tuple[int, int, int]
) -> Tensor:
    """3D convolution of ``[F, C, H, W]`` over frames, rows and columns."""
    clip = x.unsqueeze(0).transpose(1, 2)  # [1, C, F, H, W]
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # torch's size rule ignores the width and sends small clips to a kernel ten times slower
        clip = torch.ops.aten.mkldnn_convolution(clip, weight, bias, padding, stride, (1, 1, 1), 1)
    else:
        clip = F.conv3d(clip, weight, bias, stride=stride, padding=padding)
    return clip.transpose(1, 2).squeeze(0)


class ResidualBlock(CausalLayer):
    """Two normalised convolutions beside a shortcut; entries have their native numbers."""

    reach = 2 * CONTEXT_FRAMES

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": RMSNorm(in_channels),
                "2": CausalConv3d(in_channels, out_channels),
                "3": RMSNorm(out_channels),
                "6": CausalConv3d(out_channels, out_channels),
            }
        )
        self.shortcut = Pointwise(in_channels, out_channels, rank=5) if in_channels != out_channels else None

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        """``[F, C, H, W]`` to as many frames and the block's channels."""
        layers = self.residual
        hidden = layers["2"](x, memory, norm=layers["0"])
        hidden = layers["6"](hidden, memory, norm=layers["3"])
        return hidden.add_(x if self.shortcut is None else self.shortcut(x))


class AttentionBlock(CausalLayer):
    """Single-head self-attention among the cells of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, rank=3)
        self.to_qkv = Pointwise(channels, 3 * channels)
        self.proj = Pointwise(channels, channels)

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        """``[F, C, H, W]`` to the same shape; keeps nothing in memory."""
        qkv = self.to_qkv(self.norm(x)).permute(0, 2, 3, 1).flatten(1, 2).unsqueeze(1)  # [F, 1, H W, 3 C]
        mixed = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))  # [F, 1, H W, C]
        mixed = mixed.squeeze(1).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return self.proj(mixed).add_(x)


class Downsample(CausalLayer):
    """Halves height and width and, if ``temporal``, then the frame rate."""

    name = ""
    """Key of this layer's context (one frame, at the reduced size); set by the model that holds it."""

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels, stride=2, padding=0)})
        self.time_conv = _TimeWeights(channels, channels) if temporal else None
        if temporal:
            self.reach, self.temporal_stride = CONTEXT_FRAMES, 2

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        """``[F, C, H, W]`` to ``[F or F/2, C, H/2, W/2]``; a stream's first frame stays a frame of its own."""
        x = self.resample["1"](F.pad(x, (0, 1, 0, 1)))
        if self.time_conv is None:
            return x
        context = memory.get(self.name)
        memory.keep(self.name, x[-1:])
        if context is not None:
            return self.time_conv(torch.cat([context, x]))
        return x if len(x) == 1 else torch.cat([x[:1], self.time_conv(x)])


class _TimeWeights(nn.Module):
    """Stride-2 convolution over three frames of one cell, without padding."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = empty_parameter(out_channels, in_channels, 3, 1, 1)
        self.bias = empty_parameter(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return convolve_time(x, self.weight, self.bias, stride=(2, 1, 1), padding=(0, 0, 0))


class Upsample(nn.Module):
    """Doubles the frame rate, if ``temporal``, then height and width; halves the channels."""

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.time_conv = CausalConv3d(channels, 2 * channels, spatial_size=1) if temporal else None
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels // 2)})

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        """``[F, C, H, W]`` to ``[F or 2 F, C/2, 2 H, 2 W]``; a stream's first frame is not doubled."""
        if self.time_conv is not None:
            # the first frame never enters the time convolution: its place there is taken by zeros
            single = x[:1] if memory.is_first_call else x[:0]
            pairs = self.time_conv(x[len(single) :], memory)  # [F, 2 C, H, W]
            doubled = pairs.unflatten(1, (2, -1)).flatten(0, 1)
            x = torch.cat([single, doubled]) if len(single) else doubled
        return self.resample["1"](upsample_nearest(x))


class _Head(CausalLayer, nn.ModuleDict):
    """Last norm and convolution of either half; entries have their native numbers."""

    reach = CONTEXT_FRAMES

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__({"0": RMSNorm(in_channels), "2": CausalConv3d(in_channels, out_channels)})

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        return self["2"](x, memory, norm=self["0"])


def _middle(channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ResidualBlock(channels, channels), AttentionBlock(channels), ResidualBlock(channels, channels)]
    )


class _EncoderNet(nn.Module):
    """Pixels to the parameters of the latent distribution, without the last 1x1 convolution."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        width, *_, deepest = config.widths
        self.conv1 = CausalConv3d(3, width)
        self.downsamples = nn.ModuleList()
        for stage, out_width in enumerate(config.widths):
            self.downsamples += [ResidualBlock(width, out_width), ResidualBlock(out_width, out_width)]
            if stage < 3:
                self.downsamples.append(Downsample(out_width, temporal=stage > 0))
            width = out_width
        self.middle = _middle(deepest)
        self.head = _Head(deepest, 2 * config.z_dim)

    @property
    def layers(self) -> list[CausalLayer]:
        """All layers, in order."""
        return [self.conv1, *self.downsamples, *self.middle, self.head]  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory)
        return x


class _DecoderNet(nn.Module):
    """Latents to pixels, without the first 1x1 convolution."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        *_, width = config.widths
        self.conv1 = CausalConv3d(config.z_dim, width)
        self.middle = _middle(width)
        self.upsamples = nn.ModuleList()
        for stage, out_width in enumerate(reversed(config.widths)):
            self.upsamples += [ResidualBlock(width, out_width)] + [
                ResidualBlock(out_width, out_width) for _ in range(2)
            ]
            if stage < 3:
                self.upsamples.append(Upsample(out_width, temporal=stage < 2))
                width = out_width // 2
        self.head = _Head(config.base_dim, 3)

    def forward(self, x: Tensor, memory: LayerMemory) -> Tensor:
        x = self.conv1(x, memory)
        for layer in (*self.middle, *self.upsamples):
            x = layer(x, memory)
        return self.head(x, memory)


class _Half(nn.Module):
    """What encoder and decoder share. Parameters have native names and start uninitialised."""

    def _name_layers(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, (CausalConv3d, Downsample)):
                module.name = name

    def checkpoint_views(self) -> dict[str, CheckpointView]:
        """Where each tensor of a native checkpoint goes."""
        return parameter_views(self)


class WanVAEEncoder(_Half):
    """Streaming encoder; device and precision are those of its parameters.

    Args:
        config: Sizes.
    """

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _EncoderNet(config)
        self.conv1 = Pointwise(2 * config.z_dim, 2 * config.z_dim, rank=5)
        self._name_layers()

    def encode(self, frames: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode the next frames of a stream.

        Args:
            frames: Pixels in [-1, 1], ``[F, 3, H, W]``. F is 1, 5, 9, ... in the first call of a
                stream and 4, 8, ... later; H and W are multiples of 8.
            state: Empty in the first call of a stream, then what the call before returned.

        Returns:
            Normalised means ``[T, z_dim, h, w]``, and the state for the next call.
        """
        memory = LayerMemory(state)
        assert len(frames) % TEMPORAL_STRIDE == int(memory.is_first_call), (len(frames), memory.is_first_call)
        return self.latents(self.encoder(_channels_last(frames), memory)), memory.next_state

    def latents(self, hidden: Tensor) -> Tensor:
        """Normalised means ``[T, z_dim, h, w]`` of what the last causal layer gives."""
        mean, _ = self.conv1(hidden).chunk(2, dim=1)
        return normalize_latents(mean).contiguous()


class StillClip:
    """Latents of one frame that is followed by equal frames without end, one latent frame at a time.

    Once a layer sees nothing but the ending, its frames are equal from then on: one of them is kept, and neither that
    layer nor those before it run again. The finest layers, which take most of the time, are the first to get there.

    Args:
        encoder: The encoder.
        first: The first frame, ``[1, 3, H, W]`` in [-1, 1].
        ending: Each of the frames behind it, of the same shape.
    """

    def __init__(self, encoder: WanVAEEncoder, first: Tensor, ending: Tensor) -> None:
        self._encoder, self._first, self._ending = encoder, first, ending
        self._layers = encoder.encoder.layers
        """Layers that still run. What goes into the first of them ends in equal frames, ``_ending``."""

        self._num_distinct = 1
        """Leading frames into the first of these layers that can differ from the ending."""

        self._frames_per_latent = TEMPORAL_STRIDE
        """Frames into the first of these layers for each latent frame but the very first, which has one."""

        self._state: dict[str, Tensor] = {}
        self.num_encoded = 0
        """Latent frames so far."""

    @property
    def num_bytes(self) -> int:
        """Memory taken."""
        tensors = (self._first, self._ending, *self._state.values(), *self._encoder.parameters())
        return sum(tensor.nbytes for tensor in tensors)

    def next_latent(self) -> Tensor:
        """The next latent frame, normalised, ``[z_dim, h, w]``."""
        x = self._first if self.num_encoded == 0 else self._ending.expand(self._frames_per_latent, -1, -1, -1)
        x, memory = _channels_last(x), LayerMemory(self._state)
        num_distinct, frames_per_latent = self._num_distinct, self._frames_per_latent
        num_steady, steady = 0, (self._ending, num_distinct, frames_per_latent)
        for index, layer in enumerate(self._layers):
            x = layer(x, memory)
            num_distinct = -(-(num_distinct + layer.reach) // layer.temporal_stride)
            frames_per_latent //= layer.temporal_stride
            if 1 + self.num_encoded * frames_per_latent > num_distinct:  # so the newest frame is of the ending
                num_steady, steady = index + 1, (x[-1:].clone(), num_distinct, frames_per_latent)
        self._layers, self._state = self._layers[num_steady:], memory.next_state
        self._ending, self._num_distinct, self._frames_per_latent = steady
        self.num_encoded += 1
        return self._encoder.latents(x)[-1]


class WanVAEDecoder(_Half):
    """Streaming decoder; device and precision are those of its parameters.

    Args:
        config: Sizes.
    """

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.conv2 = Pointwise(config.z_dim, config.z_dim, rank=5)
        self.decoder = _DecoderNet(config)
        self._name_layers()

    def decode(self, latents: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode the next latent frames of a stream.

        Args:
            latents: Normalised latents ``[T, z_dim, h, w]``, any T from 1.
            state: Empty in the first call of a stream, then what the call before returned.

        Returns:
            Pixels clamped to [-1, 1], ``[F, 3, H, W]`` with F = 4 T, less 3 in the first call;
            and the state for the next call.
        """
        memory = LayerMemory(state)
        pixels = self.decoder(self.conv2(_channels_last(denormalize_latents(latents))), memory)
        return pixels.clamp_(-1, 1), memory.next_state


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
