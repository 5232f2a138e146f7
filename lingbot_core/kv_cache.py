# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys and values of the chunks that later chunks attend to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lingbot_core.context_parallel import ONE_RANK, ContextParallel


@dataclass(frozen=True)
class KVSnapshot:
    """A copy of a cache at a chunk boundary, in host memory."""

    k: Tensor
    """Visible keys, ``[layers, visible tokens, N, D]``."""

    v: Tensor
    """Visible values, same shape."""

    num_chunks: int
    """Chunks committed."""

    num_begun: int
    """Chunks ever begun, those since dropped included."""

    @property
    def num_bytes(self) -> int:
        """Host memory taken."""
        return self.k.nbytes + self.v.nbytes


@dataclass(frozen=True)
class KVView:
    """A cache as a pass sees it: where to write, and what to attend to.

    Views of one cache share its memory. They differ in how much is visible, which is all that a
    recorded CUDA graph depends on: where to write is data.
    """

    k: Tensor
    """Keys of all slots, ``[layers, S, N, D]``."""

    v: Tensor
    """Values, same shape."""

    rows: Tensor
    """Row of each token of the open chunk, int64 ``[L]``."""

    num_visible_rows: int
    """Rows to attend to, from the first; the open chunk's are among them."""

    parallel: ContextParallel = ONE_RANK
    """The ranks that hold the other heads of the same tokens."""

    def visible(self, layer: int) -> tuple[Tensor, Tensor]:
        """Visible keys and values of one layer, ``[visible tokens, N, D]`` each."""
        return self.k[layer, : self.num_visible_rows], self.v[layer, : self.num_visible_rows]


