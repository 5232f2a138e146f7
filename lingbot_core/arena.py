# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Device state of one rollout: the KV ring, the passes' memory and the streaming decoder's state.

An :class:`Arena` stands at one path of the tree of chunks at a time. Going back on
that path, or over to another one, starts from the nearest state that can be had
exactly; the caller replays the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from lingbot_core.decoder import DecoderState, StreamingDecoder
from lingbot_core.kv_cache import KVSnapshot, SinkWindowKVCache
from lingbot_core.passes import NetworkPasses


@dataclass(frozen=True)
class Snapshot:
    """A complete copy of an arena at a chunk boundary, in host memory."""

    path: tuple[str, ...]
    """Keys of the chunks in the cache, from chunk 0."""

    cache: KVSnapshot
    """All visible keys and values."""

    decoder_path: tuple[str, ...]
    """Keys of the chunks that the decoder has seen."""

    decoder_state: DecoderState
    """The decoder's state behind them."""

    @property
    def num_bytes(self) -> int:
        """Host memory taken."""
        return self.cache.num_bytes + self.decoder_state.num_bytes


class SnapshotStore:
    """Snapshots under a budget, the least recently used dropped first.

    Args:
        budget_bytes: Host memory to use at most; 0 keeps none.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._snapshots: OrderedDict[tuple[str, ...], Snapshot] = OrderedDict()

    def nearest(self, keys: Sequence[str]) -> Snapshot | None:
        """The snapshot furthest along a path, or None."""
        on_path = [path for path in self._snapshots if path == tuple(keys[: len(path)])]
        if not on_path:
            return None
        best = max(on_path, key=len)
        self._snapshots.move_to_end(best)
        return self._snapshots[best]

    def keep(self, arena: Arena) -> None:
        """Copy an arena, if its copy fits the budget."""
        path = tuple(arena.path)
        if not path or path in self._snapshots or arena.num_snapshot_bytes > self.budget_bytes:
            return
        total = self.num_bytes + arena.num_snapshot_bytes
        while total > self.budget_bytes:
            _, dropped = self._snapshots.popitem(last=False)
            total -= dropped.num_bytes
        self._snapshots[path] = arena.snapshot()

    @property
    def num_bytes(self) -> int:
        """Host memory taken."""
        return sum(snapshot.num_bytes for snapshot in self._snapshots.values())

    def clear(self) -> None:
        """Drop all snapshots."""
        self._snapshots.clear()


@dataclass
class Arena:
    """KV ring, memory of the passes, and decoder state; and which chunks they hold.

    Order of use: :meth:`rewind` to a path, then for each further chunk
    ``with arena.chunk(index, key):`` around its passes and :meth:`decode` for its pixels.
    """

    passes: NetworkPasses
    """The network over the ring."""

    cache: SinkWindowKVCache
    """The ring."""

    decoder: StreamingDecoder
    """The decoder whose state is held."""

    path: list[str] = field(default_factory=list)
    """Keys of the chunks committed to the ring, from chunk 0; its length is ``cache.num_chunks``."""

    decoder_path: list[str] = field(default_factory=list)
    """Keys of the chunks that the decoder has seen; may run behind or ahead of ``path``."""

    decoder_state: DecoderState | None = None
    """State behind ``decoder_path``; None stands for the state before chunk 0."""

    @contextmanager
    def chunk(self, index: int, key: str) -> Iterator[None]:
        """Make room for a chunk's keys and values; keep them unless the body raises."""
        self.cache.begin_chunk(index)
        try:
            yield
        except BaseException:
            self.cache.abandon_chunk()
            raise
        self.cache.commit_chunk()
        self.path.append(key)

    def rewind(self, keys: Sequence[str], snapshots: SnapshotStore) -> None:
        """Go to the last point of ``keys`` that needs no replay; ``len(self.path)`` tells which."""
        common = _common_length(self.path, keys)
        snapshot = snapshots.nearest(keys)
        if self.cache.can_truncate(common) and (snapshot is None or common >= len(snapshot.path)):
            self.cache.truncate(common)
            del self.path[common:]
        elif snapshot is not None:
            self.cache.restore(snapshot.cache)
            self.path = list(snapshot.path)
            self.decoder_path, self.decoder_state = list(snapshot.decoder_path), snapshot.decoder_state
        else:
            self.cache.reset()
            self.path = []

    def decode(self, key: str, latents: Tensor) -> Tensor:
        """Decode the chunk after ``decoder_path``.

        Args:
            key: Its key.
            latents: Normalised latents ``[T, C, h, w]`` on the device.

        Returns:
            Frames, uint8 ``[F, H, W, 3]``, on the device.
        """
        state = self.decoder_state or self.decoder.initial_state()
        frames, self.decoder_state = self.decoder.decode(latents, state)
        self.decoder_path.append(key)
        return frames

    def decoder_rewind(self, keys: Sequence[str]) -> int:
        """Put the decoder on the path ``keys``; returns how many of its chunks it has seen.

        The decoder cannot step back: unless it stands on the path, it starts anew.
        """
        if self.decoder_path != list(keys[: len(self.decoder_path)]):
            self.decoder_path, self.decoder_state = [], None
        return len(self.decoder_path)

    @property
    def num_bytes(self) -> int:
        """Device memory taken."""
        decoder_state = self.decoder_state.num_bytes if self.decoder_state else 0
        return self.cache.num_bytes + self.passes.num_bytes + decoder_state

    @property
    def num_snapshot_bytes(self) -> int:
        """Host memory that :meth:`snapshot` would take."""
        return self.cache.num_visible_bytes + (self.decoder_state.num_bytes if self.decoder_state else 0)

    def snapshot(self) -> Snapshot:
        """Copy everything to host memory."""
        state = self.decoder_state or self.decoder.initial_state()
        return Snapshot(tuple(self.path), self.cache.snapshot(), tuple(self.decoder_path), state.to("cpu"))


def _common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the common beginning of two paths."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length
