# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Presets: directions, speeds, extension bit for bit, and options that cannot be used."""

from __future__ import annotations

import math

import pytest
import torch

from lingbot_core.camera.easing import EASINGS
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE, check_poses
from lingbot_core.camera.presets import COMMON_PARAMETERS, PRESETS, make_preset, parse_settings, scaled_speed
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError


def same_chunk(a: CameraTrajectory, b: CameraTrajectory, index: int) -> bool:
    """Whether two paths tell the network the same of a chunk, bit for bit."""
    first, second = a.chunk(index, 464, 832), b.chunk(index, 464, 832)
    return torch.equal(first.relative_poses.view(torch.int32), second.relative_poses.view(torch.int32)) and torch.equal(
        first.intrinsics, second.intrinsics
    )


def latent_steps(camera: CameraTrajectory) -> tuple[torch.Tensor, torch.Tensor]:
    """Length and angle in degrees of every step but the first, as the network sees them."""
    relative = torch.cat([camera.chunk(index, 464, 832).relative_poses for index in range(camera.num_chunks)])[1:]
    cosine = (relative[:, 0, 0] + relative[:, 1, 1] + relative[:, 2, 2] - 1) / 2
    return relative[:, :3, 3].norm(dim=1), torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_rigid_path_of_the_asked_length_from_the_origin(name: str) -> None:
    camera = make_preset(name, 4)
    assert (camera.num_chunks, camera.num_frames) == (4, 45)
    assert (camera.name, camera.world_scale) == (name, DEFAULT_WORLD_SCALE)
    check_poses(camera.c2w)
    assert torch.equal(camera.c2w[0], torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("easing", EASINGS)
def test_longer_preset_begins_with_the_shorter_one_bit_for_bit(name: str, easing: str) -> None:
    options = {} if name == "static" else {"easing": easing, "ease_sec": 1.5}
    short, long = make_preset(name, 6, **options), make_preset(name, 17, **options)
    num_chunks_before_easing_out = 4  # the end is at 4.25 s, so braking begins in chunk 4, which covers 2.75 to 3.5 s
    same = [same_chunk(short, long, index) for index in range(6)]
    assert all(same[:num_chunks_before_easing_out])
    if name != "static":
        assert all(same) == (easing not in ("ease-out", "ease-in-out"))


@pytest.mark.parametrize("name", PRESETS)
def test_preset_defaults_move_and_turn_as_the_model_has_seen(name: str) -> None:
    steps, angles_deg = latent_steps(make_preset(name, 10))
    moves = name.split("-")[0] in ("orbit", "dolly", "truck", "pedestal", "walk")
    turns = name.split("-")[0] in ("orbit", "pan", "tilt") or name == "walk-and-look"
    if moves:
        assert 0.6 <= steps.median() <= 0.8
        assert steps.max() <= 1
    else:
        assert (steps == 0).all()
    if turns:
        assert 1.5 <= angles_deg.median() <= 8
        assert angles_deg.max() <= 8
    else:
        assert angles_deg.max() <= 0.05


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("dolly-in", 2, 1),
        ("dolly-out", 2, -1),
        ("truck-left", 0, -1),
        ("truck-right", 0, 1),
        ("pedestal-up", 1, -1),
        ("pedestal-down", 1, 1),
        ("walk-forward", 2, 1),
    ],
)
def test_moving_preset_goes_its_way_at_the_given_speed(name: str, axis: int, sign: int) -> None:
    camera = make_preset(name, 5, speed=2.0)
    seconds = torch.arange(camera.num_frames, dtype=torch.float64) / 16
    torch.testing.assert_close(camera.c2w[:, axis, 3], sign * 2.0 * seconds)
    assert torch.equal(camera.c2w[:, :3, :3], torch.eye(3, dtype=torch.float64).expand(camera.num_frames, 3, 3))


@pytest.mark.parametrize(("name", "row", "sign"), [("pan-left", 0, -1), ("pan-right", 0, 1), ("tilt-up", 1, -1)])
def test_turning_preset_turns_its_way_at_the_given_speed(name: str, row: int, sign: int) -> None:
    camera = make_preset(name, 3, speed=10.0)
    assert math.degrees(math.asin(camera.c2w[32, row, 2])) == pytest.approx(sign * 20.0)  # forward axis after 2 s


