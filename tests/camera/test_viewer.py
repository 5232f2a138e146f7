# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from lingbot_core.camera.files import trajectory_from_json
from lingbot_core.camera.viewer import viewer_trajectory
from lingbot_core.errors import InputError


def point(x: float, y: float, z: float) -> dict[str, float]:
    return {"x": x, "y": y, "z": z}


def camera(position, target=(0.0, 0.0, 0.0), **more) -> dict:
    return {"position": point(*position), "target": point(*target), "zoom": 1, "cameraType": "perspective", **more}


def trajectory(*cameras, **options):
    return viewer_trajectory(cameras, **{"seconds_between": 1.0, "default_fov_deg": 50.0, **options})


@pytest.mark.parametrize("position", [(0, 0, 5), (3, 4, 5), (-2, -7, 1), (0, 6, 0), (0, -6, 0)])
def test_pose_when_looking_at_a_target_puts_it_on_the_optical_axis(position):
    target = (1.0, 2.0, -1.0) if position[0] else (0.0, 0.0, 0.0)
    c2w = trajectory(camera(position, target)).c2w[0]
    in_ours = torch.tensor([target[0], -target[1], -target[2], 1.0], dtype=torch.float64)
    x, y, z, _ = torch.linalg.inv(c2w) @ in_ours
    assert abs(x) < 1e-9 and abs(y) < 1e-9 and z > 0
    assert c2w[:3, 3].tolist() == pytest.approx([position[0], -position[1], -position[2]])
    down = c2w[:3, 1]
    assert down[1] >= -1e-9 and abs(c2w[1, 0]) < 1e-9, "the head is up and the horizon level"


def test_pose_when_looking_along_minus_z_is_the_identity():
    assert torch.allclose(trajectory(camera((0, 0, 5), (0, 0, 0))).c2w[0, :3, :3], torch.eye(3, dtype=torch.float64))


def test_pose_when_a_quaternion_is_given_uses_it():
    half = math.radians(30) / 2
    turned_left = {"x": 0.0, "y": 2 * math.sin(half), "z": 0.0, "w": 2 * math.cos(half)}  # not of length 1
    c2w = trajectory(camera((0, 0, 0), quaternion=turned_left)).c2w[0]
    forward = c2w[:3, 2]
    assert forward.tolist() == pytest.approx([-math.sin(math.radians(30)), 0.0, math.cos(math.radians(30))])


def test_lens_follows_fov_and_zoom_and_falls_back_to_the_default():
    views = [camera((0, 0, 5), fov=60.0, zoom=2), camera((0, 0, 4)), camera((0, 0, 3), fov=90)]
    path = trajectory(*views)
    focals = [240 / math.tan(math.radians(30)) * 2, 240 / math.tan(math.radians(25)), 240.0]
    for frame, focal in zip((0, 16, 32), focals, strict=True):
        assert path.intrinsics[frame].tolist() == pytest.approx([focal, focal, 416, 240])


def test_length_reaches_the_last_view_or_is_as_asked():
    views = [camera((0, 0, 5)), camera((0, 0, 4)), camera((0, 0, 3))]
    path = trajectory(*views, seconds_between=1.5)
    assert path.num_frames > 3 * 16 and path.c2w[48, 2, 3] == pytest.approx(-3)
    assert trajectory(*views, num_chunks=9).num_chunks == 9
    assert trajectory(views[0]).num_chunks == 1


def test_source_describes_the_same_path():
    path = trajectory(camera((1, 2, 5)), camera((2, 2, 4), fov=70), world_scale=2.5, easing="ease-in")
    again = trajectory_from_json(path.source)
    assert torch.equal(path.c2w, again.c2w) and torch.equal(path.intrinsics, again.intrinsics)
    assert again.world_scale == 2.5 and not path.intrinsics_of_photo


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ([], "No camera is connected"),
        ([camera((0, 0, 5), cameraType="orthographic")], "Camera 1 is orthographic"),
        ([camera((0, 0, 5)), camera((0, 0, 0))], "Camera 2 stands on the point"),
        ([{"target": point(0, 0, 0)}], "Camera 1 has no position"),
        ([{"position": point(0, 0, 0)}], "Camera 1 has no target"),
        ([camera((0, 0, 5), fov=200)], "lens of camera 1"),
        ([camera((0, 0, 5), zoom=-1)], "lens of camera 1"),
        ([camera((math.nan, 0, 5))], "position of camera 1 is not a number"),
        ([camera((1e12, 0, 5))], r"keyframes\[0\].position"),
    ],
)
def test_camera_that_cannot_be_used_is_named(cameras, message: str):
    with pytest.raises(InputError, match=message):
        trajectory(*cameras)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (camera((0, 0, 5), cameraType="orthographic"), "The camera at camera_3 is orthographic"),
        (camera((0, 0, 5), fov=200), "The lens of the camera at camera_3"),
        ({"position": point(0, 0, 0)}, "The camera at camera_3 has no target"),
    ],
)
def test_camera_that_cannot_be_used_is_named_as_the_caller_calls_it(broken, message: str):
    with pytest.raises(InputError, match=message):
        trajectory(camera((0, 0, 5)), broken, names=["the camera at camera_1", "the camera at camera_3"])
