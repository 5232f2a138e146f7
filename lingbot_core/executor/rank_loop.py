# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a rank does once it runs: connect, load, then follow rank 0, or as rank 0 do what the host asks."""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingbot_core.executor.base import ChunkResult
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
from lingbot_core.executor.shared_arrays import ArrayFolder
from lingbot_core.executor.worker import WorkerSettings, end_without_host
from lingbot_core.errors import LingBotError
from lingbot_core.options import ModelOptions
from lingbot_core.rollout import ChunkRecord
from lingbot_core.variants import get_variant

_log = logging.getLogger(__name__)

_CHUNKS_AHEAD = 2
"""Chunks that may wait for the consumer before the network waits for it too."""


def run_rank(rank: int, settings: WorkerSettings, channel: Channel | None) -> bool:
    """Run a rank; True when it was told to end, False after a failure, which the host knows by then."""
    ranks = importlib.import_module(settings.ranks_module)
    if channel is not None:
        logging.getLogger("lingbot_core").addHandler(_ToHost(channel))
    try:
        options = ModelOptions.from_json(settings.options)
        device = _device(options)
        group = ranks.RankGroup.connect(device)
        if rank == 0:
            assert channel is not None, "rank 0 runs on the host's machine"
            _lead(_HostLine(channel, settings), ranks, group, settings, options)
        else:
            model = ranks.load_on_ranks(group, get_variant(settings.slug), options)
            ranks.follow(group, model)
        group.close()
        return True
    except BaseException as error:
        _log.debug("This rank failed", exc_info=True)
        if channel is not None:
            try:
                channel.send(RankFailed(ErrorReport.of(error)))
            except ChannelClosed:
                return False
        else:
            print(f"lingbot-world worker: rank {rank} failed: {ErrorReport.of(error).traceback}", flush=True)
        return False


def _device(options: ModelOptions) -> torch.device:
    """The device of this rank: the CPU if that was chosen or there is no GPU, else the one of its number."""
    wants_cpu = options.device is not None and torch.device(options.device).type == "cpu"
    if wants_cpu or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def _lead(line: _HostLine, ranks: Any, group: Any, settings: WorkerSettings, options: ModelOptions) -> None:
    """Rank 0: load, then do what the host asks until it says stop."""
    variant = get_variant(settings.slug)
    model = ranks.load_on_ranks(group, variant, options, line.say, line.make_room)
    arrays = ArrayFolder(Path(settings.folders[0]), Path(settings.folders[1]))
    store = StoreProxy(line, arrays)
    executor = ranks.lead(group, model, store, settings.snapshot_budget_gib)
    line.beat = executor.beat
    line.send(Ready(executor.info, held_bytes(executor)))
    while not isinstance(command := line.next_command(), Stop):
        error = None
        try:
            if isinstance(command, Stream):
                _stream(line, executor, command, store, arrays)
            else:
                assert isinstance(command, EncodeTexts), command
                line.send(Texts(_encode(line, executor, command.prompts)))
        except LingBotError as caught:  # for the user; the group is as it was
            error = ErrorReport.of(caught)
        line.send(Ended(error, held_bytes(executor)))
    executor.close()


def _stream(line: _HostLine, executor: Any, command: Stream, store: StoreProxy, arrays: ArrayFolder) -> None:
    """Run a request, a little ahead of the consumer."""
    request = command.request
    _encode(line, executor, [event.prompt for event in request.text if event.embedding is None])
    for chunk in executor.stream(
        request, on_progress=lambda progress: line.send(Progress(progress)), cancelled=line.is_cancelled
    ):
        line.send(_chunk_message(chunk, store, arrays))
        line.wait_for_consumer()


def _chunk_message(chunk: ChunkResult, store: StoreProxy, arrays: ArrayFolder) -> ChunkDone:
    frames = None if store.last_frames == chunk.key else arrays.share(chunk.frames)
    return ChunkDone(chunk.index, chunk.key, chunk.latents, frames, chunk.stats, chunk.reused)


def _encode(line: _HostLine, executor: Any, prompts: Sequence[str]) -> list[Tensor]:
    """Encode prompts, in a thread if the encoder is needed: reading it can take minutes, and others wait for beats."""
    if all(executor.knows_text(prompt) for prompt in prompts):
        return executor.encode_texts(prompts)
    results: list[list[Tensor]] = []
    failures: list[BaseException] = []
    device = executor.info.device

    def encode() -> None:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            with torch.inference_mode():
                results.append(executor.encode_texts(prompts))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=encode, name="text encoder", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(line.beat_sec)
        line.beat()
    if failures:
        raise failures[0]
    return results[0]


def held_bytes(executor: Any) -> int:
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
        self.beat_sec = settings.beat_sec
        self.beat: Callable[[], None] = lambda: None
        """Tells the other ranks that this one lives; needed wherever this one waits."""
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
        while True:
            try:
                reply = self._replies.get(timeout=self.beat_sec)
                break
            except queue.Empty:
                if threading.current_thread() is threading.main_thread():
                    self.beat()
        if reply.error is not None:
            raise reply.error.as_user_error() or RuntimeError(f"The record store failed: {reply.error.text}")
        return reply.value

    def next_command(self) -> Any:
        """Wait for what the host wants next."""
        while True:
            try:
                return self._commands.get(timeout=self.beat_sec)
            except queue.Empty:
                self.beat()

    def is_cancelled(self) -> bool:
        """Whether the running request shall end."""
        return self._cancelled.is_set()

    def wait_for_consumer(self) -> None:
        """Return when no more than a few chunks wait for the consumer."""
        while not self._room.acquire(timeout=self.beat_sec):
            self.beat()

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
                if isinstance(message, Stream):
                    self._cancelled.clear()
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
