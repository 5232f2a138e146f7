# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How long the host waits for a group of processes, and whether the user wants it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lingbot_core.executor.failures import Timeouts


@dataclass
class Pace:
    """How fast a group has been at a frame size."""

    frame_size: Sequence[int] = ()
    """Shape of the photo."""

    num_chunks: int = 0
    """Chunks computed. In the first two, kernels are compiled and chosen for frames of 9 and of 12."""

    slowest_pass_sec: float = 0.0
    """Longest time between two passes of a request."""

    def limit_sec(self, timeouts: Timeouts) -> float:
        """How long to wait for the next pass."""
        return timeouts.first_pass_sec if self.num_chunks < 2 else self.at_least(timeouts.pass_sec, timeouts)

    def at_least(self, sec: float, timeouts: Timeouts) -> float:
        """A limit for work of the network: so long, or some times the slowest pass."""
        return max(sec, timeouts.num_slowest * self.slowest_pass_sec)


class Asked:
    """Asks whether the user wants to stop, and remembers it.

    Args:
        cancelled: Asked until it says True.
    """

    def __init__(self, cancelled: Callable[[], bool] | None) -> None:
        self._cancelled = cancelled
        self.had_pass = False
        """Whether a pass of the request is done, so that the next one's duration can be guessed."""

    def wants_to_stop(self) -> bool:
        """True once."""
        if self._cancelled is None or not self._cancelled():
            return False
        self._cancelled = None
        return True
