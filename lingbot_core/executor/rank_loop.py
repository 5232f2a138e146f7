# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a rank does once it runs: connect, load, then follow rank 0, or as rank 0 do what the host asks."""

from __future__ import annotations

import importlib
import logging
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingbot_core.errors import LingBotError
from lingbot_core.executor.channel import Channel, ChannelClosed
from lingbot_core.executor.messages import (
    Cancel,
    ChunkDone,
    ChunkTaken,
    EncodeTexts,
    Ended,
    ErrorReport,
    LogLine,
    MakeRoom,
    Progress,
    RankFailed,
    Ready,
    Reply,
    Say,
    Stop,
    StoreCall,
    Stream,
    Texts,
)
from lingbot_core.executor.processes import ProcessId
from lingbot_core.executor.ranks import GroupStopped, LeadingExecutor, RankGroup, follow, lead, load_on_ranks
from lingbot_core.executor.shared_arrays import ArrayFolder
from lingbot_core.executor.worker import WorkerSettings, end_without_host
from lingbot_core.options import ModelOptions
from lingbot_core.rollout import ChunkRecord
from lingbot_core.variants import get_variant

_CHUNKS_AHEAD = 2
"""Chunks that may wait for the consumer before the network waits for it too."""

_IDLE_LOOK_SEC = 5.0
"""Between two looks at the other ranks while there is nothing to do."""

_STOPPED_SEC = 30.0
"""A rank that rank 0 has stopped ends by itself after so long."""


def run_rank(rank: int, settings: WorkerSettings, channel: Channel | None) -> bool:
    """Run a rank; True when it was told to end, False after a failure, which the host knows by then."""
    if channel is not None:
        logging.getLogger("lingbot_core").addHandler(_ToHost(channel))
    try:
        group = RankGroup.connect(_device(ModelOptions.from_json(settings.options)))
        if rank == 0:
            assert channel is not None, "rank 0 runs on the host's machine"
            _lead(_HostLine(channel, settings), group, settings)
        else:
            follow(group, _load(group, settings))
        group.close()
        return True
    except GroupStopped:
        time.sleep(_STOPPED_SEC)  # rank 0 tells the host why, and the host ends this process
    except BaseException as error:
        report = ErrorReport.of(error)
        print(report.traceback, file=sys.stderr, flush=True)
        if channel is not None:
            with suppress(ChannelClosed):
                channel.send(RankFailed(report))
    return False


def _device(options: ModelOptions) -> torch.device:
    """The device of this rank: the CPU if that was chosen or there is no GPU, else the one of its number."""
    wants_cpu = options.device is not None and torch.device(options.device).type == "cpu"
    if wants_cpu or not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def _load(group: RankGroup, settings: WorkerSettings, line: _HostLine | None = None) -> Any:
    """What this rank needs of the model: rank 0 all of it, the others the network."""
    models = importlib.import_module(settings.models_module)
    variant = get_variant(settings.slug)
    options = replace(ModelOptions.from_json(settings.options), device=str(group.device))
    if line is None:
        return load_on_ranks(group, lambda: models.load_network(variant, options, parallel=group.parallel))
    say, make_room = line.say, line.make_room
    return load_on_ranks(group, lambda: models.load_model(variant, options, say, make_room, parallel=group.parallel))


def _lead(line: _HostLine, group: RankGroup, settings: WorkerSettings) -> None:
    """Rank 0: load, then do what the host asks until it says stop."""
    model = _load(group, settings, line)
    arrays = ArrayFolder(Path(settings.folders[0]), Path(settings.folders[1]))
    store = StoreProxy(line, arrays)
    executor = lead(group, model, store, settings.snapshot_budget_gib)
    line.send(Ready(replace(executor.info, num_ranks=group.size), held_bytes(executor)))
    while not isinstance(command := line.next_command(group), Stop):
        error = None
        try:
            if isinstance(command, Stream):
                _stream(line, executor, command, store, arrays)
            else:
                assert isinstance(command, EncodeTexts), command
                line.send(_encode_texts(line, executor, command))
        except (
            LingBotError
        ) as caught:  # for the user; the ranks are as they were, unless it came in the middle of a pass
            if group.is_broken:
                raise
            error = ErrorReport.of(caught)
        line.send(Ended(error, held_bytes(executor), executor.holds_text_encoder))
    executor.stop()


def _encode_texts(line: _HostLine, executor: LeadingExecutor, command: EncodeTexts) -> Texts:
    warnings: list[str] = []
    embeddings = executor.encode_texts(command.prompts, on_warning=warnings.append, cancelled=line.is_cancelled)
    return Texts(embeddings, tuple(warnings))