@pytest.mark.parametrize(("name", "side"), [("orbit-left", -1), ("orbit-right", 1)])
def test_orbit_keeps_looking_at_its_centre(name: str, side: int) -> None:
    camera = make_preset(name, 8, radius=5.0, speed=30.0)
    looked_at = camera.c2w[:, :3, 3] + 5.0 * camera.c2w[:, :3, 2]
    centre = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64).expand(camera.num_frames, 3)
    torch.testing.assert_close(looked_at, centre, atol=1e-12, rtol=0)
    assert side * camera.c2w[16, 0, 3] > 0


def test_tilt_when_it_reaches_its_limit_stays_there() -> None:
    camera = make_preset("tilt-down", 20, speed=20.0, limit=30.0)
    angles_deg = torch.rad2deg(torch.asin(camera.c2w[:, 1, 2]))
    assert angles_deg[-1].item() == pytest.approx(30.0)
    assert angles_deg.max().item() <= 30.0 + 1e-9
    assert (angles_deg.diff() >= -1e-12).all()
    assert angles_deg.diff().max().item() == pytest.approx(20 / 16)


def test_walk_and_look_moves_ahead_and_looks_to_both_sides() -> None:
    camera = make_preset("walk-and-look", 12, look=25, bob=0)
    yaw_deg = torch.rad2deg(torch.atan2(camera.c2w[:, 0, 2], camera.c2w[:, 2, 2]))
    assert yaw_deg.max().item() == pytest.approx(25, abs=0.1)
    assert yaw_deg.min().item() == pytest.approx(-25, abs=0.1)
    assert (camera.c2w[:, :2, 3] == 0).all()


def test_make_preset_reads_numbers_written_as_text() -> None:
    as_text = make_preset("orbit-left", 2, speed="8", radius="12.5", easing="ease-in")
    as_numbers = make_preset("orbit-left", 2, speed=8, radius=12.5, easing="ease-in")
    assert torch.equal(as_text.c2w, as_numbers.c2w)


def test_make_preset_uses_the_given_intrinsics_and_world_scale() -> None:
    intrinsics = torch.tensor([400.0, 401.0, 410.0, 230.0])
    camera = make_preset("static", 1, intrinsics, world_scale=3.0)
    assert torch.equal(camera.intrinsics, intrinsics.double().expand(9, 4))
    assert camera.world_scale == 3.0


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("spin", {}, "unknown.*'spin'.*orbit-left"),
        ("dolly-in", {"radius": 3}, "no option 'radius'.*easing, speed"),
        ("dolly-in", {"num_chunks": 3}, "no option 'num_chunks'"),
        ("static", {"speed": 3}, "no option 'speed'"),
        ("dolly-in", {"easing": "bounce"}, "easing.*'bounce'.*ease-in-out"),
        ("dolly-in", {"speed": "fast"}, "option speed.*'fast'.*units per second"),
        ("dolly-in", {"speed": math.nan}, "option speed.*nan"),
        ("dolly-in", {"speed": -1}, "option speed.*-1"),
        ("pan-left", {"speed": 1e9}, "degrees per second"),
        ("dolly-in", {"world_scale": 0}, "option world_scale"),
    ],
)
def test_make_preset_when_it_cannot_be_used_says_what_can(name: str, options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_preset(name, 2, **options)


@pytest.mark.parametrize("num_chunks", [0, -1, 10**9])
def test_make_preset_when_the_length_is_impossible_names_the_range(num_chunks: int) -> None:
    with pytest.raises(InputError, match="1 to 4800"):
        make_preset("static", num_chunks)


def test_every_parameter_has_a_default_within_its_range() -> None:
    for preset in PRESETS.values():
        names = [parameter.name for parameter in (*preset.parameters, *COMMON_PARAMETERS)]
        assert len(names) == len(set(names))
        for parameter in preset.parameters:
            assert parameter.minimum <= parameter.default <= parameter.maximum


def test_parse_settings_when_written_with_spaces_gives_options():
    assert parse_settings(" radius=10 , ease_sec = 2,") == {"radius": "10", "ease_sec": "2"}
    assert parse_settings("") == {}
    with pytest.raises(InputError, match="key=value"):
        parse_settings("radius")


def test_scaled_speed_is_a_multiple_within_bounds():
    assert scaled_speed("dolly-in", 1.0) == {"speed": 3.5}
    assert scaled_speed("dolly-in", 2.0) == {"speed": 7.0}
    assert scaled_speed("orbit-left", 1e9) == {"speed": 120.0}
    assert scaled_speed("static", 2.0) == {} == scaled_speed("unknown", 2.0)
    assert torch.equal(make_preset("dolly-in", 2).c2w, make_preset("dolly-in", 2, **scaled_speed("dolly-in", 1.0)).c2w)
