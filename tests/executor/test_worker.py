# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How a rank tells that it gets on, each case with a main thread that is busy in its own way; and how it ends."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lingbot_core.executor.processes import ProcessId
from lingbot_core.executor.worker import Activity, Heartbeat, WorkerSettings, end_without_host

DATA = bytes(4 * 2**20)


def compute(sec: float) -> None:
    """Compute in one call after another, always from the same place."""
    end_sec = time.monotonic() + sec
    while time.monotonic() < end_sec:
        hashlib.sha256(DATA)


def synchronize(sec: float) -> None:
    """Like a wait for a GPU: a loop, in one call, that computes nothing of use."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(sec * 4e6))


def connect(sec: float) -> None:
    time.sleep(sec)


def looks(do: Callable[[float], None], sec: float) -> list[Heartbeat]:
    """What another thread sees in the middle of it, twice."""
    assert threading.current_thread() is threading.main_thread()
    activity = Activity()

    def look_twice() -> list[Heartbeat]:
        time.sleep(sec / 4)
        first = activity.look()
        time.sleep(sec / 4)
        return [first, activity.look()]

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(look_twice)
        do(sec)
        return seen.result()


@pytest.mark.parametrize(("do", "stands_still"), [(time.sleep, True), (compute, False), (connect, False)])
def test_main_thread_stands_still_when_it_neither_computes_nor_moves(do: Callable[[float], None], stands_still: bool):
    first, second = looks(do, 1.0)
    assert (first.activity == second.activity) is stands_still
    assert not first.is_waiting


def test_loop_that_waits_for_a_gpu_is_no_progress():
    first, second = looks(synchronize, 1.0)
    assert first.activity == second.activity and first.is_waiting and first.place == "synchronize"


@pytest.mark.parametrize(("host_sec", "is_left"), [(0.2, False), (60.0, True)])
def test_line_that_closes_a_moment_before_the_host_ends_leaves_no_folder(
    host_sec: float, is_left: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ends = []
    monkeypatch.setattr(os, "_exit", ends.append)
    command = [sys.executable, "-c", f"import time; print(flush=True); time.sleep({host_sec})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None and host.stdout.readline()
        process = ProcessId.of(host.pid)
        assert process is not None
        folder = tmp_path / "arrays"
        folder.mkdir()
        settings = WorkerSettings("", {}, str(process), folders=(str(folder),))
        end_without_host(settings, process)
        host.kill()
    assert folder.exists() == is_left
    assert ends == [1]
