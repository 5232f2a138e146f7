# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How a rank tells that it gets on: each case keeps the main thread busy in its own way while another one looks."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lingbot_core.executor.worker import Activity, Heartbeat

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
