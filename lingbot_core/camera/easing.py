# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How a camera path starts and stops: the profiles of its speed."""

from __future__ import annotations

EASINGS = ("linear", "ease-in", "ease-out", "ease-in-out")
"""Full speed throughout, starting from rest, ending at rest, or both."""


def starts_at_rest(easing: str) -> bool:
    """Whether the speed begins at zero."""
    return easing in ("ease-in", "ease-in-out")


def ends_at_rest(easing: str) -> bool:
    """Whether the speed ends at zero."""
    return easing in ("ease-out", "ease-in-out")


def eased_time(time_sec: float, duration_sec: float, easing: str, ease_sec: float) -> float:
    """Seconds at full speed that lead as far as the eased path has come.

    The speed grows from zero over the first ``ease_sec`` and falls to zero over the last, evenly; where
    both overlap, the lower one holds. Only ``ease-out`` and ``ease-in-out`` depend on the duration, and
    only in the last ``ease_sec`` (or the second half, if that is shorter).

    Args:
        time_sec: Time since the start, at most ``duration_sec``.
        duration_sec: When the path ends.
        easing: One of ``EASINGS``.
        ease_sec: How long starting and stopping take, positive.
    """

    def since_start(seconds: float) -> float:
        if not starts_at_rest(easing):
            return seconds
        return seconds * seconds / (2.0 * ease_sec) if seconds < ease_sec else seconds - ease_sec / 2.0

    if not ends_at_rest(easing):
        return since_start(time_sec)
    brake_sec = max(duration_sec - ease_sec, duration_sec / 2.0 if starts_at_rest(easing) else 0.0)
    if time_sec <= brake_sec:
        return since_start(time_sec)
    left, left_at_brake = duration_sec - time_sec, duration_sec - brake_sec
    return since_start(brake_sec) + (left_at_brake * left_at_brake - left * left) / (2.0 * ease_sec)
