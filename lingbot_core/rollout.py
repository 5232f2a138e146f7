# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A rollout: the keys of its chunks, and which of them are already known.

A chunk's key hashes all that its latents depend on, so equal keys mean equal
latents. Keys form a chain: two requests share exactly the chunks before the first
difference in photo, seed, camera or text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lingbot_core.camera.trajectory import ChunkCamera

KEY_FORMAT = 1
"""Raised whenever the same inputs give other latents than before."""


@dataclass(frozen=True)
class ChunkRecord:
    """What is kept of a finished chunk. Never changed once made."""

    key: str
    """Key of this chunk."""

    parent: str
    """Key of the chunk before it; the root key for chunk 0."""

    index: int
    """Chunk index, from 0."""

    latents: Tensor
    """Clean normalised latents ``[T, C, h, w]`` in the run's dtype, on the CPU."""

    rng_state: Tensor
    """State of the CPU generator after this chunk's draws, uint8."""

    camera_anchor: Tensor
    """Camera-to-world pose of the chunk's last latent frame, float64 ``[4, 4]``."""

    text_id: str
    """Identity of the text in force, see :func:`text_identity`."""

    stats: Mapping[str, Any] = field(default_factory=dict)
    """What the chunk cost when it was made: the fields of ``ChunkStats``."""


@dataclass
class Rollout:
    """One video being generated: its inputs chunk by chunk, keys, and known records.

    Made by :meth:`open`; the executor then appends a record per finished chunk with
    :meth:`append`. Holds no device state: that is the executor's arena.
    """

    seed: int
    """Seed of the noise."""

    height: int
    """Height of the frames in pixels."""

    width: int
    """Width of the frames in pixels."""

    cameras: Sequence[ChunkCamera]
    """Camera of every requested chunk."""

    texts: Sequence[Tensor]
    """Text embedding in force at every requested chunk, bf16 ``[text_len, text_dim]``."""

    text_ids: Sequence[str]
    """Identity of each of ``texts``."""

    root: str
    """Key before chunk 0."""

    keys: Sequence[str]
    """Key of every requested chunk."""

    records: list[ChunkRecord] = field(default_factory=list)
    """Known chunks, from chunk 0 without a gap; its length is the position."""

    @classmethod
    def open(
        cls,
        root: str,
        seed: int,
        size: tuple[int, int],
        cameras: Sequence[ChunkCamera],
        texts: Sequence[Tensor],
    ) -> Rollout:
        """Work out the keys of a request.

        Args:
            root: Key before chunk 0, see :func:`root_key`.
            seed: Seed of the noise.
            size: Height and width of the frames in pixels.
            cameras: One per requested chunk.
            texts: Embedding in force, one per requested chunk.
        """
        assert len(cameras) == len(texts), (len(cameras), len(texts))
        identities: dict[int, str] = {}  # one hash per distinct embedding, not per chunk
        for text in texts:
            if id(text) not in identities:
                identities[id(text)] = text_identity(text)
        text_ids = [identities[id(text)] for text in texts]
        keys: list[str] = []
        for camera, text_id in zip(cameras, text_ids, strict=True):
            keys.append(chunk_key(keys[-1] if keys else root, camera, text_id))
        return cls(seed, *size, cameras, texts, text_ids, root, keys)

    @property
    def num_chunks(self) -> int:
        """Chunks of the request."""
        return len(self.keys)

    @property
    def num_known(self) -> int:
        """Chunks whose records are at hand."""
        return len(self.records)

    def parent_key(self, chunk_index: int) -> str:
        """Key of the chunk before, the root key for chunk 0."""
        return self.keys[chunk_index - 1] if chunk_index else self.root

    def append(self, record: ChunkRecord) -> None:
        """Add the record of the next chunk."""
        assert record.key == self.keys[self.num_known], (record.key, self.keys[self.num_known])
        self.records.append(record)

    def generator(self) -> torch.Generator:
        """The noise generator at the current position."""
        generator = torch.Generator("cpu")
        if self.records:
            generator.set_state(self.records[-1].rng_state)
        else:
            generator.manual_seed(self.seed)
        return generator


def text_identity(embedding: Tensor) -> str:
    """Hash of a text embedding's bf16 bytes."""
    return _digest(_raw_bytes(embedding.to(torch.bfloat16)))


def root_key(photo: Tensor, seed: int, model: Mapping[str, object]) -> str:
    """Key before chunk 0.

    Args:
        photo: The resized photo, uint8 ``[H, W, 3]``.
        seed: Seed of the noise.
        model: JSON-able facts about the model and its options that change latents.
    """
    facts = {"format": KEY_FORMAT, "seed": seed, "size": list(photo.shape[:2]), **model}
    return _digest(json.dumps(facts, sort_keys=True).encode(), _raw_bytes(photo))


def chunk_key(parent: str, camera: ChunkCamera, text_id: str) -> str:
    """Key of a chunk from its parent's key, its camera and the text in force."""
    return _digest(parent.encode(), _raw_bytes(camera.relative_poses), _raw_bytes(camera.intrinsics), text_id.encode())


def _raw_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _digest(*parts: bytes) -> str:
    """Hash of several byte strings; their lengths count, so parts cannot run into each other."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