class SinkWindowKVCache:
    """Ring of key and value slots for the first chunks (sink) and the newest ones (window).

    Layout: ``k`` and ``v`` are ``[layers, S, N, D]``, N the heads of this rank, one slot of
    ``tokens_per_chunk`` rows per chunk, ``S`` rows in all. Chunk ``i`` has slot ``i`` while there
    are free ones, then slot ``sink + (i - sink) mod window``: it overwrites the chunk that leaves
    the window. Nothing is ever shifted, for keys carry their absolute position and attention has
    no order. What is visible is always a prefix of the rows.

    Order of use, per chunk::

        begin_chunk(i)      # i == num_chunks
        view()              # passes write to its rows and attend to what it shows;
                            # each pass overwrites the one before
        commit_chunk()      # or abandon_chunk(), and begin_chunk(i) again

    Between chunks: ``truncate``, ``reset``, ``snapshot``, ``restore``.

    Memory is not initialised: rows that are not visible may hold NaN.
    """

    k: Tensor
    """Keys, normalised and rotated, ``[layers, S, N, D]``."""

    v: Tensor
    """Values, ``[layers, S, N, D]``."""

    tokens_per_chunk: int
    """Rows per slot."""

    window_chunks: int
    """Newest chunks visible, the open one included; at least 1."""

    sink_chunks: int
    """First chunks, visible for ever, not counted in the window; may be 0."""

    parallel: ContextParallel
    """The ranks that hold the other heads of the same tokens."""

    rows: Tensor
    """Rows of the open chunk's tokens, int64 ``[L]``, on the device; meaningless before the first chunk."""

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        head_dim: int,
        tokens_per_chunk: int,
        window_chunks: int,
        sink_chunks: int,
        dtype: torch.dtype,
        device: torch.device | str,
        parallel: ContextParallel = ONE_RANK,
    ) -> None:
        """Allocate an empty cache.

        Args:
            num_layers: Layers of the network.
            num_heads: Heads of the network; N of them are here: all, unless there are several ranks.
            head_dim: D.
            tokens_per_chunk: See the field.
            window_chunks: See the field.
            sink_chunks: See the field.
            dtype: Of keys and values.
            device: Where they live.
            parallel: The ranks among which the heads are split.

        Raises:
            InputError: The heads cannot be split over so many ranks.
        """
        assert window_chunks >= 1 and sink_chunks >= 0, (window_chunks, sink_chunks)
        self.tokens_per_chunk = tokens_per_chunk
        self.window_chunks = window_chunks
        self.sink_chunks = sink_chunks
        self.parallel = parallel
        local_heads = parallel.num_local_heads(num_heads)
        shape = (num_layers, self.capacity_chunks * tokens_per_chunk, local_heads, head_dim)
        self.k = torch.empty(shape, dtype=dtype, device=device)
        self.v = torch.empty(shape, dtype=dtype, device=device)
        self.rows = torch.zeros(tokens_per_chunk, dtype=torch.int64, device=device)
        self._num_chunks = 0
        self._num_begun = 0  # never falls, but for reset and restore: tells which slots were overwritten
        self._is_open = False

    @property
    def capacity_chunks(self) -> int:
        """Slots, sink and window together."""
        return self.window_chunks + self.sink_chunks

    @property
    def num_chunks(self) -> int:
        """Chunks committed; also the index of the next, or of the one in work."""
        return self._num_chunks

    @property
    def num_bytes(self) -> int:
        """Memory of all slots."""
        return self.k.nbytes + self.v.nbytes

    @property
    def num_visible_bytes(self) -> int:
        """Memory of the visible slots: the size of a snapshot."""
        return self.num_bytes // self.capacity_chunks * min(self._num_chunks, self.capacity_chunks)

    def slot(self, chunk_index: int) -> int:
        """Slot of a chunk."""
        if chunk_index < self.capacity_chunks:
            return chunk_index
        return self.sink_chunks + (chunk_index - self.sink_chunks) % self.window_chunks

    def begin_chunk(self, index: int) -> None:
        """Open the slot of the next chunk. Whatever was in it is lost."""
        assert not self._is_open and index == self._num_chunks, (self._is_open, index, self._num_chunks)
        self._is_open = True
        self._num_begun = max(self._num_begun, index + 1)
        first = self.slot(index) * self.tokens_per_chunk
        torch.arange(first, first + self.tokens_per_chunk, out=self.rows)

    def view(self) -> KVView:
        """What the open chunk's passes need. Valid until the next chunk begins."""
        assert self._is_open, "no chunk has begun"
        return self.view_of(self._num_chunks)

    def view_of(self, chunk_index: int) -> KVView:
        """What passes of any chunk need, but that ``rows`` are those of the open one."""
        return KVView(self.k, self.v, self.rows, self._num_rows(chunk_index + 1), self.parallel)

    def num_visible_chunks(self, chunk_index: int) -> int:
        """Chunks that a chunk attends to, its own included."""
        return min(chunk_index + 1, self.capacity_chunks)

    def commit_chunk(self) -> None:
        """Close the open chunk and keep it."""
        assert self._is_open, "no chunk has begun"
        self._is_open = False
        self._num_chunks += 1

    def abandon_chunk(self) -> None:
        """Close the open chunk and drop it. The chunk that it has overwritten stays lost."""
        assert self._is_open, "no chunk has begun"
        self._is_open = False

    def can_truncate(self, num_chunks: int) -> bool:
        """Whether everything that the chunk after ``num_chunks`` chunks attends to is still there.

        It is if no slot was ever reused, or if at most the newest chunk ever begun is dropped:
        the chunk that it has overwritten leaves the window with it.
        """
        if not 0 <= num_chunks <= self._num_chunks:
            return False
        return self._num_begun <= self.capacity_chunks or num_chunks >= self._num_begun - 1

    def truncate(self, num_chunks: int) -> None:
        """Drop all chunks but the first ``num_chunks``; moves nothing. See :meth:`can_truncate`."""
        assert not self._is_open, "a chunk is in work"
        assert self.can_truncate(num_chunks), (num_chunks, self._num_chunks, self._num_begun)
        self._num_chunks = num_chunks

    def reset(self) -> None:
        """Drop everything."""
        assert not self._is_open, "a chunk is in work"
        self._num_chunks = self._num_begun = 0

    def snapshot(self) -> KVSnapshot:
        """Copy the visible part to host memory."""
        assert not self._is_open, "a chunk is in work"
        rows = self._num_rows(self._num_chunks)
        k, v = (torch.empty_like(x[:, :rows], device="cpu") for x in (self.k, self.v))
        self._copy_layers(k, self.k[:, :rows])
        self._copy_layers(v, self.v[:, :rows])
        return KVSnapshot(k, v, self._num_chunks, self._num_begun)

    def restore(self, snapshot: KVSnapshot) -> None:
        """Go back to a snapshot of a cache of the same sizes."""
        assert not self._is_open, "a chunk is in work"
        rows = self._num_rows(snapshot.num_chunks)
        assert snapshot.k.shape == self.k[:, :rows].shape, (snapshot.k.shape, self.k.shape, rows)
        self._copy_layers(self.k[:, :rows], snapshot.k)
        self._copy_layers(self.v[:, :rows], snapshot.v)
        self._num_chunks, self._num_begun = snapshot.num_chunks, snapshot.num_begun

    @staticmethod
    def _copy_layers(target: Tensor, source: Tensor) -> None:
        """Copy one layer at a time: a layer is contiguous, so no copy of everything is made on the device first."""
        for target_layer, source_layer in zip(target, source, strict=True):
            target_layer.copy_(source_layer)

    def _num_rows(self, num_chunks: int) -> int:
        """Rows that ``num_chunks`` chunks fill."""
        return min(num_chunks, self.capacity_chunks) * self.tokens_per_chunk
