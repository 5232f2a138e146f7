# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Latents to frames, chunk after chunk: one front for the Wan decoder and for TAEHV."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from lingbot_core.errors import ResourceError
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, SPATIAL_STRIDE

logger = logging.getLogger(__name__)


class DecoderModule(Protocol):
    """What the models behind :class:`StreamingDecoder` have in common."""

    def decode(self, latents: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised latents ``[T, 16, h, w]`` to pixels ``[F, 3, H, W]`` in [-1, 1], and the next state."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """The parameters; the first one tells device and precision."""
        ...


@dataclass(frozen=True)
class DecoderState:
    """What a decoder remembers of the latent frames it has seen.

    Never written in place: each call of the decoder returns a new state, so a state may be
    kept, shared and decoded from any number of times. It may live on any device; decoding
    moves it to the decoder's.

    Size at 464x832 in bf16: 1.8 GB for the Wan decoder, 65 MB for TAEHV.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """Context frames ``[n, C, H, W]`` by layer name; empty before the first latent frame."""

    num_latent_frames: int = 0
    """Latent frames seen so far."""

    @property
    def num_bytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def to(self, device: torch.device | str) -> DecoderState:
        """This state on a device; tensors already there are shared, not copied."""
        return DecoderState({name: tensor.to(device) for name, tensor in self.tensors.items()}, self.num_latent_frames)


def frames_to_uint8(frames: Tensor) -> Tensor:
    """Pixels ``[F, 3, H, W]`` in [-1, 1] to ``[F, H, W, 3]`` in 0..255: clipped, truncated, as upstream does."""
    levels = frames.permute(0, 2, 3, 1).float().add(1).mul_(127.5)
    return levels.clamp_(0, 255).to(torch.uint8).contiguous()


class StreamingDecoder:
    """Decodes a rollout's latents in order, any number at a time.

    Order of use: ``state = initial_state()``, then ``frames, state = decode(latents, state)``
    for every chunk of the rollout, from chunk 0.

    Args:
        module: The decoder network, with its weights.
        identity: Names the weights and their kind; part of a file name, so of letters, digits, ``-`` and ``_``.
        latents_per_call: Latent frames per call of the network. More is faster and takes more
            memory; the frames agree up to rounding. None: a chunk on CUDA, one elsewhere.
    """

    def __init__(self, module: DecoderModule, identity: str, latents_per_call: int | None = None) -> None:
        self.module, self.identity = module, identity
        parameter = next(module.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        if latents_per_call is None:
            latents_per_call = CHUNK_LATENT_FRAMES if self.device.type == "cuda" else 1
        assert latents_per_call >= 1, latents_per_call
        self.latents_per_call = latents_per_call

    def initial_state(self) -> DecoderState:
        """State before the first latent frame of a rollout."""
        return DecoderState()

    def decode(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Decode the next latent frames.

        Args:
            latents: Normalised latents ``[T, 16, h, w]``, any device and precision.
            state: State behind the frames before them.

        Returns:
            Frames, uint8 ``[F, H, W, 3]`` on the decoder's device, with F = 4 T, less 3 at the
            beginning of a rollout; and the state for what follows.

        Raises:
            ResourceError: Not even one latent frame at a time fits the GPU's memory. ``state``
                is as it was.
        """
        return self._decode_calls(latents, state, as_uint8=True)

    def decode_float(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As :meth:`decode`, but frames are ``[F, 3, H, W]`` in [-1, 1], in the decoder's precision."""
        return self._decode_calls(latents, state, as_uint8=False)

    def _decode_calls(self, latents: Tensor, state: DecoderState, *, as_uint8: bool) -> tuple[Tensor, DecoderState]:
        latents = latents.to(self.device, self.dtype)
        state = state.to(self.device)
        parts: list[Tensor] = []
        start = 0
        while start < len(latents):
            call_latents = latents[start : start + self.latents_per_call]
            decoded = self._try_call(call_latents, state.tensors)
            if decoded is None:
                self._use_less_memory(call_latents)
                continue
            frames, tensors = decoded
            parts.append(frames_to_uint8(frames) if as_uint8 else frames)
            start += len(call_latents)
            state = DecoderState(tensors, state.num_latent_frames + len(call_latents))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)), state

    def _try_call(self, latents: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]] | None:
        """One call of the network; None when the GPU's memory does not suffice."""
        try:
            return self.module.decode(latents, tensors)
        except torch.cuda.OutOfMemoryError:
            return None  # the caller goes on outside of this handler, where the failed call's tensors are free

    def _use_less_memory(self, latents: Tensor) -> None:
        """Go down to one latent frame per call, for good."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        num_latents = len(latents)
        if num_latents == 1:
            height, width = (SPATIAL_STRIDE * cells for cells in latents.shape[2:])
            raise ResourceError(
                f"The GPU's memory does not suffice to decode frames of {height}x{width}.",
                do="Use a variant with the TAEHV decoder, a smaller window or a smaller frame size.",
            )
        logger.warning("Decoding %d latent frames at once ran out of GPU memory; going on one at a time.", num_latents)
        self.latents_per_call = 1
