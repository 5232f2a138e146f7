# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Ray maps and their folding into tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from lingbot_core.camera.presets import make_preset
from lingbot_core.camera.rays import camera_tokens, camera_volume, ray_map, ray_tokens

GOLDEN = Path(__file__).parent.parent / "golden"


def test_ray_map_equals_the_formula_pixel_by_pixel_in_float64() -> None:
    camera = make_preset("walk-and-look", 3, speed=4).chunk(2, 32, 48)
    rays = ray_map(camera.relative_poses, camera.intrinsics, 32, 48)
    assert rays.dtype == torch.float32
    assert rays.shape == (3, 6, 32, 48)
    for frame, row, column in [(0, 0, 0), (1, 31, 47), (2, 7, 30)]:
        fx, fy, cx, cy = camera.intrinsics[frame].double()
        direction = torch.stack([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, torch.ones_like(fx)])
        pose = camera.relative_poses[frame].double()
        expected = torch.cat([pose[:3, 3], pose[:3, :3] @ (direction / direction.norm())])
        torch.testing.assert_close(rays[frame, :, row, column].double(), expected, atol=3e-7, rtol=0)


def test_ray_map_directions_are_unit_and_the_first_origin_is_zero() -> None:
    camera = make_preset("orbit-left", 1).chunk(0, 32, 48)
    rays = ray_map(camera.relative_poses, camera.intrinsics, 32, 48)
    torch.testing.assert_close(rays[:, 3:].norm(dim=1), torch.ones(3, 32, 48), atol=1e-6, rtol=0)
    assert (rays[0, :3] == 0).all()
    assert (rays[1, :3].amax((1, 2)) == rays[1, :3].amin((1, 2))).all()


def test_camera_volume_puts_row_and_column_in_the_cell_into_the_channel() -> None:
    row, column = torch.meshgrid(torch.arange(16), torch.arange(32), indexing="ij")
    rays = torch.stack([1000 * channel + 40 * row + column for channel in range(6)])[None].float()
    volume = camera_volume(rays)
    assert volume.shape == (1, 384, 2, 4)
    for channel, y, x, cell_row, cell_column in [(0, 0, 0, 0, 0), (3, 5, 2, 1, 3), (5, 7, 7, 0, 2)]:
        value = 1000 * channel + 40 * (8 * cell_row + y) + 8 * cell_column + x
        assert volume[0, 64 * channel + 8 * y + x, cell_row, cell_column] == value


def test_ray_tokens_equal_the_recorded_patchified_volume() -> None:
    """The coded volume tells each value's place: frame, channel, row, column."""
    golden = load_file(GOLDEN / "i2v_mask_layout.safetensors")["coded.camera_tokens_1536"]
    frame, channel, row, column = torch.meshgrid(*map(torch.arange, (3, 384, 4, 6)), indexing="ij")
    volume = (frame * 100000 + channel * 100 + row * 10 + column).float() + 0.75
    rays = torch.nn.functional.pixel_shuffle(volume, 8)
    assert torch.equal(camera_volume(rays), volume)
    assert torch.equal(ray_tokens(rays), golden)


def test_camera_tokens_have_the_asked_type_and_order() -> None:
    camera = make_preset("dolly-in", 2).chunk(1, 32, 48)
    tokens = camera_tokens(camera, 32, 48, "cpu", torch.bfloat16)
    assert tokens.shape == (3 * 2 * 3, 1536)
    assert tokens.dtype == torch.bfloat16
    rays = ray_map(camera.relative_poses, camera.intrinsics, 32, 48)
    assert torch.equal(tokens, ray_tokens(rays).bfloat16())
