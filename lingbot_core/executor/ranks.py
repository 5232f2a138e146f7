# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""One request on several ranks: rank 0 runs the executor, the others follow each of its passes.

Every rank has the whole network and a KV ring with its own heads. Rank 0 alone has the rollout, text and
photo encoders, the decoder and the journal. What it does to the ring and the passes, it tells the others
first, so that all ranks do the same in the same order::

    group = RankGroup.connect(device)
    model = load_on_ranks(group, load, find)
    if group.rank == 0:
        executor = lead(group, model, store)   # ... executor.stream(request) ... executor.stop()
    else:
        follow(group, model)                   # returns when rank 0 stops
    group.close()
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor

from lingbot_core.executor.local import LocalExecutor, cache_sizes
from lingbot_core.executor.rank_group import GroupStopped, Order, RankGroup
from lingbot_core.journal import RecordStore
from lingbot_core.kv_cache import KVSnapshot, SinkWindowKVCache
from lingbot_core.loader import LoadedModel, LoadedNetwork
from lingbot_core.models.dit_config import PATCH_CELLS
from lingbot_core.passes import NOISE_FEATURES, NetworkPasses
from lingbot_core.preflight import release_unused_memory
from lingbot_core.timeline import chunk_tokens, token_grid
from lingbot_core.transfer import to_device

__all__ = ["GroupStopped", "LeadingExecutor", "RankGroup", "follow", "lead", "load_on_ranks"]

ModelT = TypeVar("ModelT")


def load_on_ranks(group: RankGroup, load: Callable[[], ModelT], find: Callable[[], object] | None = None) -> ModelT:
    """Load on all ranks; they read the files' tensors together if ``load`` was given ``group.parallel``.

    Args:
        group: The ranks.
        load: Called on each rank when rank 0 has found the files: such as ``loader.load_model`` on rank 0 and
            ``loader.load_network`` on the others.
        find: Called on rank 0 first, however long it takes: finds or downloads the files.

    Returns:
        What ``load`` returned, when all ranks are through.

    Raises:
        GroupStopped: On the other ranks, when ``find`` raised on rank 0.
    """
    if group.size == 1:
        if find is not None:
            find()
        return load()
    if group.rank > 0:
        order, _ = group.hear()
        if order is not Order.LOAD:
            raise GroupStopped("Rank 0 could not start.")
        model = load()
        group.wait_for_all()
        return model
    try:
        if find is not None:
            find()
    except BaseException:
        with suppress(RuntimeError), group.together(Order.STOP):
            pass
        raise
    with group.together(Order.LOAD):
        model = load()
        group.wait_for_all()
    return model


# --- rank 0 -----------------------------------------------------------------------------


def lead(
    group: RankGroup, model: LoadedModel, store: RecordStore | None = None, snapshot_budget_gib: float = 0.0
) -> LeadingExecutor:
    """The executor of rank 0; arguments as of :class:`LocalExecutor`."""
    return LeadingExecutor(group, model, store, snapshot_budget_gib)


class LeadingExecutor(LocalExecutor):
    """Runs requests together with the ranks that :func:`follow`.

    Beside what a :class:`LocalExecutor` does, it must be told when to :meth:`stop`. After an error in the middle
    of a pass (``group.is_broken``) the ranks are out of step, and only new processes can go on.

    Args:
        group: The ranks.
        model: The model on this rank.
        store: Where records live; None keeps them in this process only.
        snapshot_budget_gib: Host memory for copies of the arena, all ranks' together.
    """

    def __init__(
        self, group: RankGroup, model: LoadedModel, store: RecordStore | None = None, snapshot_budget_gib: float = 0.0
    ) -> None:
        super().__init__(model, store, snapshot_budget_gib)
        self.group = group

    def beat(self) -> None:
        """See :meth:`RankGroup.beat`."""
        self.group.beat()

    def close(self) -> None:
        """Free device state, photo encoders and snapshots on all ranks; the next request makes them anew."""
        was_open = self._arena is not None
        super().close()
        if was_open and self.group.size > 1:
            with self.group.together(Order.CLOSE_ARENA):
                pass

    def stop(self) -> None:
        """Free everything and let the other ranks leave."""
        self.close()
        if self.group.size > 1:
            with self.group.together(Order.STOP):
                pass

    def _make_passes(self, height: int, width: int) -> tuple[SinkWindowKVCache, NetworkPasses]:
        if self.group.size == 1:
            return super()._make_passes(height, width)
        model = self.model
        with self.group.together(Order.OPEN_ARENA, height, width):
            cache = LeadingCache(self.group, *cache_sizes(model, height, width))
            passes = LeadingPasses(self.group, model.dit, cache, model.schedule, token_grid(height, width))
        return cache, passes


