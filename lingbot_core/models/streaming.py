# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the streaming video autoencoders share: memory between calls, and 2D convolutions.

Inside these models a clip is ``[F, C, H, W]`` in ``channels_last`` memory, so that physically
it is ``[F, H, W, C]``: frames are contiguous, context frames are joined by plain copies, a
1x1 convolution is one matrix product, and a 3D convolution sees ``channels_last_3d``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_core.layouts.base import CheckpointView


class LayerMemory:
    """Frames that causal layers carry from one call to the next, by layer name.

    Lives for one call. Each layer reads its context with :meth:`get` and leaves the context
    of the next call with :meth:`keep`. The given state is only read, so a call that fails
    half-way has changed nothing.

    Args:
        state: What the call before returned; empty before the first call.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.is_first_call = not state
        """Whether the first frame of this call is the first of the whole stream."""

        self.next_state: dict[str, Tensor] = {}
        """Context for the next call, filled by the layers."""

        self._state = state

    def get(self, name: str) -> Tensor | None:
        """Context frames ``[n, C, H, W]`` of a layer; None in the first call."""
        return None if self.is_first_call else self._state[name]

    def keep(self, name: str, frames: Tensor) -> None:
        """Copy frames for the next call. A copy, as a view would keep the whole activation alive."""
        self.next_state[name] = frames.clone()


def empty_parameter(*shape: int) -> nn.Parameter:
    """Uninitialised weight; of rank 4 and 5 in channels-last memory, as the activations are."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    memory_format = formats.get(len(shape), torch.contiguous_format)
    return nn.Parameter(torch.empty(shape, memory_format=memory_format), requires_grad=False)


class Conv2d(nn.Module):
    """Per-frame 3x3 convolution of ``[F, C, H, W]``.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        stride: Step in height and width.
        padding: Zeros on every side.
        bias: Whether there is a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = empty_parameter(out_channels, in_channels, 3, 3)
        self.bias = empty_parameter(out_channels) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[F, C, H, W]``."""
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class Pointwise(nn.Module):
    """1x1 convolution, computed as a matrix product over channels.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        rank: Rank of the weight in the checkpoint: 4, or 5 where the layer counts as 3D there.
        bias: Whether there is a bias.
    """

    def __init__(self, in_channels: int, out_channels: int, *, rank: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.weight = empty_parameter(out_channels, in_channels, *([1] * (rank - 2)))
        self.bias = empty_parameter(out_channels) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map the channels of ``[F, C, H, W]``."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def upsample_nearest(x: Tensor) -> Tensor:
    """Double height and width by repeating cells."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def empty_frames(num_frames: int, like: Tensor, channels: int | None = None) -> Tensor:
    """Uninitialised frames ``[num_frames, C, H, W]`` of the type and size of ``like``."""
    _, like_channels, height, width = like.shape
    shape = (num_frames, like_channels if channels is None else channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def parameter_views(module: nn.Module) -> dict[str, CheckpointView]:
    """Views for a model whose parameters have the names and shapes of the native checkpoint."""
    parameters: Iterable[tuple[str, nn.Parameter]] = module.named_parameters()
    return {name: CheckpointView(tuple(tensor.shape), tensor.detach()) for name, tensor in parameters}
