# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Loaded models, kept for the life of the process, whatever the graph does.

Knows nothing of ComfyUI: what it needs of a host is :class:`MemoryHost`.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Protocol

import torch

from lingbot_core import preflight
from lingbot_core.errors import WeightsError
from lingbot_core.executor.base import ChunkResult, EngineInfo, Executor, PassProgress
from lingbot_core.executor.opening import open_executor
from lingbot_core.journal import RecordStore
from lingbot_core.stats import ChunkStats
from lingbot_core.variants import get_variant

from .model_key import ModelKey, model_key
from .recent import RecentRollouts
from .tokens import ModelToken, RolloutToken

log = logging.getLogger(__name__)

Say = Callable[[str], None]


class MemoryHost(Protocol):
    """The program that shares the device's memory with us."""

    def make_room(self, engine: Engine, num_bytes: int) -> None:
        """Ask others to give back memory until so much is free."""
        ...

    def hold(self, engine: Engine) -> None:
        """Take note that an engine holds memory and can be asked to give it back."""
        ...


class Engine:
    """One model with its executor.

    Phases: made holding nothing; :meth:`session` loads what is missing and lends the executor;
    :meth:`free` and :meth:`free_all` give memory back, and the next session makes it anew. Records
    are in the journal, so nothing that was generated is lost.

    Args:
        token: What to load.
        open_store: Gives the store of records.
        host: Told of memory before it is needed and after it was taken.
        before_start: Called before the processes of several GPUs are started.
    """

    def __init__(
        self,
        token: ModelToken,
        open_store: Callable[[], RecordStore],
        host: MemoryHost,
        before_start: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        self.token = token
        """How it is asked for, the last of all ways that come to this model; it is loaded by that."""

        self._open_store, self._host, self._before_start = open_store, host, before_start
        self._say: Say = log.info
        self._executor: Executor | None = None
        self._busy = threading.Lock()
        self._free_when_done = False
        self._made_room_for: tuple[int, int] | None = None

    @contextmanager
    def session(
        self, say: Say, frame_size: tuple[int, int] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Executor]:
        """Lend the executor; nothing is freed meanwhile.

        Args:
            say: Told in a sentence what is being loaded.
            frame_size: Height and width in pixels of the run that follows; None when the network will not run.
            cancelled: Asked all along while the model is loaded.

        Raises:
            Cancelled: ``cancelled`` returned True; what was not loaded yet holds nothing.
            ResourceError: The run does not fit; or memory ran out in it, and then everything is given back.
            LingBotError: The model cannot be loaded.
        """
        with self._busy:
            try:
                executor = self._load(say, frame_size, cancelled)
                run = self._make_room_for_run(executor.info, frame_size) if frame_size is not None else None
                with preflight.explain_out_of_memory(executor.info.device, run=run, held=self.num_bytes):
                    try:
                        yield executor
                    except RuntimeError as error:
                        self._free_when_done |= preflight.is_out_of_memory(error)
                        raise
            finally:
                if self._free_when_done:
                    self._drop()
                self._free_when_done = False
                self._host.hold(self)

    @property
    def is_loaded(self) -> bool:
        """Whether the next session finds its model loaded."""
        return self._executor is not None

    @property
    def num_bytes(self) -> int:
        """Memory held on the first GPU: weights, caches, snapshots."""
        return self._executor.num_bytes if self._executor is not None else 0

    @property
    def has_processes(self) -> bool:
        """Whether it runs on several GPUs, in processes of its own."""
        return self.token.options.num_ranks > 1

    def free(self, num_bytes: int) -> int:
        """Give back memory: the text encoder, if that is not enough caches, then weights; of several GPUs everything.

        Returns:
            Bytes given back; 0 while in use.
        """
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            before = self.num_bytes
            if self._executor is not None and not self.has_processes:
                self._executor.release_text_encoder()
                if before - self.num_bytes < num_bytes:
                    self._executor.close()
                    self._made_room_for = None
                preflight.release_unused_memory(self._executor.info.device)
            if self.has_processes or before - self.num_bytes < num_bytes:
                self._drop()
            return before - self.num_bytes
        finally:
            self._busy.release()

    def free_all(self) -> None:
        """Give back everything; while in use, as soon as that ends."""
        if not self._busy.acquire(blocking=False):
            self._free_when_done = True
            return
        try:
            self._drop()
        finally:
            self._busy.release()

    def make_room_for_text(self, executor: Executor) -> None:
        """Before a prompt is encoded: have 11 GB free on a GPU, at the expense of our own caches if need be."""
        info = executor.info
        if info.device.type != "cuda" or executor.holds_text_encoder:
            return
        self._make_room(info.text_encoder_bytes)
        is_short = (preflight.free_memory(info.device) or info.text_encoder_bytes) < info.text_encoder_bytes
        if is_short and not self.has_processes:
            executor.close()

    def _load(self, say: Say, frame_size: tuple[int, int] | None, cancelled: Callable[[], bool] | None) -> Executor:
        self._say = say
        if self._executor is None:
            store = self._open_store()
            log.info("Loading %s", self.token.slug)
            if self.has_processes:
                self._before_start(self)
            self._executor = open_executor(
                get_variant(self.token.slug),
                replace(self.token.options, frame_size=frame_size or preflight.SMALLEST_FRAME),
                store,
                say=lambda text: self._say(text),
                make_room=self._make_room,
                cancelled=cancelled,
            )
            self._host.hold(self)
        self._executor.start(cancelled)
        return self._executor

    def _make_room(self, num_bytes: int) -> None:
        """Have others give back memory; what torch keeps of it is of no use to other processes."""
        self._host.make_room(self, num_bytes)
        if self.has_processes and torch.cuda.is_initialized():
            preflight.release_unused_memory(torch.device("cuda", torch.cuda.current_device()))

    def _make_room_for_run(self, info: EngineInfo, frame_size: tuple[int, int]) -> preflight.RunMemory:
        """Have room for what a run takes beyond what is held already; returns what it takes.

        Raises:
            ResourceError: There is not so much room.
        """
        run = replace(info.memory, frame_size=frame_size, text_parameters=0)
        self._make_room(max(run.estimate().total - self.num_bytes, 0))
        if frame_size != self._made_room_for:  # else its caches are there, and the free memory tells nothing
            preflight.check_memory(info.device, run, held=self.num_bytes)
        self._made_room_for = frame_size
        return run

    def _drop(self) -> None:
        """Let go of everything."""
        self._made_room_for = None
        if self._executor is None:
            return
        log.info("Freeing %s (%.2f GiB)", self.token.slug, self.num_bytes / preflight.GIB)
        device = None if self.has_processes else self._executor.info.device
        self._executor.close()
        self._executor = None
        gc.collect()
        if device is not None:
            preflight.release_unused_memory(device)


class EngineRegistry:
    """All engines of the process, one for each model that tokens come to, over one store of records.

    Args:
        open_store: Opens the store; called once, when first needed.
        host: See :class:`MemoryHost`.
    """

    def __init__(self, open_store: Callable[[], RecordStore], host: MemoryHost) -> None:
        self._open_store, self._host = open_store, host
        self._store: RecordStore | None = None
        self._engines: dict[ModelKey, Engine] = {}
        self._by_token: dict[ModelToken, Engine] = {}
        """The engine that each token was last given."""

        self._lock = threading.Lock()
        self.recent = RecentRollouts()
        """Paths of the newest rollouts."""

    @property
    def store(self) -> RecordStore:
        """Where records live."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    def engine(self, token: ModelToken) -> Engine:
        """The engine of the model that a token comes to; it loads nothing before its first session.

        Raises:
            InputError: An option is not possible here.
            WeightsError: A file that was named is not there.
        """
        with self._lock:
            engine = self._by_token.get(token)
        if engine is not None and engine.is_loaded:  # what has become of its files since does not matter
            return engine
        key = model_key(token)
        with self._lock:
            if key not in self._engines:
                self._engines[key] = self._loaded_by_download(key) or Engine(
                    token, lambda: self.store, self._host, self._end_other_processes
                )
            engine = self._by_token[token] = self._engines[key]
            engine.token = token
            return engine

    def _loaded_by_download(self, key: ModelKey) -> Engine | None:
        """The engine that fetched these files itself, so that its own key names none for them."""

        def completes(other: ModelKey) -> bool:
            missing = {role for role, path in other.files if path is None}
            files = tuple((role, None if role in missing else path) for role, path in key.files)
            return bool(missing) and replace(key, files=files) == other

        return next((engine for other, engine in self._engines.items() if engine.is_loaded and completes(other)), None)

    def _end_other_processes(self, engine: Engine) -> None:
        """One group of processes at a time: all of them would use the same GPUs."""
        with self._lock:
            others = [other for other in self._engines.values() if other is not engine and other.has_processes]
        for other in others:
            other.free_all()

    def chunks(
        self,
        rollout: RolloutToken,
        say: Say,
        on_progress: Callable[[PassProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generator[ChunkResult, None, None]:
        """Every chunk of a finished rollout: from the store, and what it lost from the engine.

        Raises:
            Cancelled: ``cancelled`` returned True while the model was loaded or chunks were made again.
            WeightsError: Chunks were lost and the model's files are not those of the rollout.
            LingBotError: The model cannot be loaded again.
        """
        num_read = 0
        for key in rollout.keys:
            chunk = self._recorded(rollout, num_read, key)
            if chunk is None:
                break
            num_read += 1
            yield chunk
        if num_read == rollout.num_chunks:
            return
        with self.engine(rollout.model).session(say, rollout.size, cancelled) as executor:
            stream = executor.stream(rollout.request, on_progress=on_progress, cancelled=cancelled)
            with closing(stream):
                for chunk in stream:
                    if chunk.index < num_read:
                        continue
                    if chunk.key != rollout.keys[chunk.index]:
                        raise WeightsError(
                            "The model files have changed since this rollout was made.", do="Run the sampler again."
                        )
                    yield replace(chunk, stats=_as_run(chunk.stats, rollout, chunk.index))

    def _recorded(self, rollout: RolloutToken, index: int, key: str) -> ChunkResult | None:
        """A chunk from the store; None when its record or frames are gone."""
        record = self.store.read_chunk(key)
        frames = self.store.read_frames(key, rollout.decoder) if record is not None else None
        if record is None or frames is None:
            return None
        stats = _as_run(ChunkStats.from_dict(record.stats), rollout, index)
        return ChunkResult(index, key, record.latents, frames, stats, reused=True)


def _as_run(stats: ChunkStats, rollout: RolloutToken, index: int) -> ChunkStats:
    """Stats as the run that made the token saw them."""
    return replace(stats, reused=index < rollout.num_reused)
