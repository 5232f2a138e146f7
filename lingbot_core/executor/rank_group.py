# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The ranks of one model: how tensors reach all of them, and how rank 0 tells the others what to do.

Tensors go over one group (NCCL between GPUs), orders over a Gloo group of their own, on which an
idle rank sleeps. An order is eight whole numbers; nothing that is received is ever unpickled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import IntEnum
from itertools import count

import torch
import torch.distributed as dist

from lingbot_core.context_parallel import ONE_RANK, ContextParallel
from lingbot_core.errors import LingBotError

_log = logging.getLogger(__name__)

BEAT_SEC = 20.0
"""Rank 0 says something at least so often."""

SILENCE_SEC = 60.0
"""A rank that has heard nothing for so long gives up. Gloo closes a connection for good that timed out once."""

WORK_SEC = 600.0
"""Longest wait for the other ranks' tensors; what a piece of work may take is watched by the host."""

_ORDER_LENGTH = 8


class Order(IntEnum):
    """What rank 0 tells the others to do, with the numbers that follow it."""

    BEAT = 0
    """Nothing; rank 0 lives."""
    STOP = 1
    """Leave."""
    LOAD = 2
    """Load the network."""
    OPEN_ARENA = 3
    """Make the memory for a frame size: height, width."""
    CLOSE_ARENA = 4
    """Free it."""
    SET_TEXT = 5
    """``NetworkPasses.set_text``: number of the text; its embedding follows as a tensor."""
    BEGIN_PASSES = 6
    """``NetworkPasses.begin_chunk``: chunk index; condition and camera follow."""
    DENOISE = 7
    """``NetworkPasses.denoise``: step; noisy tokens follow."""
    UPDATE_CACHE = 8
    """``NetworkPasses.update_cache``; clean tokens follow."""
    BEGIN_CHUNK = 9
    """``SinkWindowKVCache.begin_chunk``: chunk index."""
    COMMIT_CHUNK = 10
    """The cache's method."""
    ABANDON_CHUNK = 11
    """The cache's method."""
    TRUNCATE = 12
    """The cache's method: number of chunks."""
    RESET = 13
    """The cache's method."""
    SNAPSHOT = 14
    """The cache's method; keep the result under a number."""
    RESTORE = 15
    """The cache's method: number of the snapshot."""
    DROP = 16
    """Forget a snapshot: its number."""


_CLEANS_UP = {Order.CLOSE_ARENA, Order.ABANDON_CHUNK, Order.RESET, Order.STOP}
"""What rank 0 may do for itself when the others cannot follow any more."""


class GroupStopped(LingBotError):
    """Rank 0 has stopped the ranks, because of an error of its own that it reports itself."""


