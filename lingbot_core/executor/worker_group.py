# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The running processes of a multi-GPU group, as the host holds them: their lines, their signs of life, their end."""

from __future__ import annotations

import logging
import queue
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from lingbot_core.errors import LingBotError, WorkerFailed
from lingbot_core.executor.channel import Channel, ChannelClosed, Listener
from lingbot_core.executor.failures import Sign, Timeouts, describe_end
from lingbot_core.executor.launch import exit_code_in_log, last_error_in_log, start_ranks
from lingbot_core.executor.messages import Heartbeat, Hello, LogLine, RankFailed, Stop
from lingbot_core.executor.processes import ProcessId, children_of
from lingbot_core.executor.shared_arrays import make_private_folder
from lingbot_core.executor.worker import MODELS_MODULE, WorkerSettings
from lingbot_core.options import ModelOptions

_log = logging.getLogger(__name__)

_LOOK_SEC = 0.5
"""Between two looks at the processes."""

_GRACE_SEC = 0.3
"""After a first sign of failure: one rank's end ends others, and what ended it may come second."""

_EXIT_CODE_SEC = 1.5
"""The elastic agent gets so long to say how a rank ended."""

_HOST_STOOD_SEC = 3.0
"""A host that has not looked for so long (it was stopped, or busy) cannot blame the ranks for silence."""

_QUIET_SEC = 3.0
"""A sign of life should come every second."""

_GONE_SEC = 3.0
"""What was killed is gone by then, with the memory that it held."""


