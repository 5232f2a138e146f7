# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Keyframe paths: through every keyframe, smooth, causal, and sensible in degenerate cases."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_core.camera.interpolate import normalized, rotation_from_quaternion, turn_between
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory, sample_keyframes
from lingbot_core.camera.poses import check_poses
from lingbot_core.errors import InputError

FRAME_SEC = 1 / 16
COORDINATES = st.floats(-100, 100)


@st.composite
def keyframe_lists(draw: st.DrawFn) -> list[Keyframe]:
    """Keyframes at pixel-frame times, sometimes equal to the one before."""
    frames = sorted(draw(st.sets(st.integers(0, 160), min_size=1, max_size=6)))
    keyframes: list[Keyframe] = []
    for frame in frames:
        if keyframes and draw(st.booleans()) and draw(st.booleans()):
            same = keyframes[-1]
            keyframes.append(Keyframe(frame * FRAME_SEC, same.position, same.rotation, same.zoom))
            continue
        position = draw(st.tuples(COORDINATES, COORDINATES, COORDINATES))
        quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1))
        zoom = draw(st.floats(0.5, 2))
        keyframes.append(Keyframe(frame * FRAME_SEC, position, normalized(quaternion), zoom))
    return keyframes


@settings(max_examples=60, deadline=None)
@given(keyframe_lists(), st.sampled_from(["linear", "ease-in-out"]))
def test_path_passes_through_every_keyframe(keyframes: list[Keyframe], easing: str) -> None:
    camera = keyframe_trajectory(keyframes, easing=easing, intrinsics=(500.0, 510.0, 416.0, 240.0))
    check_poses(camera.c2w)
    for keyframe in keyframes:
        frame = round(keyframe.time_sec / FRAME_SEC)
        pose = camera.c2w[frame]
        expected = torch.tensor(rotation_from_quaternion(keyframe.rotation), dtype=torch.float64)
        torch.testing.assert_close(pose[:3, 3], torch.tensor(keyframe.position, dtype=torch.float64))
        torch.testing.assert_close(pose[:3, :3], expected, atol=1e-12, rtol=0)
        assert camera.intrinsics[frame].tolist() == pytest.approx(
            [500 * keyframe.zoom, 510 * keyframe.zoom, 416, 240], rel=1e-12
        )


@settings(max_examples=30, deadline=None)
@given(keyframe_lists())
def test_path_has_exactly_orthonormal_rotations(keyframes: list[Keyframe]) -> None:
    rotations = keyframe_trajectory(keyframes).c2w[:, :3, :3]
    identity = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, identity, atol=1e-14, rtol=0)


def wavy(num_keyframes: int, gap_sec: float) -> list[Keyframe]:
    """Keyframes on a smooth curve."""
    return [
        Keyframe(
            index * gap_sec,
            (math.sin(1.3 * index), 0.3 * index, 2.0 * index + math.cos(2.1 * index)),
            normalized((0.2 * math.sin(index), 0.3 * math.sin(0.7 * index), 0.1, 1.0)),
        )
        for index in range(num_keyframes)
    ]


def test_path_has_continuous_velocity_and_angular_velocity_at_keyframes() -> None:
    """A kink would leave a jump that does not shrink with the distance from the keyframe."""
    for index in (1, 2, 3):
        jumps = []
        for stretch in (1, 4, 16):  # the same path slower, so that a frame is a smaller part of it
            camera = keyframe_trajectory(wavy(5, 1.0 * stretch))
            key_frame = 16 * stretch * index
            around = camera.c2w[key_frame - 1 : key_frame + 2, :3] * stretch
            jumps.append((around[2] - 2 * around[1] + around[0]).abs().max().item())
        assert jumps[1] < jumps[0] / 3 and jumps[2] < jumps[1] / 3, jumps


def test_path_between_two_keyframes_is_straight_and_even() -> None:
    camera = keyframe_trajectory([Keyframe(0.0, (0, 0, 0)), Keyframe(2.0, (2, -4, 6), normalized((0, 0.6, 0, 0.8)))])
    weights = torch.arange(33, dtype=torch.float64)[:, None] / 32
    expected = weights * torch.tensor([2.0, -4.0, 6.0], dtype=torch.float64)
    torch.testing.assert_close(camera.c2w[:33, :3, 3], expected, atol=1e-12, rtol=0)
    yaw_rad = torch.atan2(camera.c2w[:33, 0, 2], camera.c2w[:33, 2, 2])
    torch.testing.assert_close(yaw_rad, weights[:, 0] * 2 * math.atan2(0.6, 0.8), atol=1e-12, rtol=0)


def test_path_when_eased_starts_and_ends_at_rest() -> None:
    ends = [Keyframe(0.0, (0, 0, 0)), Keyframe(2.0, (0, 0, 8))]
    steps = keyframe_trajectory(ends, easing="ease-in-out").c2w[:33, 2, 3].diff()
    assert steps[0] < 0.1 * steps[16] and steps[-1] < 0.1 * steps[16]


def test_path_that_pauses_at_equal_keyframes_stands_still() -> None:
    place, turn = (1.0, 2.0, 3.0), normalized((0.1, 0.2, 0.3, 0.9))
    keyframes = [Keyframe(0, (0, 0, 0)), Keyframe(1, place, turn), Keyframe(2, place, turn), Keyframe(3, (9, 9, 9))]
    pause = keyframe_trajectory(keyframes).c2w[16:33]
    torch.testing.assert_close(pause, pause[:1].expand_as(pause), atol=1e-12, rtol=0)


