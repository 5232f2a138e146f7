# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What travels through the graph: small descriptions from which everything can be made again.

ComfyUI may drop a node's output at any time, so tokens own nothing. Weights, caches and records
are in the registry of engines and in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass

from lingbot_core.errors import InputError
from lingbot_core.executor.base import RolloutRequest
from lingbot_core.options import ModelOptions


@dataclass(frozen=True, repr=False)
class ModelToken:
    """A variant and how to find and load it. :mod:`nodes.model_key` tells which tokens mean the same model."""

    slug: str
    """The variant."""

    options: ModelOptions
    """How to load it."""

    def __str__(self) -> str:
        return f"LingBot model {self.slug}"

    __repr__ = __str__


@dataclass(frozen=True, eq=False, repr=False)
class RolloutToken:
    """A finished rollout: what was asked for, and the keys of its records."""

    model: ModelToken
    """Which model made it."""

    request: RolloutRequest
    """What was asked for; running it again gives the same records."""

    keys: tuple[str, ...]
    """Key of every chunk, in order."""

    decoder: str
    """Identity of the decoder whose frames belong to it."""

    num_reused: int
    """Chunks that were known before the run that made this token."""

    @property
    def num_chunks(self) -> int:
        """Chunks of the video."""
        return len(self.keys)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        height, width = self.request.photo.shape[:2]
        return height, width

    def __str__(self) -> str:
        height, width = self.size
        return f"LingBot rollout of {self.num_chunks} chunks, {height}x{width}, {self.model.slug}"

    __repr__ = __str__


def check_token(token: object, kind: type, socket: str, node: str) -> None:
    """Raise unless a socket was given what it is for; other packs may use a type of the same name.

    Raises:
        InputError: Names the socket and the node to connect.
    """
    if not isinstance(token, kind):
        raise InputError(
            f"The input {socket!r} got something that is not of this pack.",
            got=type(token).__name__,
            do=f"Connect it to {node}.",
        )
