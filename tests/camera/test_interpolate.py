# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Interpolation of rotations and positions against closed forms and torch's matrix exponential."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
import torch

from lingbot_core.camera.interpolate import (
    Quaternion,
    hermite,
    hermite_rotation,
    normalized,
    quaternion_from_rotation,
    quaternion_from_turn,
    rotation_from_quaternion,
    slerp,
    tangents,
    turn_between,
)


def random_quaternions(count: int) -> list[Quaternion]:
    """Unit quaternions in all directions, the same at every call."""
    source = random.Random(3)
    return [normalized([source.gauss(0, 1) for _ in range(4)]) for _ in range(count)]


def rotation(quaternion: Quaternion) -> torch.Tensor:
    return torch.tensor(rotation_from_quaternion(quaternion), dtype=torch.float64)


def test_rotation_from_turn_equals_the_matrix_exponential() -> None:
    for turn in [(0.3, -0.2, 0.5), (math.pi, 0.0, 0.0), (0.0, 0.0, 0.0), (1e-9, 2e-9, 0.0)]:
        x, y, z = turn
        generator = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        expected = torch.linalg.matrix_exp(generator)
        torch.testing.assert_close(rotation(quaternion_from_turn(turn)), expected, atol=4e-15, rtol=0)


def test_quaternion_from_rotation_when_near_half_turns_keeps_all_digits() -> None:
    for turn in [(math.pi - 1e-9, 0, 0), (0, math.pi, 0), (0, 1e-8, math.pi), (2.1, 2.1, 0.5), (0, 0, 0)]:
        expected = rotation(quaternion_from_turn(turn))
        torch.testing.assert_close(rotation(quaternion_from_rotation(expected.tolist())), expected, atol=1e-15, rtol=0)


def test_quaternion_from_rotation_inverts_rotation_from_quaternion() -> None:
    for quaternion in random_quaternions(200):
        again = quaternion_from_rotation(rotation_from_quaternion(quaternion))
        assert abs(sum(a * b for a, b in zip(quaternion, again, strict=True))) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("angle_rad", [1e-9, 1e-6, 1e-3, 1.0, 3.0])
def test_slerp_turns_by_the_weight(angle_rad: float) -> None:
    start = random_quaternions(1)[0]
    axis = (0.6, 0.0, 0.8)
    x, y, z, w = quaternion_from_turn((axis[0] * angle_rad, 0.0, axis[2] * angle_rad))
    end = quaternion_from_rotation((rotation(start) @ rotation((x, y, z, w))).tolist())
    turned = turn_between(start, slerp(start, end, 0.25))
    assert math.hypot(*turned) == pytest.approx(angle_rad / 4, abs=1e-15, rel=1e-9)
    opposite_end = tuple(-component for component in end)
    other_way = slerp(start, opposite_end, 0.25)  # type: ignore[arg-type]
    torch.testing.assert_close(rotation(other_way), rotation(slerp(start, end, 0.25)), atol=1e-15, rtol=0)


def test_slerp_of_equal_rotations_stays() -> None:
    for quaternion in random_quaternions(20):
        torch.testing.assert_close(
            rotation(slerp(quaternion, quaternion, 0.3)), rotation(quaternion), atol=1e-15, rtol=0
        )


def test_hermite_has_the_given_ends_and_speeds() -> None:
    ends, speeds, gap_sec, tiny = ((1.0, 2.0), (4.0, -1.0)), ((0.5, 3.0), (-2.0, 1.0)), 0.7, 1e-6
    assert hermite(ends, speeds, gap_sec, 0.0) == ends[0]
    assert hermite(ends, speeds, gap_sec, 1.0) == ends[1]
    for weight, anchor, speed in ((tiny, ends[0], speeds[0]), (1 - tiny, ends[1], speeds[1])):
        value = hermite(ends, speeds, gap_sec, weight)
        elapsed = gap_sec * tiny * (1 if weight == tiny else -1)
        assert [(v - a) / elapsed for v, a in zip(value, anchor, strict=True)] == pytest.approx(speed, abs=1e-4)


def test_hermite_rotation_has_the_given_ends_and_speeds() -> None:
    start, end = random_quaternions(2)
    speeds, gap_sec, tiny = ((0.4, -0.3, 0.9), (-0.5, 0.1, 0.2)), 0.8, 1e-6
    for weight, expected in ((0.0, start), (1.0, end)):
        curve = hermite_rotation((start, end), speeds, gap_sec, weight)
        torch.testing.assert_close(rotation(curve), rotation(expected), atol=1e-14, rtol=0)
    begun = turn_between(start, hermite_rotation((start, end), speeds, gap_sec, tiny))
    assert [angle / (gap_sec * tiny) for angle in begun] == pytest.approx(speeds[0], abs=1e-4)
    left = turn_between(hermite_rotation((start, end), speeds, gap_sec, 1 - tiny), end)
    assert [angle / (gap_sec * tiny) for angle in left] == pytest.approx(speeds[1], abs=1e-4)


def test_tangents_of_a_parabola_are_its_slopes_inside() -> None:
    times = [0.0, 1.0, 1.5, 3.0, 5.0]
    values = [t * t + 8 * t for t in times]  # slopes 2 t + 8, nowhere near the limiter
    deltas = [(b - a,) for a, b in pairwise(values)]
    found = [speed for (speed,) in tangents(times, deltas, False, False)]
    assert found[1:-1] == pytest.approx([2 * t + 8 for t in times[1:-1]])


def test_tangents_at_the_ends_leave_no_acceleration() -> None:
    speeds = tangents([0.0, 1.0, 3.0], [(2.0,), (1.0,)], False, False)
    step = 1e-3
    for ends, pair, gap_sec, weights in (
        (((0.0,), (2.0,)), (speeds[0], speeds[1]), 1.0, (0, step, 2 * step)),
        (((2.0,), (3.0,)), (speeds[1], speeds[2]), 2.0, (1 - 2 * step, 1 - step, 1)),
    ):
        before, middle, after = (hermite(ends, pair, gap_sec, weight)[0] for weight in weights)
        assert (before - 2 * middle + after) / step**2 == pytest.approx(0, abs=0.02)


def test_tangents_when_two_values_are_equal_pause() -> None:
    speeds = tangents([0, 1, 2, 3], [(5.0,), (0.0,), (5.0,)], False, False)
    assert speeds[1:3] == [(0.0,), (0.0,)]


def test_tangents_when_at_rest_start_and_end_with_zero() -> None:
    assert tangents([0, 2], [(5.0, 1.0)], True, True) == [(0.0, 0.0), (0.0, 0.0)]
    assert tangents([0, 2], [(5.0, 1.0)], False, False) == [(2.5, 0.5), (2.5, 0.5)]