class LeadingPasses(NetworkPasses):
    """Passes that the other ranks are told of and given the inputs of.

    Args:
        group: The ranks.
        others: As of :class:`NetworkPasses`.
    """

    def __init__(self, group: RankGroup, *others) -> None:
        super().__init__(*others)
        self._group, self._num_texts, self._shared_text_id = group, count(1), ""

    def set_text(self, text_id: str, embedding: Tensor) -> None:
        """See :meth:`NetworkPasses.set_text`."""
        if text_id == self._shared_text_id:
            return
        self._shared_text_id = ""
        with self._group.together(Order.SET_TEXT, next(self._num_texts)):
            super().set_text(text_id, self._share(embedding))
        self._shared_text_id = text_id

    def begin_chunk(self, index: int, condition: Tensor, camera: Tensor) -> None:
        """See :meth:`NetworkPasses.begin_chunk`."""
        with self._group.together(Order.BEGIN_PASSES, index):
            super().begin_chunk(index, self._share(condition), self._share(camera))

    def denoise(self, noisy: Tensor, step: int) -> Tensor:
        """See :meth:`NetworkPasses.denoise`."""
        with self._group.together(Order.DENOISE, step):
            return super().denoise(self._share(noisy), step)

    def update_cache(self, clean: Tensor) -> None:
        """See :meth:`NetworkPasses.update_cache`."""
        with self._group.together(Order.UPDATE_CACHE):
            super().update_cache(self._share(clean))

    def _share(self, x: Tensor) -> Tensor:
        """Give the other ranks a tensor, on the device and in the dtype of the network."""
        x = to_device(x, self._tokens.device).to(self._tokens.dtype).contiguous()
        self._group.parallel.broadcast(x)
        return x


@dataclass(frozen=True)
class LeadingSnapshot(KVSnapshot):
    """Rank 0's part of a snapshot; the other ranks forget theirs when this is freed."""

    number: int = 0
    """Tells the other ranks which one."""

    num_ranks: int = 1
    """Ranks that hold a part of it, on this machine as a rule."""

    @property
    def num_bytes(self) -> int:
        """Host memory taken by all ranks."""
        return super().num_bytes * self.num_ranks


class LeadingCache(SinkWindowKVCache):
    """Rank 0's heads of the KV ring; the other ranks do to theirs what is done to it.

    Args:
        group: The ranks.
        sizes: As of :class:`SinkWindowKVCache`.
    """

    def __init__(self, group: RankGroup, *sizes) -> None:
        super().__init__(*sizes, parallel=group.parallel)
        self._group = group

    @property
    def num_visible_bytes(self) -> int:
        """Host memory that a snapshot takes, all ranks' together."""
        return super().num_visible_bytes * self._group.size

    def begin_chunk(self, index: int) -> None:
        """See :meth:`SinkWindowKVCache.begin_chunk`."""
        with self._group.together(Order.BEGIN_CHUNK, index):
            super().begin_chunk(index)

    def commit_chunk(self) -> None:
        """See :meth:`SinkWindowKVCache.commit_chunk`."""
        with self._group.together(Order.COMMIT_CHUNK):
            super().commit_chunk()

    def abandon_chunk(self) -> None:
        """See :meth:`SinkWindowKVCache.abandon_chunk`."""
        with self._group.together(Order.ABANDON_CHUNK):
            super().abandon_chunk()

    def truncate(self, num_chunks: int) -> None:
        """See :meth:`SinkWindowKVCache.truncate`."""
        with self._group.together(Order.TRUNCATE, num_chunks):
            super().truncate(num_chunks)

    def reset(self) -> None:
        """See :meth:`SinkWindowKVCache.reset`."""
        with self._group.together(Order.RESET):
            super().reset()

    def snapshot(self) -> LeadingSnapshot:
        """See :meth:`SinkWindowKVCache.snapshot`; each rank keeps its own heads."""
        number = self._group.new_snapshot_number()
        with self._group.together(Order.SNAPSHOT, number):
            part = super().snapshot()
        result = LeadingSnapshot(part.k, part.v, part.num_chunks, part.num_begun, number, self._group.size)
        weakref.finalize(result, self._group.drop_snapshot, number).atexit = False
        return result

    def restore(self, snapshot: KVSnapshot) -> None:
        """See :meth:`SinkWindowKVCache.restore`."""
        assert isinstance(snapshot, LeadingSnapshot), type(snapshot)
        with self._group.together(Order.RESTORE, snapshot.number):
            super().restore(snapshot)


