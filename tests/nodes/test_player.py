# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextvars
import threading
import time

import numpy as np

from nodes.player import FramePlayer


def frames(*values: int) -> np.ndarray:
    """Frames of one pixel."""
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)


class Screen:
    """Notes what is shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        self.times_sec: list[float] = []
        self.changed = threading.Event()

    def __call__(self, frame: np.ndarray) -> None:
        self.shown.append(int(frame[0, 0, 0]))
        self.times_sec.append(time.monotonic())
        self.changed.set()


def test_play_shows_frames_in_order_at_most_at_display_rate():
    screen = Screen()
    player = FramePlayer(screen, fps=50)
    player.play(frames(1, 2, 3, 4))
    deadline = time.monotonic() + 10
    while len(screen.shown) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    player.close()
    assert screen.shown == [1, 2, 3, 4]
    assert screen.times_sec[-1] - screen.times_sec[0] >= 3 * 0.02 * 0.9


def test_play_when_newer_frames_come_leaves_waiting_ones_out():
    screen = Screen()
    player = FramePlayer(screen, fps=0.1)
    player.play(frames(1, 2, 3))
    assert screen.changed.wait(10)
    player.play(frames(7, 8, 9))
    started_sec = time.monotonic()
    player.close()
    assert screen.shown == [1, 9], "the newest frame is shown at the end, without waiting"
    assert time.monotonic() - started_sec < 5


def test_close_when_nothing_was_played_ends():
    screen = Screen()
    FramePlayer(screen).close()
    assert screen.shown == []


def test_show_runs_in_the_context_of_the_caller():
    variable = contextvars.ContextVar("variable", default="outside")
    variable.set("inside")
    seen: list[str] = []
    player = FramePlayer(lambda frame: seen.append(variable.get()))
    player.play(frames(1))
    player.close()
    assert seen == ["inside"]
