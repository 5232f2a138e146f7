# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast a path is: against the examples, hand-made paths, and in words."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_core.camera.files import load_pose_files
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory
from lingbot_core.camera.presets import PRESETS, make_preset
from lingbot_core.camera.speed import (
    LEVELS,
    SEEN_ROTATION_DEG,
    SEEN_STEP,
    ChunkSpeed,
    chunk_speeds,
    speed_warnings,
)

DATA = Path(__file__).parents[1] / "data"


def test_what_the_model_has_seen_is_what_the_examples_hold() -> None:
    speeds = []
    for index in range(3):
        speeds += chunk_speeds(load_pose_files(DATA / f"example_0{index}" / "poses.npy"))
    steps, turns = [speed.step for speed in speeds], [speed.rotation_deg for speed in speeds]
    assert statistics.median(steps) == pytest.approx(SEEN_STEP.median, abs=1e-3)
    assert max(steps) == pytest.approx(SEEN_STEP.maximum, abs=1e-9)
    assert statistics.median(turns) == pytest.approx(SEEN_ROTATION_DEG.median, abs=0.01)
    assert max(turns) == pytest.approx(SEEN_ROTATION_DEG.maximum, abs=0.01)
    assert "red" not in {speed.level for speed in speeds}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_at_their_own_speed_are_green(name: str) -> None:
    speeds = chunk_speeds(make_preset(name, 6))
    assert [speed.index for speed in speeds] == list(range(6))
    assert {speed.level for speed in speeds} == {"green"}
    assert speed_warnings(speeds) == []


def test_straight_path_has_its_speed_in_every_chunk() -> None:
    camera = keyframe_trajectory([Keyframe(0, (0, 0, 0)), Keyframe(2, (0, 0, 8))], 3, world_scale=2)
    assert [speed.step for speed in chunk_speeds(camera)] == pytest.approx([0.5, 0.5, 0.5])


def test_turn_is_measured_in_degrees_per_latent_frame() -> None:
    camera = make_preset("pan-left", 3, speed=40)
    assert [speed.rotation_deg for speed in chunk_speeds(camera)] == pytest.approx([10, 10, 10])


def test_half_turn_between_latent_frames_is_180_degrees() -> None:
    camera = make_preset("static", 1)
    c2w = camera.c2w.clone()
    c2w[4:] = torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64))
    turned = type(camera)(c2w, camera.intrinsics, 1.0)
    assert chunk_speeds(turned)[0].rotation_deg == pytest.approx(180)


def test_jump_is_red_and_said_with_its_chunks() -> None:
    jumps = [Keyframe(0, (0, 0, 0)), Keyframe(2, (0, 0, 0)), Keyframe(2.1, (0, 0, 10)), Keyframe(6, (0, 0, 10))]
    speeds = chunk_speeds(keyframe_trajectory(jumps, 5, world_scale=1))
    assert [speed.level for speed in speeds] == ["green", "green", "green", "red", "green"]
    (warning,) = speed_warnings(speeds)
    assert "chunk 3:" in warning and "10.0 times" in warning


def test_warning_groups_chunks() -> None:
    fast = [ChunkSpeed(index, 2.0, 90.0) for index in (1, 2, 3, 7, 9, 11, 13)]
    way, turn = speed_warnings(fast)
    assert "chunks 1 to 3, 7, 9, 11, others:" in way and "2.0 times" in way
    assert "90 degrees" in turn


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_any_world_scale_gives_finite_numbers_and_words(scale: float) -> None:
    camera = keyframe_trajectory([Keyframe(0, (0, 0, 0)), Keyframe(2, (1e9, 0, 0))], world_scale=scale)
    speeds = chunk_speeds(camera)
    assert all(speed.step > 1 for speed in speeds[:3])
    (warning,) = speed_warnings(speeds)
    assert len(warning) < 300


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1e12), st.floats(0, 180))
def test_level_never_falls_with_speed(step: float, turn: float) -> None:
    level = LEVELS.index(ChunkSpeed(0, step, turn).level)
    assert level <= LEVELS.index(ChunkSpeed(0, step * 1.5, turn).level)
    assert level <= LEVELS.index(ChunkSpeed(0, step, min(turn * 1.5, 180)).level)