def test_path_rests_before_the_first_and_after_the_last_keyframe() -> None:
    camera = keyframe_trajectory([Keyframe(1.0, (1, 0, 0)), Keyframe(2.0, (2, 0, 0))], 6)
    assert (camera.c2w[:17, 0, 3] == 1).all()
    assert (camera.c2w[32:, 0, 3] == 2).all()


def test_path_of_one_keyframe_stands_still() -> None:
    camera = keyframe_trajectory([Keyframe(0.0, (1, 2, 3))], 3)
    assert camera.num_chunks == 3
    assert (camera.c2w == camera.c2w[0]).all()


def test_quaternions_of_either_sign_are_the_same_path() -> None:
    keyframes = wavy(4, 0.5)
    flipped = [
        Keyframe(k.time_sec, k.position, normalized([-c for c in k.rotation]) if index % 2 else k.rotation)
        for index, k in enumerate(keyframes)
    ]
    torch.testing.assert_close(keyframe_trajectory(flipped).c2w, keyframe_trajectory(keyframes).c2w, atol=1e-13, rtol=0)


def test_longer_path_begins_with_the_shorter_one_bit_for_bit() -> None:
    keyframes = wavy(6, 1.1)
    short, long = keyframe_trajectory(keyframes, 3), keyframe_trajectory(keyframes, 11)
    for index in range(3):
        a, b = short.chunk(index, 464, 832), long.chunk(index, 464, 832)
        assert torch.equal(a.relative_poses.view(torch.int32), b.relative_poses.view(torch.int32))


def test_moved_keyframe_leaves_all_but_two_gaps_before_it_bit_for_bit() -> None:
    keyframes = wavy(8, 1.0)
    moved = [*keyframes[:6], Keyframe(6.0, (50, 50, 50)), keyframes[7]]
    before, after = keyframe_trajectory(keyframes).c2w, keyframe_trajectory(moved).c2w
    changed = (before != after).any(2).any(1).nonzero()
    assert int(changed[0]) == 4 * 16 + 1


@pytest.mark.parametrize(("last_sec", "num_chunks"), [(0.0, 1), (0.5, 1), (0.51, 2), (1.25, 2), (1.2501, 3)])
def test_path_without_a_length_reaches_its_last_keyframe(last_sec: float, num_chunks: int) -> None:
    start = [Keyframe(0.0, (0, 0, 0))] if last_sec else []
    assert keyframe_trajectory([*start, Keyframe(last_sec, (1, 1, 1))]).num_chunks == num_chunks


@pytest.mark.parametrize(
    ("keyframes", "words"),
    [
        ([], "^keyframes: .*at least one"),
        ([Keyframe(0, (0, 0, 0)), Keyframe(0, (1, 1, 1))], r"^keyframes\[1\].time_sec.*keyframes\[0\]"),
        ([Keyframe(0, (0, 0, 0)), Keyframe(5e-324, (1, 1, 1))], r"^keyframes\[1\].time_sec"),
        ([Keyframe(0, (0, 0, 0)), Keyframe(2, (1, 1, 1)), Keyframe(1, (1, 1, 1))], r"^keyframes\[2\].time_sec"),
        ([Keyframe(-1, (0, 0, 0))], r"^keyframes\[0\].time_sec.*0 or more"),
        ([Keyframe(math.nan, (0, 0, 0))], r"^keyframes\[0\].time_sec"),
        ([Keyframe(0, (0, math.inf, 0))], r"^keyframes\[0\]: .*finite"),
        ([Keyframe(0, (0, 0, 0), (0, 0, 0, 0))], r"^keyframes\[0\]: .*rotation that is not zero"),
        ([Keyframe(0, (0, 0, 0), zoom=0)], r"^keyframes\[0\]: .*positive zoom"),
    ],
)
def test_path_when_a_keyframe_is_wrong_names_it(keyframes: list[Keyframe], words: str) -> None:
    with pytest.raises(InputError, match=words):
        keyframe_trajectory(keyframes)


@settings(max_examples=60, deadline=None)
@given(keyframe_lists(), st.sampled_from(["linear", "ease-in", "ease-out", "ease-in-out"]))
def test_any_path_has_continuous_speed_at_every_keyframe(keyframes: list[Keyframe], easing: str) -> None:
    tiny_sec = 1e-6
    for keyframe in keyframes[1:-1]:
        times_sec = [keyframe.time_sec + k * tiny_sec for k in (-1, 0, 1)]
        before, there, after = sample_keyframes(keyframes, times_sec, easing)
        into, out = (
            [(b - a) / tiny_sec for a, b in zip(first.position, second.position, strict=True)]
            for first, second in ((before, there), (there, after))
        )
        # the curve's acceleration is at most about 6 * 200 * sqrt(3) * 16^2 units per square second
        assert math.dist(into, out) < 3e6 * tiny_sec
        turns = turn_between(before.rotation, there.rotation), turn_between(there.rotation, after.rotation)
        assert math.dist(*turns) / tiny_sec < 3e5 * tiny_sec + 1e-3


@settings(max_examples=60, deadline=None)
@given(keyframe_lists(), st.lists(st.floats(0, 20), min_size=1, max_size=8))
def test_any_path_has_unit_quaternions_at_any_moment(keyframes: list[Keyframe], times_sec: list[float]) -> None:
    for time_sec, sample in zip(times_sec, sample_keyframes(keyframes, times_sec), strict=True):
        assert math.hypot(*sample.rotation) == pytest.approx(1, abs=1e-12)
        assert all(map(math.isfinite, sample.position)), time_sec
