# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checking, relating and resampling poses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lingbot_core.camera.poses import (
    check_poses,
    compose,
    measure_world_scale,
    pitch_rotation,
    pose_matrix,
    relative_poses,
    resample_poses,
    yaw_rotation,
)
from lingbot_core.errors import InputError


def curved_path(num_poses: int, offset: float = 0.0) -> Tensor:
    """A path that moves and turns, ``[N, 4, 4]``."""
    poses = []
    for index in range(num_poses):
        turn = compose(yaw_rotation(0.03 * index), pitch_rotation(0.02 * index))
        poses.append(pose_matrix(turn, (offset + math.sin(0.1 * index), offset, 0.2 * index)))
    return torch.tensor(poses, dtype=torch.float64)


def spoiled(index: int, row: int, column: int, value: float) -> Tensor:
    poses = curved_path(9)
    poses[index, row, column] = value
    return poses


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        (torch.zeros(9, 3, 4), r"wrong shape.*\[9, 3, 4\].*\[N, 4, 4\]"),
        (torch.eye(4), "wrong shape"),
        (spoiled(4, 0, 3, math.nan), "pose 4 .*not finite"),
        (spoiled(2, 1, 1, math.inf), "pose 2 .*not finite"),
        (spoiled(3, 3, 0, 1.0), "pose 3 .*row 0 0 0 1"),
        (spoiled(5, 0, 0, 1.1), "pose 5 .*not rigid"),
        (curved_path(9) * torch.tensor([-1.0, 1, 1, 1]), "pose 0 mirrors"),
        (curved_path(9) * torch.tensor([2.0, 2, 2, 1]), "pose 0 .*not rigid"),
    ],
)
def test_check_poses_when_wrong_names_the_pose(poses: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_poses(poses.double())


def test_check_poses_accepts_float32_rounding() -> None:
    check_poses(curved_path(50, offset=5000.0).float().double())


def test_positive_yaw_looks_right_and_positive_pitch_looks_up() -> None:
    right = torch.tensor(yaw_rotation(0.5)) @ torch.tensor([0.0, 0, 1])
    up = torch.tensor(pitch_rotation(0.5)) @ torch.tensor([0.0, 0, 1])
    assert right[0] > 0 and right[1] == 0
    assert up[1] < 0 and up[0] == 0  # y points down


def test_relative_poses_compose_to_the_absolute_ones() -> None:
    poses = curved_path(6)
    relative = relative_poses(poses[1:], poses[0])
    pose = poses[0]
    for step, expected in zip(relative, poses[1:], strict=True):
        pose = pose @ step
        torch.testing.assert_close(pose, expected, atol=1e-14, rtol=0)


def test_relative_poses_when_nothing_moves_are_exactly_still() -> None:
    poses = curved_path(1, offset=5680.123).repeat(3, 1, 1)
    relative = relative_poses(poses, poses[0])
    assert (relative[:, :3, 3] == 0).all()
    torch.testing.assert_close(relative, torch.eye(4, dtype=torch.float64).repeat(3, 1, 1), atol=1e-15, rtol=0)


def test_resample_poses_at_their_own_places_returns_them() -> None:
    poses = curved_path(9)
    torch.testing.assert_close(resample_poses(poses, 9), poses, atol=1e-14, rtol=0)
    torch.testing.assert_close(resample_poses(poses, 3), poses[[0, 4, 8]], atol=1e-14, rtol=0)


def test_resample_poses_between_halves_way_and_turn() -> None:
    start, end = pose_matrix(yaw_rotation(0.1), (0, 0, 0)), pose_matrix(yaw_rotation(0.5), (1, 2, 3))
    middle = resample_poses(torch.tensor([start, end], dtype=torch.float64), 3)[1]
    expected = torch.tensor(pose_matrix(yaw_rotation(0.3), (0.5, 1, 1.5)), dtype=torch.float64)
    torch.testing.assert_close(middle, expected, atol=1e-15, rtol=0)


def test_measure_world_scale_is_the_longest_step() -> None:
    poses = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    poses[:, 2, 3] = torch.tensor([0.0, 1.0, 3.5, 3.0])
    assert measure_world_scale(poses) == 2.5


@pytest.mark.parametrize("offset", [0.0, 5680.0])
def test_measure_world_scale_when_nothing_moves_is_one(offset: float) -> None:
    poses = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    poses[:, 0, 3] = offset + torch.tensor([0.0, 1e-4, 0.0, 1e-4]) * (offset > 0)  # below float32's resolution there
    assert measure_world_scale(poses) == 1.0