def _stream(
    line: _HostLine, executor: LeadingExecutor, command: Stream, store: StoreProxy, arrays: ArrayFolder
) -> None:
    """Run a request, a little ahead of the consumer."""
    for chunk in executor.stream(
        command.request,
        on_progress=lambda progress: line.send(Progress(progress)),
        cancelled=line.is_cancelled,
        previews=command.previews,
    ):
        frames = None if store.last_frames == chunk.key else arrays.share(chunk.frames)
        line.send(ChunkDone(chunk.index, chunk.key, chunk.latents, frames, chunk.stats, chunk.reused))
        line.wait_for_consumer()


def held_bytes(executor: LeadingExecutor) -> int:
    """Memory that this rank holds on its device."""
    device = executor.info.device
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else executor.num_bytes


class _HostLine:
    """Rank 0's line to the host: a thread sorts what comes, so that a cancel is seen during a pass.

    Args:
        channel: The line.
        settings: Of this rank.
    """

    def __init__(self, channel: Channel, settings: WorkerSettings) -> None:
        self._channel, self._settings = channel, settings
        self._commands: queue.Queue[Any] = queue.Queue()
        self._replies: queue.Queue[Reply] = queue.Queue()
        self._cancelled = threading.Event()
        self._room = threading.Semaphore(_CHUNKS_AHEAD)
        threading.Thread(target=self._sort, name="host line", daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message; without a host this process ends."""
        try:
            self._channel.send(message)
        except ChannelClosed:
            self._end()

    def say(self, text: str) -> None:
        """Tell the user what is being done."""
        self.send(Say(text))

    def make_room(self, num_bytes: int) -> None:
        """Have the host free memory."""
        self.ask(MakeRoom(num_bytes))

    def ask(self, message: object) -> Any:
        """Send a message and wait for its reply."""
        self.send(message)
        reply = self._replies.get()  # without a host, the other thread ends this process
        if reply.error is not None:
            raise reply.error.as_user_error() or RuntimeError(f"The record store failed: {reply.error.text}")
        return reply.value

    def next_command(self, group: RankGroup) -> Any:
        """Wait for what the host wants next, and notice when ranks of other machines are gone."""
        while True:
            with suppress(queue.Empty):
                return self._commands.get(timeout=_IDLE_LOOK_SEC)
            if group.is_broken:
                raise RuntimeError("a rank does not answer any more")

    def is_cancelled(self) -> bool:
        """Whether the running request shall end."""
        return self._cancelled.is_set()

    def wait_for_consumer(self) -> None:
        """Return when no more than a few chunks wait for the consumer."""
        self._room.acquire()

    def _sort(self) -> None:
        while True:
            try:
                message = self._channel.receive()
            except ChannelClosed:
                self._end()
            if isinstance(message, Reply):
                self._replies.put(message)
            elif isinstance(message, Cancel):
                self._cancelled.set()
                self._room.release(1_000_000)  # nobody will come back for more
            elif isinstance(message, ChunkTaken):
                self._room.release()
            else:
                self._cancelled.clear()
                if isinstance(message, Stream):
                    self._room = threading.Semaphore(_CHUNKS_AHEAD - 1)
                self._commands.put(message)

    def _end(self) -> None:
        end_without_host(self._settings, ProcessId.parse(self._settings.watched))


class StoreProxy:
    """The host's record store, as rank 0 sees it: a ``RecordStore`` that asks the host.

    Frames are not fetched: the host keeps those that were read or written last for the chunk that follows,
    and :meth:`read_frames` answers with a stand-in of their shape.
    """

    def __init__(self, line: _HostLine, arrays: ArrayFolder) -> None:
        self._line, self._arrays = line, arrays
        self.last_frames = ""
        """Key of the frames that the host has at hand."""

    def read_chunk(self, key: str) -> ChunkRecord | None:
        """The record of ``key``, or None."""
        return self._line.ask(StoreCall("read_chunk", (key,)))

    def write_chunk(self, record: ChunkRecord) -> None:
        """Keep a record."""
        self._line.ask(StoreCall("write_chunk", (record,)))

    def read_frames(self, key: str, decoder: str) -> np.ndarray | None:
        """A stand-in for the frames of a chunk, or None when the host has none."""
        shape = self._line.ask(StoreCall("read_frames", (key, decoder)))
        if shape is None:
            return None
        self.last_frames = key
        return np.broadcast_to(np.uint8(0), shape)

    def write_frames(self, key: str, decoder: str, frames: np.ndarray) -> None:
        """Keep the frames of a chunk."""
        self._line.ask(StoreCall("write_frames", (key, decoder, self._arrays.share(frames))))
        self.last_frames = key

    def read_text(self, key: str) -> Tensor | None:
        """The embedding of ``key``, or None."""
        return self._line.ask(StoreCall("read_text", (key,)))

    def write_text(self, key: str, embedding: Tensor) -> None:
        """Keep a text embedding."""
        self._line.ask(StoreCall("write_text", (key, embedding)))


class _ToHost(logging.Handler):
    """Sends warnings and errors to the host's log."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._channel.send(LogLine(record.levelno, record.getMessage()))
        except Exception:
            self.handleError(record)
