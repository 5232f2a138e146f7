# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor of several GPUs: a group of processes that outlives requests, and this host process in front of it."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from lingbot_core.errors import LingBotError, WorkerFailed, stop_if
from lingbot_core.executor.base import ChunkResult, EngineInfo, PassProgress, RolloutRequest
from lingbot_core.executor.checks import find_model
from lingbot_core.executor.failures import Timeouts
from lingbot_core.executor.messages import (
    Cancel,
    ChunkDone,
    ChunkTaken,
    EncodeTexts,
    Ended,
    ErrorReport,
    MakeRoom,
    Progress,
    Ready,
    Reply,
    Say,
    StoreCall,
    Stream,
    Texts,
)
from lingbot_core.executor.pace import Asked, Pace
from lingbot_core.executor.shared_arrays import take
from lingbot_core.executor.worker import MODELS_MODULE
from lingbot_core.executor.worker_group import WorkerGroup
from lingbot_core.journal import MemoryStore, RecordStore
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.text import text_key
from lingbot_core.variants import Variant

_log = logging.getLogger(__name__)

_ASK_SEC = 0.1
"""Between two looks at whether the user wants to stop."""

_LAST_SEC = 1.0
"""Beyond every limit, for the case that it was this process that stood still."""

_FAILURE_SEC = 5.0
"""After the end of a process, for its cause to be known."""

_OPEN: weakref.WeakSet[ProcessGroupExecutor] = weakref.WeakSet()