class WorkerGroup:
    """Processes from their start to their end.

    Phases: construct (they start), :meth:`receive` until ``Ready``, then :meth:`send` and :meth:`receive`;
    :meth:`close` at any time. A thread reads all lines and watches all processes; at the first failure it kills
    them all, keeps :attr:`failure`, and lets :meth:`receive` raise it behind the messages that came before.

    Args:
        slug: The variant.
        options: How to load it, and on how many GPUs.
        snapshot_budget_gib: See ``LocalExecutor``.
        timeouts: How long to wait for what.
        models_module: Where ranks get their model.
    """

    def __init__(
        self,
        slug: str,
        options: ModelOptions,
        snapshot_budget_gib: float = 0.0,
        timeouts: Timeouts | None = None,
        models_module: str = MODELS_MODULE,
    ) -> None:
        self.failure: LingBotError | None = None
        """Why the processes have ended; None while they run, and when they were asked to end."""
        self._timeouts = timeouts or Timeouts()
        self._num_ranks, self._num_local = options.num_ranks, options.num_gpus
        host = ProcessId.own()
        self._folder = make_private_folder(host, in_memory=False)
        self._arrays = make_private_folder(host, in_memory=True)
        self._listener = Listener(self._folder)
        self._ranks: dict[int, _Rank] = {}
        self._messages: queue.Queue[Any] = queue.Queue()
        self._closing, self._ending = threading.Event(), threading.Lock()
        self._log_path = self._folder / "workers.log"
        settings = WorkerSettings(
            slug,
            options.to_json(),
            str(host),
            self._listener.address,
            self._listener.key.hex(),
            (str(self._arrays), str(self._folder)),
            snapshot_budget_gib,
            models_module,
        )
        try:
            settings.write(self._folder / "settings.json")
            self._agent = start_ranks(options, self._folder / "settings.json", self._log_path)
        except BaseException:
            self._remove_files()
            raise
        self._started_sec = time.monotonic()
        self._watcher = threading.Thread(target=self._watch, name="lingbot workers", daemon=True)
        self._watcher.start()

    @property
    def is_running(self) -> bool:
        """Whether all processes run, as far as can be seen now."""
        if self.failure is not None or self._closing.is_set() or self._agent.poll() is not None:
            return False
        return all(rank.process.is_running() for rank in list(self._ranks.values()))

    @property
    def processes(self) -> list[ProcessId]:
        """The elastic agent and the ranks that have said hello, in order."""
        agent = ProcessId.of(self._agent.pid)
        ranks = [self._ranks[rank].process for rank in sorted(self._ranks)]
        return [*([agent] if agent is not None else []), *ranks]

    def send(self, message: object) -> None:
        """Send rank 0 a message; when it is gone, :meth:`receive` says so."""
        rank = self._ranks.get(0)
        if rank is not None:
            with suppress(ChannelClosed):
                rank.channel.send(message)

    def receive(self, timeout_sec: float) -> Any:
        """The next message of rank 0, or None when none came in time.

        Raises:
            LingBotError: The group has failed, and is gone.
        """
        try:
            message = self._messages.get(timeout=timeout_sec)
        except queue.Empty:
            return None
        if isinstance(message, LingBotError):
            self._messages.put(message)  # for whoever asks again
            self._remove_files()
            raise message
        return message

    def wait_for_failure(self, timeout_sec: float) -> LingBotError | None:
        """Why the group is gone, once that is known."""
        self._watcher.join(timeout_sec)
        return self.failure

    def standstill_sec(self) -> float:
        """For how long no rank has got on with anything."""
        return time.monotonic() - max((rank.active_sec for rank in self._ranks.values()), default=time.monotonic())

    def fail(self, waited_sec: float) -> None:
        """Give the group up because it does not get on.

        To blame is a rank that has fallen silent, or one that waits for no other.
        """
        ranks = list(self._ranks.values())
        quiet = max(ranks, key=lambda rank: time.monotonic() - rank.heard_sec, default=None)
        if quiet is not None and (silence_sec := time.monotonic() - quiet.heard_sec) > _QUIET_SEC:
            self._end_by(Sign(quiet.number, f"it hangs: no sign of life for {silence_sec:.0f} s"))
        culprit = min(ranks, key=lambda rank: (rank.is_waiting, rank.number), default=None)
        number, place = (culprit.number, culprit.place) if culprit is not None else (0, "")
        self._end_by(Sign(number, f"it hangs{' in ' if place else ''}{place}: nothing was done for {waited_sec:.0f} s"))

    def close(self, *, at_once: bool = False) -> None:
        """End all processes, unless ``at_once`` first by asking them."""
        if not (at_once or self._closing.is_set() or self.failure is not None):
            self._closing.set()
            self.send(Stop())
            with suppress(subprocess.TimeoutExpired):
                self._agent.wait(self._timeouts.stop_sec if 0 in self._ranks else 0)
        self._closing.set()
        self._kill()
        self._watcher.join(10)
        self._messages.put(WorkerFailed("The workers were ended.", do="Run again."))  # for a request in another thread
        self._remove_files()

    # --- the thread that watches --------------------------------------------------------

    def _watch(self) -> None:
        looked_sec = time.monotonic()
        while not self._closing.is_set() and self.failure is None:
            sign = self._look(_LOOK_SEC)
            now = time.monotonic()
            if now - looked_sec > _HOST_STOOD_SEC:
                self._forgive(now)
            looked_sec = now
            sign = sign or self._missing(now)
            if sign is not None and not self._closing.is_set():
                self._end_by(self._root_cause(sign))
                return

    def _look(self, timeout_sec: float) -> Sign | None:
        """Read all lines once; the first sign of failure, if there is any."""
        open_ranks = [rank for rank in self._ranks.values() if not rank.has_ended]
        sources: list[Any] = [*open_ranks]
        if len(self._ranks) < self._num_local:
            sources.append(self._listener)
        signs: list[Sign] = []
        for source in wait(sources, timeout_sec) if sources else ():
            if source is self._listener:
                self._accept()
            elif isinstance(source, _Rank) and (sign := self._read(source)) is not None:
                signs.append(sign)
        return min(signs, key=lambda sign: not sign.is_silent) if signs else None

    def _accept(self) -> None:
        channel = self._listener.accept()
        if channel is None:
            return
        try:
            hello = channel.receive()
        except ChannelClosed:
            return  # the elastic agent will tell
        assert isinstance(hello, Hello), hello
        self._ranks[hello.rank] = _Rank(hello.rank, hello.process, channel)
        if len(self._ranks) == self._num_local:
            self._listener.close()

    def _read(self, rank: _Rank) -> Sign | None:
        """Take all messages of a rank."""
        while rank.channel.has_message():
            try:
                message = rank.channel.receive()
            except ChannelClosed as error:
                rank.has_ended = True
                return Sign(rank.number, str(error) or "its process ended without a word", is_silent=not str(error))
            rank.heard_sec = time.monotonic()
            if isinstance(message, RankFailed):
                rank.has_ended = True
                return Sign(rank.number, f"{message.error.name}: {message.error.text}", message.error)
            if isinstance(message, LogLine):
                _log.log(message.level, "rank %d: %s", rank.number, message.text)
            elif isinstance(message, Heartbeat):
                rank.take(message)
            else:
                self._messages.put(message)
        return None

    def _missing(self, now: float) -> Sign | None:
        """Whether a process has ended, or has been silent for too long."""
        limits = self._timeouts
        if self._agent.poll() is not None:
            return Sign(None, describe_end(self._agent.returncode))
        for rank in self._ranks.values():
            if now - rank.heard_sec > limits.heartbeat_sec:
                return Sign(rank.number, f"it hangs: no sign of life for {limits.heartbeat_sec:g} s")
        if len(self._ranks) < self._num_local and now - self._started_sec > limits.start_sec:
            absent = min(set(range(self._num_local)) - set(self._ranks))
            return Sign(absent, f"it did not start within {limits.start_sec:g} s")
        return None

    def _forgive(self, now: float) -> None:
        self._started_sec = max(self._started_sec, now - self._timeouts.start_sec / 2)
        for rank in self._ranks.values():
            rank.heard_sec = rank.active_sec = now

    def _root_cause(self, first: Sign) -> Sign:
        """Which of the signs that come together is the cause of the others."""
        signs = [first]
        end_sec = time.monotonic() + _GRACE_SEC
        while (left := end_sec - time.monotonic()) > 0:
            if (sign := self._look(left)) is not None:
                signs.append(sign)
        if self._agent.poll() is not None and self._agent.returncode < 0:  # else it ends because ranks do
            return Sign(None, describe_end(self._agent.returncode))
        own = [sign for sign in signs if not sign.is_echo]
        return own[0] if own else first

    # --- the end ------------------------------------------------------------------------

    def _end_by(self, sign: Sign) -> None:
        """Kill everything, then let the failure be known."""
        with self._ending:
            if self.failure is None and not self._closing.is_set():
                self._end(sign)

    def _end(self, sign: Sign) -> None:
        for process in self._all_ranks():
            process.kill()
        cause = sign.cause
        if sign.is_silent and sign.rank is not None:
            cause = self._cause_of_end(sign.rank) or cause
        log = self._read_log()
        if sign.rank is None and not self._ranks and (said := last_error_in_log(log)):
            cause = f"{cause}, a rank with {said}"
        self._kill()
        error = replace(sign, cause=cause).as_error(self._num_ranks)
        if log.strip():
            _log.debug("What the workers printed:\n%s", log)
        self.failure = error
        self._messages.put(error)  # behind messages whose arrays still have to be taken

    def _cause_of_end(self, number: int) -> str:
        """How a rank's process ended, as the elastic agent saw it."""
        pid, end_sec = self._ranks[number].process.pid, time.monotonic() + _EXIT_CODE_SEC
        while time.monotonic() < end_sec:
            code = exit_code_in_log(self._read_log(), pid)
            if code is not None:
                return describe_end(code)
            time.sleep(0.05)
        return ""

    def _read_log(self) -> str:
        try:
            return self._log_path.read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def _all_ranks(self) -> list[ProcessId]:
        """Ranks that have said hello, and those that were only started."""
        known = [rank.process for rank in self._ranks.values()]
        return [*known, *children_of(self._agent.pid)]

    def _kill(self) -> None:
        ranks = self._all_ranks()
        for process in ranks:
            process.kill()
        self._agent.kill()
        with suppress(subprocess.TimeoutExpired):
            self._agent.wait(_GONE_SEC)
        end_sec = time.monotonic() + _GONE_SEC
        while any(process.is_running() for process in ranks) and time.monotonic() < end_sec:
            time.sleep(0.01)

    def _remove_files(self) -> None:
        for rank in self._ranks.values():
            rank.channel.close()
        self._listener.close()
        for folder in (self._arrays, self._folder):
            shutil.rmtree(folder, ignore_errors=True)


class _Rank:
    """A rank of this machine.

    Args:
        number: Its rank.
        process: Its process.
        channel: Its line.
    """

    def __init__(self, number: int, process: ProcessId, channel: Channel) -> None:
        self.number, self.process, self.channel = number, process, channel
        self.heard_sec = time.monotonic()
        """When it was last heard."""
        self.has_ended = False
        """Whether its line was closed, or will be."""
        self.active_sec = self.heard_sec
        """When it last got on with something."""
        self.place, self.is_waiting = "", True
        """Where it was last, and whether it waited there."""
        self._activity = 0

    def take(self, heartbeat: Heartbeat) -> None:
        """Take note of a sign of life."""
        if heartbeat.activity != self._activity:
            self._activity, self.active_sec = heartbeat.activity, time.monotonic()
        self.place, self.is_waiting = heartbeat.place, heartbeat.is_waiting

    def fileno(self) -> int:
        """For ``multiprocessing.connection.wait``."""
        return self.channel.fileno()