# --- the other ranks --------------------------------------------------------------------


@torch.inference_mode()
def follow(group: RankGroup, model: LoadedModel | LoadedNetwork) -> None:
    """Do what rank 0 tells, until it says to stop; raises whatever goes wrong here.

    Args:
        group: The ranks.
        model: The network on this rank.

    Raises:
        LingBotError: Rank 0 was silent for too long, or is gone.
    """
    follower = _Follower(group, model)
    while True:
        order, numbers = group.hear()
        if order is Order.STOP:
            return
        follower.obey(order, numbers)


class _Follower:
    """State of a rank that follows: the arena without a decoder, and snapshots.

    Args:
        group: The ranks.
        model: The network on this rank.
    """

    def __init__(self, group: RankGroup, model: LoadedModel | LoadedNetwork) -> None:
        self._group, self._model = group, model
        self._cache: SinkWindowKVCache | None = None
        self._passes: NetworkPasses | None = None
        self._num_tokens = 0
        self._snapshots: dict[int, KVSnapshot] = {}

    def obey(self, order: Order, numbers: list[int]) -> None:
        """Carry out one order."""
        if order is Order.OPEN_ARENA:
            self._open(*numbers[:2])
        elif order is Order.CLOSE_ARENA:
            self._cache = self._passes = None
            release_unused_memory(self._group.device)
        elif order is Order.DROP:
            self._snapshots.pop(numbers[0], None)
        elif order in (Order.SET_TEXT, Order.BEGIN_PASSES, Order.DENOISE, Order.UPDATE_CACHE):
            self._run_passes(order, numbers[0])
        else:
            self._change_cache(order, numbers[0])

    def _open(self, height: int, width: int) -> None:
        """Make the memory for a frame size; that for another one is freed first."""
        self._cache = self._passes = None
        model, self._num_tokens = self._model, chunk_tokens(height, width)
        self._cache = SinkWindowKVCache(*cache_sizes(model, height, width), parallel=self._group.parallel)
        self._passes = NetworkPasses(model.dit, self._cache, model.schedule, token_grid(height, width))

    def _run_passes(self, order: Order, number: int) -> None:
        assert self._passes is not None, order
        config = self._model.dit.config
        if order is Order.SET_TEXT:
            self._passes.set_text(str(number), self._receive(config.text_len, config.text_dim))
        elif order is Order.BEGIN_PASSES:
            condition = self._receive(self._num_tokens, config.in_channels * PATCH_CELLS - NOISE_FEATURES)
            camera = self._receive(self._num_tokens, config.camera_channels * PATCH_CELLS)
            self._passes.begin_chunk(number, condition, camera)
        elif order is Order.DENOISE:
            self._passes.denoise(self._receive(self._num_tokens, NOISE_FEATURES), number)
        else:
            self._passes.update_cache(self._receive(self._num_tokens, NOISE_FEATURES))

    def _change_cache(self, order: Order, number: int) -> None:
        cache = self._cache
        assert cache is not None, order
        if order is Order.BEGIN_CHUNK:
            cache.begin_chunk(number)
        elif order is Order.COMMIT_CHUNK:
            cache.commit_chunk()
        elif order is Order.ABANDON_CHUNK:
            cache.abandon_chunk()
        elif order is Order.TRUNCATE:
            cache.truncate(number)
        elif order is Order.RESET:
            cache.reset()
        elif order is Order.SNAPSHOT:
            self._snapshots[number] = cache.snapshot()
        elif order is Order.RESTORE:
            cache.restore(self._snapshots[number])
        else:
            raise AssertionError(f"unexpected order {order!r}")

    def _receive(self, *shape: int) -> Tensor:
        """A tensor that rank 0 shares."""
        x = torch.empty(shape, dtype=self._model.dtype, device=self._group.device)
        self._group.parallel.broadcast(x)
        return x
