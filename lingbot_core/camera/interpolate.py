# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Interpolation of rotations and positions, one moment at a time.

Plain scalars and not kornia's batched quaternions, for three reasons. A longer path must begin
with the shorter one bit for bit, and batched functions (atan2 was seen to) may round differently at another place in
the batch. Keys of rollouts are made from these numbers, so they may not depend on which kornia
the host brings: the slerp of 0.7.1 goes through ``acos`` and is off by 1e-8, that of 0.9.0 is not.
And its quaternions start with the scalar, while the camera-path files and three.js end with it.

Quaternions are unit tuples (x, y, z, w). A turn is a rotation vector: axis times radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Quaternion = tuple[float, float, float, float]
Vector = tuple[float, ...]
Turn = tuple[float, float, float]
Pair = tuple[Vector, Vector]

MAX_TANGENT_RATIO = 3.0
"""A keyframe's speed is at most this multiple of the slower neighbour's: keeps the curve from overshooting."""


def normalized(quaternion: Sequence[float]) -> Quaternion:
    """The unit quaternion of the same direction."""
    norm = math.hypot(*quaternion)
    x, y, z, w = (component / norm for component in quaternion)
    return x, y, z, w


def quaternion_from_rotation(rotation: Sequence[Sequence[float]]) -> Quaternion:
    """Unit quaternion of a rotation, which may be off by rounding.

    Args:
        rotation: Nested rows; only the upper left 3x3 is read.

    Divides by the largest of the four components, as Markley (2008), "Unit quaternion from
    rotation matrix", so that no precision is lost near half turns.
    """
    trace = rotation[0][0] + rotation[1][1] + rotation[2][2]
    i = max(range(3), key=lambda axis: rotation[axis][axis])
    if trace >= rotation[i][i]:
        return normalized(
            (
                rotation[2][1] - rotation[1][2],
                rotation[0][2] - rotation[2][0],
                rotation[1][0] - rotation[0][1],
                1.0 + trace,
            )
        )
    j, k = (i + 1) % 3, (i + 2) % 3
    components = [0.0, 0.0, 0.0, rotation[k][j] - rotation[j][k]]
    components[i] = 1.0 - trace + 2.0 * rotation[i][i]
    components[j] = rotation[j][i] + rotation[i][j]
    components[k] = rotation[k][i] + rotation[i][k]
    return normalized(components)


def rotation_from_quaternion(quaternion: Quaternion) -> list[list[float]]:
    """Rows of the 3x3 rotation of a unit quaternion."""
    x, y, z, w = quaternion
    return [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
    ]


def multiply(first: Quaternion, second: Quaternion) -> Quaternion:
    """The rotation that turns by ``second``, then by ``first``."""
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def inverse(quaternion: Quaternion) -> Quaternion:
    """The opposite rotation."""
    x, y, z, w = quaternion
    return -x, -y, -z, w


def quaternion_from_turn(turn: Turn) -> Quaternion:
    """The rotation by a rotation vector."""
    half = math.hypot(*turn) / 2.0
    factor = math.sin(half) / (2.0 * half) if half else 0.5
    return turn[0] * factor, turn[1] * factor, turn[2] * factor, math.cos(half)


def turn_between(start: Quaternion, end: Quaternion) -> Turn:
    """The shortest turn from one rotation to another, in the axes of ``start``, at most pi radians."""
    x, y, z, w = multiply(inverse(start), end)
    if w < 0.0:  # the same rotation, the long way round
        x, y, z, w = -x, -y, -z, -w
    norm = math.hypot(x, y, z)
    factor = 2.0 * math.atan2(norm, w) / norm if norm else 2.0
    return x * factor, y * factor, z * factor


def slerp(start: Quaternion, end: Quaternion, weight: float) -> Quaternion:
    """The rotation a fraction of the shortest way from ``start`` to ``end``."""
    x, y, z = turn_between(start, end)
    return normalized(multiply(start, quaternion_from_turn((x * weight, y * weight, z * weight))))


