# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Processes by pid and start time: a pid alone may be another process by the time it is looked at."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessId:
    """One process, told from a later one of the same pid."""

    pid: int
    """Number that the system gave it."""

    start: str
    """When it started, in the system's words."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has a pid now; None when there is none, or when it is a zombie."""
        start = _start_of(pid)
        return None if start is None else cls(pid, start)

    @classmethod
    def own(cls) -> ProcessId:
        """This process."""
        process = cls.of(os.getpid())
        assert process is not None
        return process

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return _start_of(self.pid) == self.start

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self.is_running():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    def __str__(self) -> str:
        return f"{self.pid}-{self.start}"

    @classmethod
    def parse(cls, text: str) -> ProcessId:
        """The inverse of ``str``."""
        pid, _, start = text.partition("-")
        return cls(int(pid), start)


def children_of(pid: int) -> list[ProcessId]:
    """All processes below one."""
    import psutil

    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [process for child in children if (process := ProcessId.of(child.pid)) is not None]


def _start_of(pid: int) -> str | None:
    """Start time of a running process."""
    if sys.platform == "linux":  # read directly: psutil's time of start moves when the clock is set
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        state, start = fields[0], fields[19]
        return None if state in "ZX" else start
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None
