# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The preview from the photo alone: against rays cast by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingbot_core.camera.interpolate import normalized, rotation_from_quaternion
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory
from lingbot_core.camera.presets import make_preset
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.camera.warp import rotation_homographies, rotation_preview, warp_photo

HEIGHT, WIDTH = 48, 84


def ramp() -> Tensor:
    """A photo that tells where each of its pixels is: red is the column, green the row, in 0..1."""
    x = (torch.arange(WIDTH) + 0.5) / WIDTH
    y = (torch.arange(HEIGHT) + 0.5)[:, None] / HEIGHT
    return torch.stack([x.expand(HEIGHT, WIDTH), y.expand(HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH)], -1)


def turned(rotation: list[list[float]], zoom: float = 1.0) -> CameraTrajectory:
    """A path of nine frames, all but the first turned."""
    camera = make_preset("static", 1)
    c2w, lens = camera.c2w.clone(), camera.intrinsics.clone()
    c2w[1:, :3, :3] = torch.tensor(rotation, dtype=torch.float64)
    lens[1:, :2] *= zoom
    return CameraTrajectory(c2w, lens, 1.0)


def test_camera_at_rest_shows_the_photo() -> None:
    pictures = rotation_preview(ramp(), make_preset("static", 1), torch.tensor([0, 8]), HEIGHT, WIDTH)
    assert pictures.shape == (2, HEIGHT, WIDTH, 3)
    torch.testing.assert_close(pictures[0], ramp(), atol=1e-5, rtol=0)
    torch.testing.assert_close(pictures[1], ramp(), atol=1e-5, rtol=0)


def test_movement_without_turning_shows_the_photo() -> None:
    pictures = rotation_preview(ramp(), make_preset("dolly-in", 2), torch.tensor([20]), HEIGHT, WIDTH)
    torch.testing.assert_close(pictures[0], ramp(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("preset", "row", "column"), [("pan-right", 24, 20), ("pan-left", 24, 60)])
def test_pan_moves_the_picture_against_the_turn(preset: str, row: int, column: int) -> None:
    camera = make_preset(preset, 2, speed=8)
    angle_rad = math.radians(8 * 20 / 16) * (1 if preset == "pan-right" else -1)
    fx, _, cx, _ = (camera.intrinsics[0] * WIDTH / 832).tolist()
    (picture,) = rotation_preview(ramp(), camera, torch.tensor([20]), HEIGHT, WIDTH)
    # on the horizon the angle of a pixel's ray and that of the turn add up
    angle = math.atan((column + 0.5 - cx) / fx) + angle_rad
    assert float(picture[row, column, 0]) == pytest.approx((cx + fx * math.tan(angle)) / WIDTH, abs=1e-3)
    beyond = picture[:, -3:] if preset == "pan-right" else picture[:, :3]
    assert not beyond.any()


def test_tilt_up_shows_what_is_above_in_the_middle() -> None:
    (picture,) = rotation_preview(ramp(), make_preset("tilt-up", 2, speed=8), torch.tensor([20]), HEIGHT, WIDTH)
    assert 0 < float(picture[HEIGHT // 2, WIDTH // 2, 1]) < 0.4
    assert not picture[0].any()


def test_zoom_enlarges_the_middle() -> None:
    (picture,) = rotation_preview(ramp(), turned([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 2.0), torch.tensor([8]), 48, 84)
    width_seen = float(picture[24, 80, 0] - picture[24, 4, 0])
    assert width_seen == pytest.approx(76 / WIDTH / 2, abs=1e-3)


def test_looking_back_shows_nothing() -> None:
    pictures = rotation_preview(ramp(), turned([[-1, 0, 0], [0, 1, 0], [0, 0, -1]]), torch.tensor([8]), HEIGHT, WIDTH)
    assert not pictures.any()


QUATERNIONS = st.tuples(*[st.floats(-0.3, 0.3)] * 3, st.just(1.0)).map(normalized)


@settings(max_examples=40, deadline=None)
@given(QUATERNIONS, st.floats(0.7, 1.5))
def test_pixels_are_where_their_rays_hit_the_photo(quaternion: tuple[float, ...], zoom: float) -> None:
    rotation = rotation_from_quaternion(quaternion)  # pyright: ignore[reportArgumentType]
    camera = turned(rotation, zoom)
    (picture,) = rotation_preview(ramp(), camera, torch.tensor([8]), HEIGHT, WIDTH)
    fx, fy, cx, cy = (camera.intrinsics[0] * torch.tensor([WIDTH / 832, HEIGHT / 480] * 2)).tolist()
    for row, column in ((10, 20), (24, 42), (40, 70)):
        ray = [(column + 0.5 - cx) / (fx * zoom), (row + 0.5 - cy) / (fy * zoom), 1.0]
        x, y, z = (sum(rotation[i][k] * ray[k] for k in range(3)) for i in range(3))
        hit = ((fx * x / z + cx) / WIDTH, (fy * y / z + cy) / HEIGHT) if z > 0 else (-1.0, -1.0)
        if all(0.02 < value < 0.98 for value in hit):
            assert picture[row, column].tolist() == pytest.approx([*hit, 1.0], abs=2e-3)
        elif any(not -0.02 < value < 1.02 for value in hit):
            assert not picture[row, column].any()


def test_turn_and_its_opposite_cancel() -> None:
    there = keyframe_trajectory([Keyframe(0, (0, 0, 0)), Keyframe(0.5, (0, 0, 0), normalized((0.05, 0.1, 0.02, 1)))])
    (matrix,) = rotation_homographies(there, torch.tensor([8]), HEIGHT, WIDTH)
    once = warp_photo(ramp(), matrix[None])
    (back,) = warp_photo(once[0], torch.linalg.inv(matrix)[None])
    seen = back[..., 2] > 0.9999  # not mixed with the black beyond
    assert seen.float().mean() > 0.5
    torch.testing.assert_close(back[seen], ramp()[seen], atol=0.011, rtol=0)  # half a pixel at the edges


def test_photo_of_another_size_with_nan_is_stretched() -> None:
    photo = torch.rand(31, 17, 3)
    photo[0, 0, 0] = math.nan
    pictures = rotation_preview(photo, make_preset("pan-left", 1), torch.arange(9), HEIGHT, WIDTH)
    assert pictures.shape == (9, HEIGHT, WIDTH, 3)
    assert bool(pictures.isfinite().all()) and 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
