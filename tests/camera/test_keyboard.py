# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The keyboard against upstream's recorded traces, and its rules one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lingbot_core.camera.keyboard import (
    MOVE_SPEED,
    CameraIntegrator,
    HeldKeys,
    KeyEdge,
    KeySegment,
    KeyTimeline,
    keyboard_trajectory,
    read_key,
    sample_chunk,
)
from lingbot_core.camera.poses import compose, pitch_rotation, pose_matrix, yaw_rotation
from lingbot_core.timeline import chunk_pixel_frames

GOLDEN = Path(__file__).parent.parent / "golden"
TRACES: dict[str, Any] = json.loads((GOLDEN / "keyboard_traces.json").read_text("utf-8"))["traces"]


@pytest.mark.parametrize("name", TRACES)
def test_trace_gives_the_recorded_segments_times_and_poses(name: str) -> None:
    trace, golden = TRACES[name], load_file(GOLDEN / "keyboard_poses.safetensors")
    timeline, integrator = KeyTimeline(trace["start_s"]), CameraIntegrator()
    for time_sec, kind, key in trace["edges"]:
        timeline.add(KeyEdge(time_sec, key, kind == "keydown"))
    all_times_sec, all_poses = [], []
    for chunk_index in range(trace["chunks"]):
        if (jump_sec := trace["window_jump_before_chunk"].get(str(chunk_index))) is not None:
            timeline.jump_to(jump_sec)
        segments, times_sec, poses = sample_chunk(timeline, integrator, chunk_pixel_frames(chunk_index))
        found = [[segment.start_sec, segment.end_sec, sorted(segment.keys)] for segment in segments]
        assert found == trace["segments"][chunk_index]
        all_times_sec += times_sec
        all_poses.append(poses)
    assert all_times_sec == pytest.approx(golden[f"{name}.frame_times"].tolist(), abs=1e-12)
    torch.testing.assert_close(torch.cat(all_poses), golden[f"{name}.poses"].double(), atol=5e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "key"), [("W", "w"), (" ArrowRight ", "d"), ("x", ""), ("Shift", ""), ("", ""), ("ws", "")]
)
def test_read_key_knows_aliases_case_and_blanks(name: str, key: str) -> None:
    assert read_key(name) == key


def test_held_keys_when_the_latest_is_released_returns_to_the_one_before() -> None:
    held = HeldKeys()
    for key, is_down, active in [("a", True, "a"), ("l", True, "l"), ("a", True, "a"), ("a", False, "l")]:
        held.apply(KeyEdge(0.0, key, is_down))
        assert held.active() == frozenset(active)
    held.apply(KeyEdge(0.0, "w", True))
    held.apply(KeyEdge(0.0, "e", True))
    held.apply(KeyEdge(0.0, "i", True))
    assert held.active() == frozenset("lwei")


def test_catch_up_when_far_behind_skips_time_without_motion() -> None:
    timeline, integrator = KeyTimeline(), CameraIntegrator()
    timeline.add(KeyEdge(0.0, "w", True))
    sample_chunk(timeline, integrator, 9)
    timeline.catch_up(2.0, 12)  # the next window ends at 1.3125: less than a window ago
    assert timeline.position_sec == 0.5625
    timeline.add(KeyEdge(4.0, "w", False))
    timeline.add(KeyEdge(4.1, "d", True))
    timeline.catch_up(5.0, 12)
    assert timeline.position_sec == 4.25
    segments, _, poses = sample_chunk(timeline, integrator, 12)
    assert [segment.keys for segment in segments] == [frozenset("d")]
    assert poses[-1, 2, 3].item() == pytest.approx(9 / 16 * MOVE_SPEED)


def test_integrator_when_a_turn_would_pass_the_pitch_limit_drops_it_whole() -> None:
    integrator = CameraIntegrator()
    integrator.advance("i", 80 / 32)
    level = integrator.pose()
    integrator.advance("i", 6 / 32)
    assert integrator.pose() == level
    integrator.advance("i", 4 / 32)
    assert math.degrees(math.asin(-integrator.pose()[1][2])) == pytest.approx(84)


def test_integrator_from_a_turned_pose_knows_its_pitch() -> None:
    """Upstream's reset mistakes the pitch of a camera that is also turned sideways."""
    start = pose_matrix(compose(yaw_rotation(1.0), pitch_rotation(math.radians(80))), (1, 2, 3))
    integrator = CameraIntegrator(torch.tensor(start, dtype=torch.float64))
    integrator.advance("i", 6 / 32)
    torch.testing.assert_close(torch.tensor(integrator.pose()), torch.tensor(start))
    integrator.advance("i", 4 / 32)
    assert math.degrees(math.asin(-integrator.pose()[1][2])) == pytest.approx(84)


def test_integrator_moves_level_wherever_it_looks_and_turns_first() -> None:
    integrator = CameraIntegrator()
    integrator.advance("i", 1.0)
    integrator.advance("dw", 1.0)
    pose = integrator.pose()
    assert pose[1][3] == 0
    heading_rad = math.radians(32)
    assert (pose[0][3], pose[2][3]) == pytest.approx((0.8 * math.sin(heading_rad), 0.8 * math.cos(heading_rad)))


def test_integrator_when_looking_straight_up_stays_finite() -> None:
    integrator = CameraIntegrator(torch.tensor(pose_matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]], (0, 0, 0))))
    integrator.advance("wk", 0.1)
    assert all(math.isfinite(value) for row in integrator.pose() for value in row)


def test_integrator_over_ten_minutes_stays_orthonormal() -> None:
    integrator = CameraIntegrator()
    for index in range(9600):
        integrator.advance("dwi" if index % 2 else "ak", 1 / 16)
    rotation = torch.tensor(integrator.pose(), dtype=torch.float64)[:3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64), atol=1e-14, rtol=0)


def test_follow_when_a_frame_is_outside_the_segments_asserts() -> None:
    segment = KeySegment(0.0, 1.0, frozenset())
    for times_sec in ([0.5, 1.1], [0.5, 0.5], []):
        with pytest.raises(AssertionError):
            CameraIntegrator().follow([segment], times_sec)
    with pytest.raises(AssertionError):
        CameraIntegrator().follow([], [0.5])


def test_keyboard_trajectory_extends_bit_for_bit() -> None:
    edges = [KeyEdge(0.3, "w", True), KeyEdge(1.0, "d", True), KeyEdge(2.7, "d", False)]
    short, long = keyboard_trajectory(edges, 3), keyboard_trajectory(reversed(edges), 9)
    assert (short.num_chunks, long.num_chunks) == (3, 9)
    assert torch.equal(short.c2w, long.c2w[: short.num_frames])