class ProcessGroupExecutor:
    """Runs requests on several GPUs; see :class:`lingbot_core.executor.base.Executor`.

    Phases: made with no process running; the first use (or :meth:`start`) starts a group, which stays until
    :meth:`close`, a failure, or the end of this process. After either the next use starts another one. Records
    are in the store of this process, so a failure costs the chunk in work and no other.

    Args:
        variant: What to load.
        options: How, and on how many GPUs.
        store: Where records live; None keeps them in this process only.
        snapshot_budget_gib: See ``LocalExecutor``; in memory of the ranks.
        say: Told in a sentence what is being done while loading.
        make_room: Told the bytes of the first device that a run takes, before free memory is looked at.
        timeouts: How long to wait for what.
        models_module: Where ranks get their model.

    Raises:
        InputError: So many GPUs are not possible here, or not with this model.
    """

    def __init__(
        self,
        variant: Variant,
        options: ModelOptions,
        store: RecordStore | None = None,
        snapshot_budget_gib: float = 0.0,
        *,
        say: Callable[[str], None] | None = None,
        make_room: Callable[[int], None] | None = None,
        timeouts: Timeouts | None = None,
        models_module: str = MODELS_MODULE,
    ) -> None:
        RunSettings.resolve(variant, options)
        self.store: RecordStore = store if store is not None else MemoryStore()
        self._variant, self._options, self._snapshot_budget_gib = variant, options, snapshot_budget_gib
        self._say, self._make_room = say or _log.info, make_room
        self._timeouts, self._models_module = timeouts or Timeouts(), models_module
        self._group: WorkerGroup | None = None
        self._info: EngineInfo | None = None
        self._num_bytes, self._holds_text_encoder = 0, False
        self._pace = Pace()
        self._told: LingBotError | None = None  # the last failure that a caller was told
        self._busy = threading.Lock()
        self._frames: dict[str, np.ndarray] = {}  # those of the last store call, by key
        _OPEN.add(self)

    # --- what is loaded -----------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        """What is loaded; starts the group if none runs."""
        self.start()
        assert self._info is not None
        return self._info

    @property
    def is_ready(self) -> bool:
        """Whether a group runs."""
        return self._group is not None and self._group.is_running

    @property
    def num_bytes(self) -> int:
        """Memory that rank 0 holds on its device."""
        return self._num_bytes if self.is_ready else 0

    @property
    def num_state_bytes(self) -> int:
        """The same: :meth:`close` frees everything."""
        return self.num_bytes

    @property
    def holds_text_encoder(self) -> bool:
        """Whether rank 0 has the text encoder in memory."""
        return self._holds_text_encoder and self.is_ready

    def release_text_encoder(self) -> None:
        """Nothing: of processes everything is freed together, see :meth:`close`."""

    def start(self, cancelled: Callable[[], bool] | None = None) -> None:
        """Start a group and load the model, unless one runs.

        Args:
            cancelled: Asked all along.

        Raises:
            Cancelled: ``cancelled`` returned True; the processes have been ended.
            WorkerFailed: A process failed.
            LingBotError: The model cannot be loaded.
        """
        if self.is_ready:
            return
        if self._group is not None:
            failure = self._group.wait_for_failure(_FAILURE_SEC)
            if failure is not None and failure is not self._told:
                _log.warning("%s The workers are started anew.", failure)
        self.close()
        options = self._options
        if self._models_module == MODELS_MODULE:
            # downloads once, and finds what is wrong at once
            find_model(self._variant, options, self._say, self._make_room, cancelled)
            options = replace(options, allow_download=False)
        self._group = WorkerGroup(
            self._variant.slug, options, self._snapshot_budget_gib, self._timeouts, self._models_module
        )
        self._pace = Pace()
        try:
            look = partial(stop_if, cancelled, "Stopped while the model was loaded.")
            message = self._receive(self._timeouts.load_sec, look)
            assert isinstance(message, Ready), message
        except BaseException:
            self._end_group(at_once=True)
            raise
        self._info, self._num_bytes = message.info, message.num_bytes

    def close(self) -> None:
        """End the processes, which frees all they hold; the next use starts new ones. Records stay."""
        self._end_group(at_once=self._busy.locked())  # rank 0 does not listen while it runs a request

    def _end_group(self, *, at_once: bool) -> None:
        group, self._group = self._group, None
        self._num_bytes, self._holds_text_encoder = 0, False
        self._frames.clear()
        if group is not None:
            group.close(at_once=at_once)

    # --- requests -----------------------------------------------------------------------

    def stream(
        self,
        request: RolloutRequest,
        *,
        on_progress: Callable[[PassProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        previews: bool = False,
    ) -> Generator[ChunkResult, None, None]:
        """Yield every chunk of a request in order; see the protocol."""
        with self._one_request(Stream(request, previews), cancelled) as messages:
            self._pace = self._pace if self._pace.frame_size == request.photo.shape else Pace(request.photo.shape)
            for message in messages():
                if isinstance(message, Progress):
                    if on_progress is not None:
                        on_progress(message.progress)
                else:
                    assert isinstance(message, ChunkDone), message
                    yield self._chunk(message)
                    self._send(ChunkTaken())

    def encode_texts(
        self,
        prompts: Sequence[str],
        *,
        on_warning: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Tensor]:
        """Encode prompts; those encoded before come from the store. See the protocol."""
        embeddings: list[Tensor] = []
        with self._one_request(EncodeTexts(list(prompts)), cancelled) as messages:
            for message in messages():
                assert isinstance(message, Texts), message
                embeddings = message.embeddings
                for warning in message.warnings:
                    (on_warning or _log.warning)(warning)
        return embeddings

    def knows_text(self, prompt: str) -> bool:
        """Whether a prompt's encoding is in the store."""
        return self.store.read_text(text_key(self.info.text_encoder, prompt)) is not None

    @contextmanager
    def _one_request(
        self, command: object, cancelled: Callable[[], bool] | None
    ) -> Iterator[Callable[[], Iterator[Any]]]:
        """Ask rank 0 for something; whatever happens in the body, it waits for the next thing afterwards."""
        if not self._busy.acquire(blocking=False):
            raise LingBotError("This engine is already running a request.", do="Wait for it or stop it first.")
        try:
            self.start(cancelled)
            self._send(command)
            is_over, asked = False, Asked(cancelled)

            def messages() -> Iterator[Any]:
                nonlocal is_over
                while not isinstance(message := self._receive_asking(asked), Ended):
                    yield message
                is_over = True
                self._end(message)

            try:
                yield messages
            finally:
                if not is_over:
                    self._leave()
        finally:
            self._frames.clear()
            self._busy.release()

    def _end(self, ended: Ended) -> None:
        """Take note of the end of a request."""
        self._num_bytes, self._holds_text_encoder = ended.num_bytes, ended.holds_text_encoder
        if ended.error is not None:
            error = ended.error.as_user_error()
            assert error is not None, ended.error
            raise error

    def _leave(self) -> None:
        """Have rank 0 leave the running request and wait until it has: chunks that it finishes are recorded."""
        if not self.is_ready:
            return
        self._send(Cancel())
        try:
            while not isinstance(message := self._receive(self._timeouts.first_pass_sec), Ended):
                if isinstance(message, ChunkDone):
                    self._chunk(message)
            self._num_bytes, self._holds_text_encoder = message.num_bytes, message.holds_text_encoder
        except LingBotError as error:
            _log.warning("While a request was being stopped: %s", error)

    def _chunk(self, message: ChunkDone) -> ChunkResult:
        frames = self._frames[message.key] if message.frames is None else take(message.frames)
        return ChunkResult(message.index, message.key, message.latents, frames, message.stats, message.reused)

    # --- messages -----------------------------------------------------------------------

    def _send(self, message: object) -> None:
        if self._group is not None:
            self._group.send(message)

    def _receive_asking(self, asked: Asked) -> Any:
        """The next message of a request; tells rank 0 when the user wants to stop."""
        limit_sec = self._pace.limit_sec(self._timeouts) if asked.had_pass else self._timeouts.first_pass_sec
        start_sec = time.monotonic()

        def look() -> None:
            if asked.wants_to_stop():
                self._send(Cancel())

        message = self._receive(limit_sec, look)
        if isinstance(message, Progress):
            if asked.had_pass:
                self._pace.slowest_pass_sec = max(self._pace.slowest_pass_sec, time.monotonic() - start_sec)
            asked.had_pass = True
        elif isinstance(message, ChunkDone):
            self._pace.num_chunks += not message.reused
        return message

    def _receive(self, limit_sec: float, look: Callable[[], None] = lambda: None) -> Any:
        """The next message that is not served here: store calls, room and sentences are.

        Args:
            limit_sec: For the wait between two messages.
            look: Called all along.

        Raises:
            LingBotError: The group has failed; WorkerFailed when nothing came in time.
        """
        group = self._group
        assert group is not None
        began_sec = time.monotonic()
        while True:
            look()
            waited_sec = time.monotonic() - began_sec
            is_late = waited_sec > limit_sec
            try:
                message = group.receive(_LAST_SEC if is_late else _ASK_SEC)
                if message is None and (is_late or self._stands_still(group, waited_sec)):
                    group.fail(waited_sec)
            except LingBotError as error:
                self._told = error
                raise
            if message is None:
                continue
            if not self._serve(message):
                return message
            began_sec = time.monotonic()

    def _stands_still(self, group: WorkerGroup, waited_sec: float) -> bool:
        """Whether no rank has got on for longer than a pass on the GPU may take; other machines' cannot be seen."""
        if self._options.machines is not None:
            return False
        limit_sec = self._pace.at_least(self._timeouts.standstill_sec, self._timeouts)
        return min(waited_sec, group.standstill_sec()) > limit_sec

    def _serve(self, message: object) -> bool:
        """Answer what rank 0 needs of this process; False for anything else."""
        if isinstance(message, Say):
            self._say(message.text)
        elif isinstance(message, MakeRoom):
            if self._make_room is not None:
                self._make_room(message.num_bytes)
            self._send(Reply())
        elif isinstance(message, StoreCall):
            try:
                self._send(Reply(self._call_store(message)))
            except LingBotError as error:
                self._send(Reply(error=ErrorReport.of(error)))
        else:
            return False
        return True

    def _call_store(self, call: StoreCall) -> Any:
        if call.method == "write_frames":
            key, decoder, shared = call.arguments
            self._frames = {key: take(shared)}
            self.store.write_frames(key, decoder, self._frames[key])
            return None
        if call.method == "read_frames":
            frames = self.store.read_frames(*call.arguments)
            if frames is None:
                return None
            self._frames = {call.arguments[0]: frames}
            return frames.shape
        assert call.method in ("read_chunk", "write_chunk", "read_text", "write_text"), call.method
        return getattr(self.store, call.method)(*call.arguments)


@atexit.register
def _close_all() -> None:
    for executor in list(_OPEN):
        try:
            executor.close()
        except WorkerFailed:
            _log.debug("While this process ended", exc_info=True)
