# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Shows frames of a chunk at their pace while the next one is being made."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable

import numpy as np


class FramePlayer:
    """Plays the newest frames at most at display rate, in a thread of its own.

    Phases: construct (the thread starts), :meth:`play` any number of times, :meth:`close` once.

    Args:
        show: Shows one frame, uint8 ``[H, W, 3]``. Called from the thread, in the caller's context.
        fps: Display rate.
    """

    def __init__(self, show: Callable[[np.ndarray], None], fps: float = 16) -> None:
        self._show, self._interval_sec = show, 1 / fps
        self._frames: deque[np.ndarray] = deque()
        self._changed = threading.Condition()
        self._closing = False
        run = contextvars.copy_context().run  # the host finds out in which node it is from the context
        self._thread = threading.Thread(target=run, args=(self._play_all,), name="lingbot preview", daemon=True)
        self._thread.start()

    def play(self, frames: np.ndarray) -> None:
        """Play frames ``[F, H, W, 3]`` from now on; older ones that are still waiting are left out."""
        with self._changed:
            self._frames = deque(frames)
            self._changed.notify()

    def close(self) -> None:
        """Show the newest frame, if it is still waiting, and end."""
        with self._changed:
            self._closing = True
            self._frames = deque(list(self._frames)[-1:])
            self._changed.notify()
        self._thread.join()

    def _play_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._closing)
                if not self._frames:
                    return
                frame = self._frames.popleft()
            self._show(frame)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._interval_sec)