def tangents(
    times_sec: Sequence[float], deltas: Sequence[Vector], rest_at_start: bool, rest_at_end: bool
) -> list[Vector]:
    """Speeds at the keyframes of a smooth path.

    Inside, the slope of the parabola through a keyframe and its neighbours, limited so that a camera
    that pauses between two equal keyframes does pause. At the ends the speed at which the curve does not
    accelerate, or rest.

    Args:
        times_sec: Times of the keyframes, strictly increasing, at least two.
        deltas: Way from every keyframe to the next, one fewer than times.
        rest_at_start: The camera starts from rest.
        rest_at_end: The camera ends at rest.

    Returns:
        One speed per keyframe, per second.
    """
    gaps = [after - before for before, after in pairwise(times_sec)]
    slopes = [_scaled(delta, 1.0 / gap) for delta, gap in zip(deltas, gaps, strict=True)]
    inner = [
        _limited(
            _sum(_scaled(before, gap_after / (gap + gap_after)), _scaled(after, gap / (gap + gap_after))), before, after
        )
        for (before, after), (gap, gap_after) in zip(pairwise(slopes), pairwise(gaps), strict=True)
    ]

    def end_speed(slope: Vector, neighbour: Vector, rest: bool) -> Vector:
        if rest:
            return _scaled(slope, 0.0)
        return _limited(_sum(_scaled(slope, 1.5), _scaled(neighbour, -0.5)), slope, slope)

    start = end_speed(slopes[0], inner[0] if inner else slopes[0], rest_at_start)
    end = end_speed(slopes[-1], inner[-1] if inner else slopes[-1], rest_at_end)
    return [start, *inner, end]


def hermite(ends: Pair, speeds: Pair, gap_sec: float, weight: float) -> Vector:
    """Cubic with given ends and speeds.

    Args:
        ends: Values at the start and at the end.
        speeds: Speeds there, per second.
        gap_sec: Time from start to end.
        weight: Fraction of it that has passed.
    """
    rest = 1.0 - weight
    toward_end = weight * weight * (3.0 - 2.0 * weight)
    out, into = gap_sec * weight * rest * rest, -gap_sec * weight * weight * rest
    return tuple(
        start + toward_end * (end - start) + out * start_speed + into * end_speed
        for start, end, start_speed, end_speed in zip(*ends, *speeds, strict=True)
    )


def hermite_rotation(ends: tuple[Quaternion, Quaternion], speeds: Pair, gap_sec: float, weight: float) -> Quaternion:
    """Rotation curve with given ends and angular speeds.

    The cumulative cubic Bezier curve of Kim, Kim and Shin (1995), "A general construction scheme for
    unit quaternion curves".

    Args:
        ends: Rotations at the start and at the end.
        speeds: Angular speeds there, in the camera's own axes, radians per second.
        gap_sec: Time from start to end.
        weight: Fraction of it that has passed.
    """
    start, end = ends
    first, last = (_turn(_scaled(speed, gap_sec / 3.0)) for speed in speeds)
    inner_start = multiply(start, quaternion_from_turn(first))
    inner_end = multiply(end, inverse(quaternion_from_turn(last)))
    middle = turn_between(inner_start, inner_end)
    rest = 1.0 - weight
    shares = (1.0 - rest**3, weight * weight * (3.0 - 2.0 * weight), weight**3)
    curve = start
    for turn, share in zip((first, middle, last), shares, strict=True):
        curve = multiply(curve, quaternion_from_turn(_turn(_scaled(turn, share))))
    return normalized(curve)


def _limited(speed: Vector, before: Vector, after: Vector) -> Vector:
    """The speed, shortened to at most MAX_TANGENT_RATIO times the slower of its neighbours."""
    limit = MAX_TANGENT_RATIO * min(math.hypot(*before), math.hypot(*after))
    length = math.hypot(*speed)
    return _scaled(speed, limit / length) if length > limit else speed


def _turn(vector: Vector) -> Turn:
    x, y, z = vector
    return x, y, z


def _scaled(vector: Vector, factor: float) -> Vector:
    return tuple(component * factor for component in vector)


def _sum(first: Vector, second: Vector) -> Vector:
    return tuple(a + b for a, b in zip(first, second, strict=True))
