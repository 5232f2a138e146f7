# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Speed profiles: their shape, and that only an ease-out looks at the end."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lingbot_core.camera.easing import EASINGS, eased_time, ends_at_rest, starts_at_rest


def speed_at(time_sec: float, duration_sec: float, easing: str) -> float:
    step = 1e-6
    later = eased_time(time_sec + step, duration_sec, easing, 1.5)
    return (later - eased_time(time_sec, duration_sec, easing, 1.5)) / step


@pytest.mark.parametrize("easing", EASINGS)
def test_eased_time_starts_ends_and_runs_at_the_right_speeds(easing: str) -> None:
    assert eased_time(0.0, 10.0, easing, 1.5) == 0.0
    assert speed_at(0.0, 10.0, easing) == pytest.approx(0 if starts_at_rest(easing) else 1, abs=1e-5)
    assert speed_at(5.0, 10.0, easing) == pytest.approx(1)
    assert speed_at(10.0 - 1e-6, 10.0, easing) == pytest.approx(0 if ends_at_rest(easing) else 1, abs=1e-5)
    lost_sec = 0.75 * (starts_at_rest(easing) + ends_at_rest(easing))
    assert eased_time(10.0, 10.0, easing, 1.5) == pytest.approx(10.0 - lost_sec)


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("duration_sec", [0.5, 1.5, 2.0, 10.0])
def test_eased_time_never_runs_backwards_and_has_no_jumps(easing: str, duration_sec: float) -> None:
    times = [duration_sec * step / 1000 for step in range(1001)]
    ways = [eased_time(time, duration_sec, easing, 1.5) for time in times]
    steps = [b - a for a, b in pairwise(ways)]
    assert min(steps) >= 0
    assert max(steps) <= duration_sec / 1000 * 1.0001


def test_eased_time_before_the_end_eases_out_does_not_depend_on_the_duration() -> None:
    for easing in EASINGS:
        until = 8.5 if ends_at_rest(easing) else 10.0
        for time in (0.3, 1.5, 4.0, until):
            assert eased_time(time, 10.0, easing, 1.5) == eased_time(time, 99.0, easing, 1.5)
