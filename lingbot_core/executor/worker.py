# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""One rank of a multi-GPU group: ``python -m lingbot_core.executor.worker``, started by torch elastic.

This file imports no torch: the watchdog has to run before anything that takes long.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from lingbot_core.executor.channel import Address, Channel, ChannelClosed, call
from lingbot_core.executor.processes import ProcessId

SETTINGS_VARIABLE = "LINGBOT_WORKER_SETTINGS"
"""Environment variable with the path of a rank's settings."""

_ENDING_SEC = 0.5
"""Longest wait for the end of a host whose line has closed: that happens a moment before."""

HEARTBEAT_SEC = 1.0
"""Between two signs of life of a rank."""

_WAITING_FUNCTIONS = {"hear", "synchronize"}
"""Where the main thread waits for rank 0, and for its GPU."""

_MEETING_FUNCTION = "connect"
"""Where ranks meet, which takes as long as it takes: it never counts as standing still."""

_WAITING_FILE = str(Path("torch", "distributed", "distributed_c10d.py"))
"""Where it waits for other ranks."""

MODELS_MODULE = "lingbot_core.loader"
"""Where ranks get their model."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a rank is told when it starts, in a file that only this user can read."""

    slug: str
    """The variant."""

    options: Mapping[str, Any]
    """``ModelOptions.to_json``."""

    watched: str
    """The process without which a rank ends, as ``ProcessId`` writes it."""

    address: Address | None = None
    """Where to call the host; None on a machine where it is not."""

    key: str = ""
    """What the host wants to hear, in hexadecimal."""

    folders: tuple[str, ...] = ()
    """Private folders that ranks remove when the host is gone: shared memory first."""

    snapshot_budget_gib: float = 0.0
    """See ``LocalExecutor``."""

    models_module: str = MODELS_MODULE
    """Module with ``load_model`` and ``load_network``."""

    def write(self, path: Path) -> None:
        """Write the file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> WorkerSettings:
        """Read the file."""
        values = json.loads(path.read_text("utf-8"))
        address = values["address"]
        values["address"] = tuple(address) if isinstance(address, list) else address
        return cls(**{**values, "folders": tuple(values["folders"])})


@dataclass(frozen=True)
class Hello:
    """The first message of a rank."""

    rank: int
    """Which one."""

    process: ProcessId
    """Its process."""


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life, sent all the time by a thread of its own; and whether the main thread gets on."""

    activity: int
    """Stays the same as long as the main thread stands still."""

    place: str
    """Function that the main thread is in."""

    is_waiting: bool
    """Whether it waits there for other ranks or for its GPU."""


class Activity:
    """Looks at what the main thread does, from another one.

    It stands still when it is in the same place of the same functions, has not computed and the process has read and
    written no files. Computing does not count where it waits: threads that wait for a GPU do so in a loop.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        thread = threading.main_thread().ident
        assert thread is not None
        self._thread = thread

    def look(self) -> Heartbeat:
        """What it does now."""
        frame, places, is_waiting, is_meeting = sys._current_frames().get(self._thread), [], False, False
        innermost = frame.f_code.co_name if frame is not None else ""
        while frame is not None:
            code = frame.f_code
            places.append((code.co_filename, code.co_name, frame.f_lasti))
            is_meeting |= code.co_name == _MEETING_FUNCTION
            is_waiting |= code.co_name in _WAITING_FUNCTIONS or code.co_filename.endswith(_WAITING_FILE)
            frame = frame.f_back
        done = (self._bytes_moved(), 0 if is_waiting else self._computed_ms(), time.monotonic() if is_meeting else 0)
        return Heartbeat(hash((*places, *done)), innermost, is_waiting)

    def _computed_ms(self) -> int:
        if not hasattr(time, "pthread_getcpuclockid"):
            return 0
        return int(1e3 * time.clock_gettime(time.pthread_getcpuclockid(self._thread)))

    def _bytes_moved(self) -> int:
        counters = getattr(self._process, "io_counters", None)  # not on every system
        if counters is None:
            return 0
        moved = counters()
        return moved.read_bytes + moved.write_bytes


class Watchdog(threading.Thread):
    """Tells the host that this rank lives, and ends the rank when the host or the elastic agent is gone.

    Not a job for the system's own means: PR_SET_PDEATHSIG follows the thread that started a process.

    Args:
        settings: Whom to watch.
        channel: Line to the host, if there is one.
    """

    def __init__(self, settings: WorkerSettings, channel: Channel | None) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._settings, self._channel = settings, channel
        self._watched = ProcessId.parse(settings.watched)
        self._parent_pid = os.getppid()

    def run(self) -> None:
        """Watch until this process ends."""
        activity = Activity()
        while self._watched.is_running() and os.getppid() == self._parent_pid:
            if self._channel is not None:
                with suppress(ChannelClosed):  # who closed it is seen by the next look
                    self._channel.send(activity.look())
            time.sleep(HEARTBEAT_SEC)
        end_without_host(self._settings, self._watched)


def end_without_host(settings: WorkerSettings, host: ProcessId) -> None:
    """End this process; what the host can no longer remove is removed."""
    end_sec = time.monotonic() + _ENDING_SEC
    while settings.folders and host.is_running() and time.monotonic() < end_sec:
        time.sleep(0.005)
    if not host.is_running():
        for folder in settings.folders:
            shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Run one rank to its end."""
    settings = WorkerSettings.read(Path(os.environ[SETTINGS_VARIABLE]))
    rank = int(os.environ["RANK"])
    channel = call(settings.address, bytes.fromhex(settings.key)) if settings.address is not None else None
    if channel is not None:
        channel.send(Hello(rank, ProcessId.own()))
    Watchdog(settings, channel).start()
    run_rank = importlib.import_module("lingbot_core.executor.rank_loop").run_rank
    is_done = run_rank(rank, settings, channel)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if is_done else 1)  # after a failure, libraries may wait for the other ranks for ever


if __name__ == "__main__":
    from lingbot_core.executor import worker  # its one absolute name: messages are pickled by it

    worker.main()