class RankGroup:
    """One rank's connections to the others. Made by :meth:`connect`; call :meth:`close` in the end.

    Rank 0 gives orders by :meth:`together`; the others wait for them in :meth:`hear`.
    """

    parallel: ContextParallel
    """How tensors are split and exchanged."""

    device: torch.device
    """This rank's."""

    is_broken: bool
    """On rank 0: an order failed in the middle, so that the others are somewhere else now. Only new processes help."""

    def __init__(self, parallel: ContextParallel, control: dist.ProcessGroup | None, device: torch.device) -> None:
        self.parallel, self.device, self.is_broken = parallel, device, False
        self._control = control
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._last_order_sec = time.monotonic()
        self._snapshot_numbers, self._dropped_snapshots = count(1), deque[int]()
        self._heart: threading.Thread | None = None
        if self.rank == 0 and self.size > 1:
            self._heart = threading.Thread(target=self._keep_beating, name="heartbeat of the ranks", daemon=True)
            self._heart.start()

    @classmethod
    def connect(cls, device: torch.device) -> RankGroup:
        """Meet the other ranks, as torch elastic's environment variables say.

        Those are RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

        Args:
            device: This rank's; all are of one type.
        """
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            timeout=timedelta(seconds=WORK_SEC),
            device_id=device if device.type == "cuda" else None,
        )
        rank, size = dist.get_rank(), dist.get_world_size()
        control = dist.new_group(backend="gloo", timeout=timedelta(seconds=SILENCE_SEC))
        assert isinstance(control, dist.ProcessGroup), control
        parallel = ContextParallel(rank, size, dist.group.WORLD) if size > 1 else ONE_RANK
        return cls(parallel, control, device)

    @property
    def rank(self) -> int:
        """This rank, from 0."""
        return self.parallel.rank

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self.parallel.size

    def close(self) -> None:
        """Disconnect. Free what holds recorded exchanges (the executor's arena) first."""
        self._closing.set()
        if self._heart is not None:
            self._heart.join()
        if dist.is_initialized():
            dist.destroy_process_group()

    def wait_for_all(self) -> None:
        """Return when all ranks have called this."""
        mark = torch.zeros(self.size, 1, device=self.device)
        self.parallel.exchange(mark)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # --- rank 0 -------------------------------------------------------------------------

    @contextmanager
    def together(self, order: Order, *numbers: int) -> Iterator[None]:
        """Tell the other ranks to do what the body does on this one.

        Raises:
            LingBotError: An earlier body failed; the ranks are out of step. Nothing was done.
        """
        with self._lock:
            if self.is_broken:
                if order not in _CLEANS_UP:
                    raise LingBotError("The ranks are out of step after an error.", do="Start them anew.")
                yield
                return
            try:
                self._tell(order, *numbers)
                yield
            except BaseException:
                self.is_broken = True
                raise

    def beat(self) -> None:
        """Let idle ranks know that this one lives, if they have not heard from it for a while.

        A thread does so every 20 s; calling it oftener does no harm, from any thread, also while a request runs.
        """
        if self.size == 1 or not self._lock.acquire(blocking=False):
            return  # the others are at work
        try:
            if not self.is_broken and time.monotonic() - self._last_order_sec >= BEAT_SEC / 2:
                self._tell(Order.BEAT)
        except RuntimeError:
            self.is_broken = True
            raise
        finally:
            self._lock.release()

    def new_snapshot_number(self) -> int:
        """A number for a snapshot, unlike all before."""
        return next(self._snapshot_numbers)

    def drop_snapshot(self, number: int) -> None:
        """Have the other ranks forget a snapshot with the next order. May be called at any time, by any thread."""
        self._dropped_snapshots.append(number)

    def _keep_beating(self) -> None:
        while not self._closing.wait(BEAT_SEC / 2):
            try:
                self.beat()
            except RuntimeError as error:
                _log.warning("A rank does not answer any more: %s", error)
                return

    def _tell(self, order: Order, *numbers: int) -> None:
        while self._dropped_snapshots:
            self._send(Order.DROP, self._dropped_snapshots.popleft())
        self._send(order, *numbers)
        self._last_order_sec = time.monotonic()

    def _send(self, order: Order, *numbers: int) -> None:
        message = torch.zeros(_ORDER_LENGTH, dtype=torch.int64)
        message[: 1 + len(numbers)] = torch.tensor([order, *numbers])
        sent = [dist.isend(message, rank, group=self._control) for rank in range(1, self.size)]
        for work in sent:
            assert work is not None
            work.wait()

    # --- the other ranks ----------------------------------------------------------------

    def hear(self) -> tuple[Order, list[int]]:
        """Sleep until rank 0 gives an order; the order and its numbers, filled up by zeros.

        Raises:
            LingBotError: Rank 0 was silent for too long, or is gone.
        """
        message = torch.zeros(_ORDER_LENGTH, dtype=torch.int64)
        while True:
            try:
                dist.recv(message, 0, group=self._control)
            except RuntimeError as error:
                raise LingBotError("Rank 0 cannot be heard any more.", got=str(error).splitlines()[0]) from error
            order, *numbers = message.tolist()
            if order != Order.BEAT:
                return Order(order), numbers
