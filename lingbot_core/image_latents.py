# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How the network sees the photo: latents of a clip that begins with it and goes on in grey.

The clip is the photo and then mid-grey frames without end, encoded as one stream. Its
latents depend on nothing but the photo, so they are computed once, as far as a rollout
needs them, and the encoder is freed with the last one that can differ from its
predecessor.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from lingbot_core.models.tokens import patchify
from lingbot_core.models.wan_vae import StillClip, WanVAEEncoder
from lingbot_core.streams import side_stream
from lingbot_core.timeline import PATCH_SIZE, latent_frame_indices

MODES = ("exact", "repeat")
"""``exact``: as if the whole clip were encoded. ``repeat``: the first five chunks, then the fifth again, as
FlashDreams does."""

STEADY_LATENT = 29
"""From this latent frame on all are equal: the photo is out of the encoder's reach of 28 latent frames."""

LAST_DISTINCT_CHUNK_WHEN_REPEATING = 4
"""In mode ``repeat`` later chunks get the latents of this one."""

MASK_FEATURES = 4 * PATCH_SIZE**2
"""Mask values per token: one channel for each pixel frame of a latent frame, 2x2 cells each."""


def photo_to_frames(photo: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Photo, uint8 ``[H, W, 3]``, as one frame ``[1, 3, H, W]`` in [-1, 1], computed in ``dtype`` as upstream does."""
    return (photo.to(device).permute(2, 0, 1)[None].to(dtype) / 127.5 - 1).contiguous()


def condition_tokens(chunk_index: int, image_latents: Tensor) -> Tensor:
    """What the network gets beside the noisy tokens.

    Args:
        chunk_index: Chunk index.
        image_latents: The chunk's latents of the photo clip, ``[3, 16, h, w]``.

    Returns:
        ``[L, 80]``: 16 mask features, which are 1 in the very first latent frame of a rollout
        (the photo is known) and 0 elsewhere, then 64 image features. Behind the 64 noise
        features they make the network's input.
    """
    image = patchify(image_latents)  # [L, 64]
    tokens = image.new_zeros(len(image), MASK_FEATURES + image.shape[1])
    if chunk_index == 0:
        tokens[: len(image) // len(image_latents), :MASK_FEATURES] = 1
    tokens[:, MASK_FEATURES:] = image
    return tokens


class ImageLatents:
    """Latents of one photo at one size, by chunk; computed in order, when first asked for.

    On CUDA the encoder has a stream of its own, so that :meth:`prefetch` can run beside the
    network's passes.

    Args:
        photo: uint8 ``[H, W, 3]`` at the size of the run.
        build_encoder: Gives the encoder with its weights, on ``device`` in ``dtype``. Called when
            the first latents are needed, and again only if some are needed after :meth:`release`.
        mode: One of ``MODES``.
        device: Where to compute.
        dtype: Precision.
    """

    def __init__(
        self,
        photo: Tensor,
        build_encoder: Callable[[], WanVAEEncoder],
        mode: str,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        assert mode in MODES, mode
        self._photo, self._build_encoder, self._mode = photo, build_encoder, mode
        self._device, self._dtype = torch.device(device), dtype
        last_chunk = latent_frame_indices(LAST_DISTINCT_CHUNK_WHEN_REPEATING)
        self._num_distinct = last_chunk.stop if mode == "repeat" else STEADY_LATENT + 1
        self._latents: list[Tensor] = []  # [16, h, w] each, from latent frame 0
        self._clip: StillClip | None = None  # behind _latents after a release
        self._stream = side_stream(self._device, "encode") if self._device.type == "cuda" else None

    @property
    def finished(self) -> bool:
        """Whether all latents that can differ are known, so that no encoder is needed any more."""
        return len(self._latents) == self._num_distinct

    @property
    def num_bytes(self) -> int:
        """Memory taken: latents, and the encoder with its state while it is there."""
        clip = 0 if self._clip is None else self._clip.num_bytes
        return clip + sum(latent.nbytes for latent in self._latents)

    def chunk(self, chunk_index: int) -> Tensor:
        """Latents ``[3, 16, h, w]`` of a chunk, ready for the current stream."""
        indices = self._latent_indices(chunk_index)
        self._encode_until(indices[-1] + 1)
        latents = [self._latents[index] for index in indices]
        if self._stream is not None:
            reader = torch.cuda.current_stream(self._device)
            reader.wait_stream(self._stream)
            for latent in latents:
                latent.record_stream(reader)
        if self.finished:
            self.release()
        return torch.stack(latents)

    def prefetch(self, chunk_index: int) -> None:
        """Start computing a chunk's latents beside the current stream; does nothing on the CPU."""
        if self._stream is not None:
            self._encode_until(self._latent_indices(chunk_index)[-1] + 1)

    def release(self) -> None:
        """Free the encoder and its state; known latents stay."""
        if self._clip is None:
            return
        if self._stream is not None:
            self._stream.synchronize()  # the weights' memory belongs to another stream
        self._clip = None
        if self._stream is not None:
            torch.cuda.empty_cache()  # what one stream has freed no other stream can use

    def _latent_indices(self, chunk_index: int) -> list[int]:
        """Which of the distinct latents a chunk gets."""
        if self._mode == "repeat":
            chunk_index = min(chunk_index, LAST_DISTINCT_CHUNK_WHEN_REPEATING)
        return [min(index, self._num_distinct - 1) for index in latent_frame_indices(chunk_index)]

    def _encode_until(self, num_latents: int) -> None:
        """Encode until so many latents are known."""
        if len(self._latents) >= num_latents:
            return
        encoder = self._build_encoder() if self._clip is None else None
        if encoder is not None and self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream) if self._stream is not None else nullcontext():
            if encoder is not None:
                first = photo_to_frames(self._photo, self._device, self._dtype)
                self._clip = StillClip(encoder, first, torch.zeros_like(first))
            while len(self._latents) < num_latents:
                self._encode_one()

    def _encode_one(self) -> None:
        """Encode the clip's next frames into the next latent."""
        assert self._clip is not None
        latent = self._clip.next_latent()
        if self._clip.num_encoded > len(self._latents):
            self._latents.append(latent)
