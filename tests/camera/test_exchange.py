# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths to other programs and back, conversions by hand, and files that are no paths."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingbot_core.camera.colmap import natural_key, read_colmap
from lingbot_core.camera.exchange import EXPORT_FORMATS, export_path, import_path, path_json
from lingbot_core.camera.files import MAX_FILE_BYTES, load_pose_files, parse_camera_path, trajectory_from_json
from lingbot_core.camera.interpolate import normalized, quaternion_from_rotation, turn_between
from lingbot_core.camera.measured import relative_to_first
from lingbot_core.camera.nerfstudio import camera_axes_flipped, read_transforms
from lingbot_core.camera.poses import check_poses
from lingbot_core.camera.presets import make_preset
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError

DATA = Path(__file__).parents[1] / "data"
COORDINATES = st.floats(-50, 50)


def as_json(keyframes: list[dict[str, Any]], **more: Any) -> str:
    return json.dumps({"format": "lingbot-camera-path", "version": 1, "keyframes": keyframes, **more})


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Camera-path JSON with a few keyframes at any times."""
    times = sorted(draw(st.sets(st.integers(0, 500), min_size=1, max_size=5)))
    keyframes = []
    for time in times:
        quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1))
        keyframe = {"time_sec": time / 100, "position": list(draw(st.tuples(*[COORDINATES] * 3)))}
        keyframe |= {"rotation": list(normalized(quaternion)), "zoom": draw(st.floats(0.5, 2))}
        keyframes.append(keyframe)
    fx = draw(st.floats(100, 2000))
    more = {"easing": draw(st.sampled_from(["linear", "ease-in-out"])), "world_scale": draw(st.floats(0.01, 100))}
    return as_json(keyframes, intrinsics=[fx, fx * draw(st.floats(0.9, 1.1)), 400.0, 250.0], **more)


def round_trip(camera: CameraTrajectory, format: str) -> CameraTrajectory:
    name, _, data = export_path(camera, format)
    found = import_path({name: data}, is_exact=True)
    assert found.format == format
    return trajectory_from_json(found.text, camera.num_chunks)


def assert_same_poses(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found[:, :3, :3], expected[:, :3, :3], atol=1e-9, rtol=0)
    size = 1 + float(expected[:, :3, 3].abs().max())
    torch.testing.assert_close(found[:, :3, 3], expected[:, :3, 3], atol=1e-9 * size, rtol=0)


# --- round trips ------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(paths())
def test_json_comes_back_as_it_was(text: str) -> None:
    camera = trajectory_from_json(text)
    again = round_trip(camera, "json")
    assert torch.equal(again.c2w, camera.c2w) and torch.equal(again.intrinsics, camera.intrinsics)


@pytest.mark.parametrize("format", ["colmap", "nerfstudio"])
@settings(max_examples=25, deadline=None)
@given(text=paths())
def test_path_comes_back_with_its_lens_and_scale(format: str, text: str) -> None:
    camera = trajectory_from_json(text)
    again = round_trip(camera, format)
    assert_same_poses(again.c2w, camera.c2w)
    torch.testing.assert_close(again.intrinsics, camera.intrinsics, rtol=1e-9, atol=0)
    assert again.world_scale == camera.world_scale


@settings(max_examples=25, deadline=None)
@given(text=paths())
def test_npy_comes_back_seen_from_its_first_camera(text: str) -> None:
    camera = trajectory_from_json(text)
    again = round_trip(camera, "npy")
    assert_same_poses(again.c2w, relative_to_first(camera.c2w))
    torch.testing.assert_close(again.intrinsics, camera.intrinsics, rtol=1e-9, atol=0)


@settings(max_examples=25, deadline=None)
@given(text=paths())
def test_viewer_cameras_come_back_with_vertical_focal_length(text: str) -> None:
    camera = trajectory_from_json(text)
    again = round_trip(camera, "viewer")
    assert_same_poses(again.c2w, camera.c2w)
    torch.testing.assert_close(again.intrinsics[:, 1], camera.intrinsics[:, 1], rtol=1e-9, atol=0)
    assert again.world_scale == camera.world_scale


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_extreme_scales_come_back(format: str, scale: float) -> None:
    rows = [{"time_sec": i / 2, "position": [scale * i, 0.0, scale * i * i]} for i in range(4)]
    camera = trajectory_from_json(as_json(rows, world_scale=scale))
    again = round_trip(camera, format)
    ratio = again.world_scale / camera.world_scale  # npy files do not tell the scale; it is measured
    if format != "npy":
        assert ratio == 1
        torch.testing.assert_close(again.c2w[:, :3, 3] / scale, camera.c2w[:, :3, 3] / scale, atol=1e-9, rtol=1e-9)
    for index in range(camera.num_chunks):
        found, expected = (path.chunk(index, 464, 832).relative_poses[:, :3, 3] for path in (again, camera))
        longest = float(camera.chunk(2, 464, 832).relative_poses[:, :3, 3].norm(dim=1).max())
        torch.testing.assert_close(found * (longest if format == "npy" else 1), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("step", [1e-9, 1e9])
def test_lengths_beyond_what_a_path_can_hold_are_divided(step: float) -> None:
    poses = POSES.copy()
    poses[:, 2, 3] = np.arange(9) * step
    found = import_path({"poses.npy": npy(poses)}, is_exact=True)
    assert "divided" in " ".join(found.warnings)
    camera = trajectory_from_json(found.text)
    assert camera.world_scale == 1
    torch.testing.assert_close(camera.c2w[:, 2, 3], torch.arange(9).double() / 4)


def test_export_of_the_same_path_is_the_same_file() -> None:
    camera = trajectory_from_json(path_json(make_preset("orbit-left", 2), [0, 8, 20]))
    for format in EXPORT_FORMATS:
        assert export_path(camera, format) == export_path(camera, format)


def test_unknown_export_format_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="nerfstudio"):
        export_path(make_preset("static", 1), "../x")


# --- poses to keyframes -----------------------------------------------------------------


@pytest.mark.parametrize("index", range(3))
def test_pose_files_give_the_model_what_the_pose_node_gives(index: int) -> None:
    folder = DATA / f"example_0{index}"
    measured = load_pose_files(folder / "poses.npy", folder / "intrinsics.npy")
    files = {name: (folder / name).read_bytes() for name in ("poses.npy", "intrinsics.npy")}
    found = import_path(files, is_exact=True)
    camera = trajectory_from_json(found.text)
    assert camera.num_chunks == measured.num_chunks
    assert camera.world_scale == measured.world_scale
    ours, theirs = (path.chunk(20, 480, 832).relative_poses for path in (camera, measured))
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)  # smooth between poses against linear
    assert ("sped up" in " ".join(found.warnings)) == (index == 0)
    assert not [warning for warning in found.warnings if "lens" in warning], "example 01 zooms, no more"


def test_smooth_poses_become_few_keyframes_that_follow_them() -> None:
    camera = make_preset("walk-and-look", 21)
    stream = io.BytesIO()
    np.save(stream, camera.c2w.numpy())
    found = import_path({"poses.npy": stream.getvalue()})
    assert len(parse_camera_path(found.text).keyframes) < camera.num_frames / 4
    again = trajectory_from_json(found.text, 21)
    off = (again.c2w[:, :3, 3] - camera.c2w[:, :3, 3]).norm(dim=1) / again.world_scale
    assert float(off.max()) <= 0.02
    for ours, theirs in zip(again.c2w[::7].tolist(), camera.c2w[::7].tolist(), strict=True):
        turn = turn_between(quaternion_from_rotation(ours), quaternion_from_rotation(theirs))
        assert math.degrees(math.hypot(*turn)) <= 0.51


def test_lens_whose_centre_moves_is_said_to_be_simplified() -> None:
    lens = np.tile([500.0, 500, 416, 240], (9, 1))
    lens[4, 2] += 1
    found = import_path({"poses.npy": npy(POSES), "intrinsics.npy": npy(lens)})
    assert "lens changes" in " ".join(found.warnings)


def test_other_rate_changes_the_times() -> None:
    _, _, data = export_path(make_preset("dolly-in", 2), "npy")
    found = import_path({"camera.zip": data}, frames_per_second=4, is_exact=True)
    times = [keyframe.time_sec for keyframe in parse_camera_path(found.text).keyframes]
    assert times == [index / 4 for index in range(21)]


def test_keyframes_of_a_path_hold_its_zoom() -> None:
    text = as_json([{"time_sec": 0, "position": [0, 0, 0]}, {"time_sec": 1.25, "position": [0, 0, 1], "zoom": 2.0}])
    again = parse_camera_path(path_json(trajectory_from_json(text, 2), [0, 20]))
    assert [keyframe.zoom for keyframe in again.keyframes] == pytest.approx([1, 2])


# --- conversions by hand ----------------------------------------------------------------


def test_colmap_camera_by_hand() -> None:
    # the camera stands at (1, 2, 3) and looks along +x: its right is -z, its down is y
    c2w = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1]], dtype=torch.float64)
    half = math.sqrt(0.5)  # world to camera: a quarter turn back about y; t = -R^T (1, 2, 3) = (3, -2, -1)
    images = (
        f"# x\n7 {half} 0 {-half} 0 3 -2 -1 1 b.png\n\n8 1 0 0 0 0 0 0 1 a 10.png\n1 2 3\n9 1 0 0 0 0 0 0 1 a 9.png\n"
    )
    cameras = "1 SIMPLE_RADIAL 1664 960 1000 832 480 0.1\n"
    measured = read_colmap(images, cameras)
    torch.testing.assert_close(measured.c2w[2], c2w)
    assert torch.equal(measured.c2w[0], torch.eye(4, dtype=torch.float64))
    assert measured.intrinsics is not None
    assert measured.intrinsics[0].tolist() == [500, 500, 416, 240]


def test_opengl_camera_axes_by_hand() -> None:
    # OpenCV: right x, down y, ahead z. OpenGL: right x, up y, back z.
    opencv = torch.tensor([[0, 0, 1, 5], [0, 1, 0, 6], [-1, 0, 0, 7], [0, 0, 0, 1]], dtype=torch.float64)
    opengl = torch.tensor([[0, 0, -1, 5], [0, -1, 0, 6], [-1, 0, 0, 7], [0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(camera_axes_flipped(opencv), opengl)
    torch.testing.assert_close(camera_axes_flipped(opengl), opencv)
    assert torch.equal(camera_axes_flipped(camera_axes_flipped(opencv)), opencv)


def test_nerfstudio_camera_by_hand() -> None:
    # z up: a level camera 2 above the ground that looks along +y has back -y, up +z
    level = [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 2], [0, 0, 0, 1]]
    ahead = [[1, 0, 0, 0], [0, 0, -1, 3], [0, 1, 0, 2], [0, 0, 0, 1]]
    frames = [{"file_path": "f_10", "transform_matrix": ahead}, {"file_path": "f_9", "transform_matrix": level}]
    measured = read_transforms({"fl_x": 300.0, "w": 416, "h": 240, "frames": frames})
    first, second = measured.c2w
    # in our world, y down: 2 above the ground is y = -2, and 3 along nerfstudio's y is 3 along our z
    assert first[:3, 3].tolist() == [0, -2, 0] and second[:3, 3].tolist() == [0, -2, 3]
    torch.testing.assert_close(first[:3, :3], torch.eye(3, dtype=torch.float64))
    assert measured.intrinsics is not None
    assert measured.intrinsics[0].tolist() == [600, 600, 416, 240]


def test_nerfstudio_world_that_was_not_turned_stays() -> None:
    identity = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    frame = {"file_path": "a", "transform_matrix": [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]}
    measured = read_transforms({"applied_transform": identity, "frames": [frame]})
    expected = torch.eye(4, dtype=torch.float64)
    expected[:3, 3] = torch.tensor([1.0, 2, 3])
    torch.testing.assert_close(measured.c2w[0], expected)
    assert measured.intrinsics is None


def test_viewer_camera_by_hand() -> None:
    # three.js: y up, looking down -z. Here from (0, 1, 5) toward the origin's height, fov 90
    camera = {"position": [0, 1, 5], "target": [0, 1, 0], "zoom": 2, "fov": 90, "cameraType": "perspective"}
    for value in (camera, [camera], {"cameras": [camera]}, {"cameraType": "perspective", "fov": 90, "state": camera}):
        path = parse_camera_path(import_path({"camera.json": json.dumps(value).encode()}).text)
        assert path.keyframes[0].position == (0, -1, -5)
        assert path.keyframes[0].rotation == pytest.approx((0, 0, 0, 1))
        assert path.intrinsics[1] == pytest.approx(480)


def test_names_are_sorted_as_people_count() -> None:
    names = ["f_10.png", "f_9.png", "f_09b.png", "a", "10", "9", "²"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "f_9.png", "f_09b.png", "f_10.png", "²"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    sorted(names, key=natural_key)


# --- what the sampled path promises -----------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(paths())
def test_sampled_rotations_are_unit_and_rigid(text: str) -> None:
    camera = trajectory_from_json(text)
    check_poses(camera.c2w)
    for pose in camera.c2w.tolist():
        assert math.hypot(*quaternion_from_rotation(pose)) == pytest.approx(1, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(paths())
def test_imported_keyframes_never_run_backwards_in_time(text: str) -> None:
    camera = trajectory_from_json(text)
    for format in EXPORT_FORMATS:
        name, _, data = export_path(camera, format)
        keyframes = parse_camera_path(import_path({name: data}).text).keyframes
        assert all(before.time_sec < after.time_sec for before, after in pairwise(keyframes))


# --- bad input --------------------------------------------------------------------------


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def transforms(**frame: Any) -> bytes:
    return json.dumps({"frames": [{"transform_matrix": np.eye(4).tolist(), **frame}]}).encode()


def zipped(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


POSES = np.eye(4)[None].repeat(9, 0)
IMAGE_LINE = b"1 1 0 0 0 0 0 0 1 a.png\n"
BAD_FILES: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({}, "no camera path"),
    "empty": ({"a.txt": b""}, "no camera path"),
    "picture": ({"a.png": b"\x89PNG\r\n\x1a\n\x00\xff"}, "a.png"),
    "text": ({"a.txt": b"hello there"}, "a.txt"),
    "two paths": ({"a.npy": npy(POSES), "b.npy": npy(POSES)}, "more than one"),
    "pickle": ({"a.npy": npy(np.array([{}], dtype=object))}, "pickled"),
    "strings": ({"a.npy": npy(np.array([[["x"]]]))}, "no numbers"),
    "cut npy": ({"a.npy": npy(POSES)[:-8]}, "a.npy"),
    "npy header of petabytes": (
        {"a.npy": npy(POSES).replace(b"(9, 4, 4), }   ", b"(9999999999999, 4, 4), }"[:15])},
        "npy",
    ),
    "magic alone": ({"a.npy": b"\x93NUMPY"}, "a.npy"),
    "no poses": ({"a.npy": npy(POSES[:0])}, "a.npy"),
    "shape": ({"a.npy": npy(np.zeros((3, 3, 3)))}, "[3, 3, 3]"),
    "nan": ({"a.npy": npy(POSES * np.nan)}, "pose 0"),
    "mirrored": ({"a.npy": npy(POSES * [[1], [1], [-1], [1]])}, "pose 0"),
    "intrinsics only": ({"a.npy": npy(np.ones(4))}, "no camera path"),
    "intrinsics of another path": ({"a.npy": npy(POSES), "i.npy": npy(np.ones((5, 4)))}, "[5, 4]"),
    "broken json": ({"a.json": b'{"format": '}, "JSON"),
    "python dict": ({"a.json": b"{'format': 'x'}"}, "JSON string"),
    "deep json": ({"a.json": b"[" * 200_000}, "JSON"),
    "other json": ({"a.json": b'{"x": 1}'}, "format"),
    "newer version": ({"a.json": as_json([{"time_sec": 0, "position": [0, 0, 0]}], version=2).encode()}, "newer"),
    "no frames": ({"t.json": b'{"frames": []}'}, "frames"),
    "frame is a number": ({"t.json": b'{"frames": [1]}'}, "frames[0]"),
    "no matrix": ({"t.json": b'{"frames": [{}]}'}, "frames[0].transform_matrix"),
    "nan in matrix": (
        {"t.json": transforms(transform_matrix=[[math.nan] * 4] * 4)},
        "frames[0].transform_matrix[0][0]",
    ),
    "huge integer": ({"t.json": transforms(fl_x=10**400)}, "frames[0].fl_x"),
    "focal length of zero": ({"t.json": transforms(fl_x=0, w=4, h=4)}, "frames[0].fl_x"),
    "no size": ({"t.json": transforms(fl_x=5)}, "w and h"),
    "scaled matrix": ({"t.json": transforms(transform_matrix=(np.eye(4) * 2).tolist())}, "0 0 0 1"),
    "squashed world": (
        {
            "t.json": json.dumps(
                {"frames": [{"transform_matrix": np.eye(4).tolist()}], "applied_transform": [[0] * 4] * 3}
            ).encode()
        },
        "applied_transform",
    ),
    "colmap zero quaternion": ({"images.txt": b"1 0 0 0 0 0 0 0 1 a.png\n"}, "line 1"),
    "colmap nan": ({"images.txt": IMAGE_LINE + b"\n2 nan 0 0 0 0 0 0 1 b.png\n"}, "line 3"),
    "colmap without camera": ({"images.txt": IMAGE_LINE, "cameras.txt": b"2 PINHOLE 8 8 1 1 4 4\n"}, "camera 1"),
    "colmap focal of zero": ({"images.txt": IMAGE_LINE, "cameras.txt": b"1 PINHOLE 8 8 0 1 4 4\n"}, "intrinsics"),
    "colmap unknown model": (
        {"images.txt": IMAGE_LINE, "cameras.txt": b"1 PINHOLE 8 8 1 1 4 4\n2 X 8 8 1 1 4\n"},
        "line 2",
    ),
    "orthographic": (
        {"c.json": b'{"position": [0,0,0], "target": [0,0,1], "cameraType": "orthographic"}'},
        "orthographic",
    ),
    "viewer without target": ({"c.json": b'{"position": [0,0,0]}'}, "target"),
    "viewer camera is a number": ({"c.json": b'[{"position": [0,0,0], "target": [0,0,1]}, 5]'}, "Camera 2"),
    "viewer quaternion is text": ({"c.json": b'[{"position": [0,0,0], "quaternion": "x"}]'}, "camera 1"),
    "viewer time backwards": (
        {"c.json": json.dumps([{"position": [0] * 3, "target": [0, 0, 1], "time_sec": i} for i in (1, 0)]).encode()},
        "keyframes[1].time_sec",
    ),
    "broken zip": ({"a.zip": b"PK\x03\x04 no more"}, "a.zip"),
    "zip bomb": ({"a.zip": zipped("a.npy", bytes(MAX_FILE_BYTES + 1))}, "64 MiB"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_answered_with_one_message(case: str) -> None:
    files, part = BAD_FILES[case]
    with pytest.raises(InputError) as caught:
        import_path(files)
    assert part in str(caught.value), caught.value
    assert len(str(caught.value)) < 700


def test_files_above_the_limit_are_refused_unread() -> None:
    with pytest.raises(InputError, match="64 MiB"):
        import_path({"a.npy": bytes(MAX_FILE_BYTES), "b": b"x"})


def test_coincident_times_name_the_keyframe() -> None:
    rows = [{"time_sec": time, "position": [0, 0, 0]} for time in (0.0, 1.0, 1.0)]
    with pytest.raises(InputError, match=r"keyframes\[2\].time_sec"):
        import_path({"path.json": as_json(rows).encode()})


def test_ten_thousand_keyframes_pass_and_one_more_does_not() -> None:
    rows = [{"time_sec": index * 0.01, "position": [0.0, 0.0, index * 0.01]} for index in range(10_001)]
    found = import_path({"path.json": as_json(rows[:-1]).encode()})
    assert trajectory_from_json(found.text).num_frames > 1600
    with pytest.raises(InputError, match="keyframes"):
        import_path({"path.json": as_json(rows).encode()})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["frames", "transform_matrix", "applied_transform", "fl_x", "w", "h", "cameras", "position", "target", "state"]
NAMES += [
    "quaternion",
    "fov",
    "zoom",
    "time_sec",
    "easing",
    "world_scale",
    "format",
    "version",
    "keyframes",
    "file_path",
]
FILE_LIKE = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


def refused_or_used(use: Callable[[], object]) -> None:
    """Either it works, or there is one message of ours."""
    try:
        use()
    except InputError as error:
        assert 0 < len(str(error)) < 1000


@settings(max_examples=300, deadline=None)
@given(FILE_LIKE)
def test_any_json_is_used_or_refused_with_one_message(value: Any) -> None:
    refused_or_used(lambda: import_path({"a.json": json.dumps(value).encode()}))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_at_any_place_of_a_path_is_used_or_refused(data: st.DataObject) -> None:
    path = json.loads(as_json([{"time_sec": float(i), "position": [0.0, 0.0, 1.0 * i]} for i in range(3)]))
    target: Any = path
    while True:
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if not isinstance(target[key], (dict, list)) or data.draw(st.booleans()):
            break
        target = target[key]
    target[key] = data.draw(VALUES)
    refused_or_used(lambda: import_path({"a.json": json.dumps(path).encode()}))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{", b"PK\x03\x04", b"{", IMAGE_LINE]),
)
def test_any_bytes_are_used_or_refused_with_one_message(data: bytes, start: bytes) -> None:
    refused_or_used(lambda: import_path({"a.bin": start + data}))
