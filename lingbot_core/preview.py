# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A quick look at a chunk, for variants whose own decoder takes its time.

By TAEHV where its weights are there; else as three colours of the latents, an eighth of the frame's height and
width. Previews are never kept, and nothing that is kept depends on them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.decoder import DecoderState, StreamingDecoder, frames_to_uint8

MAX_SIDE = 512
"""Longest side of a preview in pixels."""

_RGB = (
    (-0.1299, -0.1692, 0.2932),
    (0.0671, 0.0406, 0.0442),
    (0.3568, 0.2548, 0.1747),
    (0.0372, 0.2344, 0.1420),
    (0.0313, 0.0189, -0.0328),
    (0.0296, -0.0956, -0.0665),
    (-0.3477, -0.4059, -0.2925),
    (0.0166, 0.1902, 0.1975),
    (-0.0412, 0.0267, -0.1364),
    (-0.1293, 0.0740, 0.1636),
    (0.0680, 0.3019, 0.1128),
    (0.0032, 0.0581, 0.0639),
    (-0.1251, 0.0927, 0.1699),
    (0.0060, -0.0633, 0.0005),
    (0.3477, 0.2275, 0.2950),
    (0.1984, 0.0913, 0.1861),
)
_RGB_BIAS = (-0.1835, -0.0868, -0.3360)
"""Red, green and blue in [-1, 1] of each channel of a normalised Wan 2.1 latent; the numbers are ComfyUI's
(``comfy/latent_formats.py``, class ``Wan21``).
"""


def latents_to_rgb(latents: Tensor) -> Tensor:
    """Normalised latents ``[T, 16, h, w]`` to frames, uint8 ``[T, h, w, 3]``: a linear map of each cell."""
    factors = torch.tensor(_RGB, dtype=torch.float32, device=latents.device)
    bias = torch.tensor(_RGB_BIAS, dtype=torch.float32, device=latents.device)
    return frames_to_uint8(torch.einsum("tchw,cr->trhw", latents.float(), factors) + bias[:, None, None])


class Previewer:
    """Makes previews of the chunks of rollouts.

    Args:
        decoder: A TAEHV; None where its weights are missing.
    """

    def __init__(self, decoder: StreamingDecoder | None) -> None:
        self.decoder = decoder
        self._last_key: str | None = None
        self._state = DecoderState()

    def frames(self, before: str | None, key: str, latents: Tensor) -> Tensor:
        """Frames of a chunk.

        Args:
            before: Key of the chunk before it; None for the first. A stream goes on where the last preview was of
                that chunk, and begins anew elsewhere.
            key: Its key.
            latents: Its normalised latents ``[T, 16, h, w]``, on the device.

        Returns:
            uint8 ``[F, height, width, 3]`` on the device, no side longer than :data:`MAX_SIDE`.
        """
        if self.decoder is None:
            return latents_to_rgb(latents)
        if before != self._last_key:
            self._state = self.decoder.initial_state()
        frames, self._state = self.decoder.decode_float(latents, self._state)
        self._last_key = key
        return frames_to_uint8(_shrink(frames))


def _shrink(frames: Tensor) -> Tensor:
    """Frames ``[F, 3, H, W]`` with no side longer than a preview's."""
    height, width = frames.shape[2:]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return frames
    size = max(1, round(scale * height)), max(1, round(scale * width))
    return F.interpolate(frames.float(), size, mode="bilinear", antialias=True).clamp(-1, 1)
