# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What an executor is asked, what it answers, and its interface."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError
from lingbot_core.preflight import RunMemory
from lingbot_core.stats import ChunkStats


@dataclass(frozen=True)
class TextEvent:
    """The text that holds from a chunk on, until the next event."""

    chunk_index: int
    """First chunk that sees the text; 0 for the first event."""

    prompt: str = ""
    """The text. Not looked at when ``embedding`` is given."""

    embedding: Tensor | None = None
    """An encoding made elsewhere, ``[text_len, text_dim]``; None encodes ``prompt`` here."""


@dataclass(frozen=True)
class RolloutRequest:
    """All that determines a rollout, next to the model.

    Args:
        photo: First frame at the size of the run, uint8 ``[H, W, 3]``, on the CPU.
        camera: The path; at least ``num_chunks`` chunks long.
        text: Text by chunk, in order, the first at chunk 0.
        num_chunks: Chunks wanted, from the beginning of the rollout.
        seed: Seed of the noise.

    Raises:
        InputError: A part does not fit the others.
    """

    photo: Tensor
    camera: CameraTrajectory
    text: tuple[TextEvent, ...]
    num_chunks: int
    seed: int = 42

    def __post_init__(self) -> None:
        if self.num_chunks < 1:
            raise InputError("There is nothing to generate.", got=f"{self.num_chunks} chunks", need="at least 1")
        if self.camera.num_chunks < self.num_chunks:
            raise InputError(
                "The camera path is shorter than the video.",
                got=f"a path of {self.camera.num_chunks} chunks for a video of {self.num_chunks}",
                do="Lengthen the path or ask for fewer chunks.",
            )
        starts = [event.chunk_index for event in self.text]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise InputError(
                "The text events are out of order.",
                got=f"events at chunks {starts}",
                need="one event at chunk 0, each later one at a later chunk",
            )


@dataclass(frozen=True)
class PassProgress:
    """Where a running request is; sent after every pass."""

    chunk_index: int
    """Chunk being worked on."""

    num_chunks: int
    """Chunks of the request."""

    pass_index: int
    """Passes of this chunk that are done: 1 to ``num_passes``."""

    num_passes: int
    """Passes per chunk: 5 when generating, 1 when replaying."""

    replaying: bool = False
    """True while recorded chunks are put back into the KV cache."""

    preview: np.ndarray | None = field(default=None, compare=False)
    """A quick look at the chunk, uint8 ``[F, h, w, 3]``, if one was asked for and its frames will take a while."""


@dataclass(frozen=True)
class ChunkResult:
    """One finished chunk."""

    index: int
    """Chunk index, from 0."""

    key: str
    """Key of the chunk's record."""

    latents: Tensor
    """Clean normalised latents, ``[T, C, h, w]``, on the CPU."""

    frames: np.ndarray
    """Decoded frames, uint8 ``[F, H, W, 3]``; may be memory-mapped, so copy before writing."""

    stats: ChunkStats
    """What it cost."""

    reused: bool
    """True when nothing of the network ran for it."""


@dataclass(frozen=True)
class EngineInfo:
    """What callers may know of a loaded model, wherever it is."""

    device: torch.device
    """Where it runs; with several GPUs the first."""

    dtype: torch.dtype
    """Dtype of activations."""

    decoder: str
    """Identity of the decoder, which frames are kept under."""

    text_encoder: str
    """Identity of the text encoder, which encodings are kept under."""

    text_dim: int
    """Width of a text embedding."""

    text_encoder_bytes: int
    """Memory that the text encoder takes, from the first prompt until a request runs."""

    attention: str
    """How the network computes attention, for people."""

    memory: RunMemory
    """What a run takes on each device."""

    num_ranks: int = 1
    """Devices that work on it together."""


class Executor(Protocol):
    """Runs requests on one or several devices and keeps state between them."""

    @property
    def info(self) -> EngineInfo:
        """What is loaded; :meth:`start` is called if need be."""
        ...

    def start(self, cancelled: Callable[[], bool] | None = None) -> None:
        """Load the model if it is not loaded, or not any more because its processes have ended.

        Args:
            cancelled: Asked all along.

        Raises:
            Cancelled: ``cancelled`` returned True; nothing is loaded.
            LingBotError: It cannot be loaded.
        """
        ...

    @property
    def num_bytes(self) -> int:
        """Memory held on the (first) device: weights and state."""
        ...

    @property
    def num_state_bytes(self) -> int:
        """The part of it that :meth:`close` frees."""
        ...

    def stream(
        self,
        request: RolloutRequest,
        *,
        on_progress: Callable[[PassProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        previews: bool = False,
    ) -> Generator[ChunkResult, None, None]:
        """Yield every chunk of a request in order; computed only where not yet known.

        Args:
            request: What to generate.
            on_progress: Called after each pass, from the thread that iterates.
            cancelled: Asked before each pass, and while a prompt is encoded; True ends the request with ``Cancelled``.
                Chunks that were yielded stay recorded.
            previews: Let ``on_progress`` see each chunk as soon as its latents are clean, where the decoder is slow.

        Raises:
            Cancelled: ``cancelled`` returned True.
            LingBotError: The request cannot be run; nothing recorded is lost.
        """
        ...

    def encode_texts(
        self,
        prompts: Sequence[str],
        *,
        on_warning: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Tensor]:
        """Encode prompts; those encoded before come from the store.

        The encoder stays in memory for the next prompts, until a request runs or :meth:`close`.

        Args:
            prompts: As the user wrote them.
            on_warning: Told, in a sentence for the user, of each prompt whose end is ignored; None logs it.
            cancelled: Asked all along while the encoder is loaded and run.

        Returns:
            One embedding per prompt, bf16 ``[text_len, text_dim]``, on the CPU.

        Raises:
            Cancelled: ``cancelled`` returned True.
            LingBotError: The encoder cannot be loaded.
        """
        ...

    @property
    def holds_text_encoder(self) -> bool:
        """Whether the text encoder is in memory, as :attr:`num_state_bytes` tells."""
        ...

    def release_text_encoder(self) -> None:
        """Free the text encoder, if that can be done alone; the next prompt loads it again."""
        ...

    def knows_text(self, prompt: str) -> bool:
        """Whether a prompt's encoding is in the store, so that the encoder will not be needed."""
        ...

    def close(self) -> None:
        """Free memory and processes. Records in the journal stay."""
        ...
