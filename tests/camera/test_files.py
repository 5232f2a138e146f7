# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Pose files and camera-path JSON: what is read, and one clear error for all that is not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_core.camera import files
from lingbot_core.camera.files import (
    CameraPathJson,
    camera_path_schema,
    load_pose_files,
    parse_camera_path,
    trajectory_from_json,
    trajectory_from_poses,
)
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE
from lingbot_core.errors import InputError
from tests.camera.test_poses import curved_path

ROOT = Path(__file__).parent.parent.parent


def save(path: Path, array: Any) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


def path_json(**changes: Any) -> str:
    """A path of two keyframes, with changes."""
    value: dict[str, Any] = {
        "format": "lingbot-camera-path",
        "version": 1,
        "keyframes": [
            {"time_sec": 0, "position": [0, 0, 0]},
            {"time_sec": 1.5, "position": [0, -1, 4.5], "rotation": [0, 0.6, 0, 0.8], "zoom": 1.25},
        ],
    }
    return json.dumps(value | changes)


def with_keyframe(**changes: Any) -> str:
    """A path whose second keyframe is changed."""
    value = json.loads(path_json())
    value["keyframes"][1] |= changes
    return json.dumps(value)


def test_load_pose_files_resamples_to_whole_chunks(tmp_path: Path) -> None:
    poses = save(tmp_path / "poses.npy", curved_path(31).numpy().astype(np.float32))
    intrinsics = np.arange(31 * 4, dtype=np.float32).reshape(31, 4) + 100
    camera = load_pose_files(poses, save(tmp_path / "intrinsics.npy", intrinsics))
    assert camera.num_chunks == 2  # 8 latent frames, rounded down to 6
    assert camera.num_frames == 21
    torch.testing.assert_close(camera.c2w[-1], curved_path(31)[28], atol=1e-6, rtol=0)  # the whole span is kept
    assert torch.equal(camera.c2w[1], camera.c2w[4])
    assert torch.equal(camera.intrinsics, torch.from_numpy(intrinsics[:21]).double())
    steps = camera.c2w[4::4, :3, 3] - camera.c2w[:-4:4, :3, 3]
    assert camera.world_scale == steps.norm(dim=1).max().item()
    assert camera.name == str(poses)


@pytest.mark.parametrize("shape", [(4,), (1, 4)])
def test_load_pose_files_with_one_row_of_intrinsics_uses_it_throughout(tmp_path: Path, shape: tuple[int, ...]) -> None:
    poses = save(tmp_path / "poses.npy", curved_path(9).numpy())
    row = np.array([400, 401, 410, 230])
    camera = load_pose_files(str(poses), str(save(tmp_path / "intrinsics.npy", row.reshape(shape))))
    assert camera.intrinsics.tolist() == [row.tolist()] * 9


def test_load_pose_files_without_intrinsics_uses_the_default(tmp_path: Path) -> None:
    camera = load_pose_files(save(tmp_path / "poses.npy", curved_path(9).numpy()))
    assert camera.intrinsics[0].tolist() == [502.9, 503.1, 415.8, 239.8]


@pytest.mark.parametrize("num_poses", [0, 1, 5, 8])
def test_poses_too_few_for_one_chunk_say_how_many_are_needed(num_poses: int) -> None:
    with pytest.raises(InputError, match=f"{num_poses} poses.*at least 9.*Add {9 - num_poses} poses"):
        trajectory_from_poses(curved_path(num_poses).reshape(-1, 4, 4))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.array([{"a": 1}], dtype=object), "cannot be read.*without pickled objects"),
        (np.array(["text"] * 9), "holds no numbers.*<U4"),
        (np.zeros((9, 4, 4), complex), "holds no numbers.*complex128"),
        (np.zeros((9, 3, 4)), r"wrong shape.*\[9, 3, 4\]"),
        (np.full((9, 4, 4), np.nan), "pose 0 .*not finite"),
        (np.ones((9, 4, 4)), "pose 0 "),
        (np.tile(np.eye(4), (8, 1, 1)), "8 poses.*at least 9"),
    ],
)
def test_load_pose_files_when_poses_cannot_be_used_says_why(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_pose_files(save(tmp_path / "poses.npy", content))


@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken"])
def test_load_pose_files_when_the_file_is_no_npy_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "poses.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"poses\.npy cannot be read"):
        load_pose_files(path)


@pytest.mark.parametrize("num_poses", [b"10", b"9000000000000", b"9" * 30])
def test_load_pose_files_when_the_header_promises_more_says_so(tmp_path: Path, num_poses: bytes) -> None:
    path = save(tmp_path / "poses.npy", curved_path(9).numpy())
    whole = path.read_bytes()
    header = whole[:128].replace(b"(9,", b"(" + num_poses + b",")
    path.write_bytes(header.replace(b" " * (len(header) - 128), b"", 1) + whole[128:])
    with pytest.raises(InputError, match=r"poses\.npy cannot be read"):
        load_pose_files(path)


def test_load_pose_files_when_it_is_cut_off_an_archive_missing_or_a_folder_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "poses.npy", curved_path(9).numpy())
    path.write_bytes(path.read_bytes()[:-8])
    np.savez(tmp_path / "poses.npz", curved_path(9).numpy())
    for unreadable in (path, tmp_path / "poses.npz", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_pose_files(unreadable)
    with pytest.raises(InputError, match="does not exist"):
        load_pose_files(tmp_path / "nowhere.npy")


def test_load_pose_files_when_too_large_refuses_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "poses.npy", curved_path(9).numpy())
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="too large.*at most 100"):
        load_pose_files(path)


def test_load_pose_files_when_the_intrinsics_do_not_fit_names_both(tmp_path: Path) -> None:
    poses = save(tmp_path / "poses.npy", curved_path(9).numpy())
    with pytest.raises(InputError, match=r"\[8, 4\] for 9 poses"):
        load_pose_files(poses, save(tmp_path / "intrinsics.npy", np.ones((8, 4))))


def test_trajectory_from_json_is_the_path_through_its_keyframes() -> None:
    text = path_json(name="walk", easing="ease-in", world_scale=2.0, intrinsics=[400, 401, 410, 230])
    camera = trajectory_from_json(text)
    keyframes = [Keyframe(0, (0, 0, 0)), Keyframe(1.5, (0, -1, 4.5), (0, 0.6, 0, 0.8), 1.25)]
    expected = keyframe_trajectory(keyframes, easing="ease-in", intrinsics=(400, 401, 410, 230))
    assert torch.equal(camera.c2w, expected.c2w)
    assert torch.equal(camera.intrinsics, expected.intrinsics)
    assert (camera.name, camera.source, camera.world_scale) == ("walk", text, 2.0)
    assert camera.num_chunks == 3
    assert trajectory_from_json(text, 7).num_chunks == 7


def test_trajectory_from_json_fills_in_defaults() -> None:
    camera = trajectory_from_json(path_json())
    assert camera.world_scale == DEFAULT_WORLD_SCALE
    assert camera.intrinsics[0].tolist() == [502.9, 503.1, 415.8, 239.8]


def test_json_written_by_the_model_is_read_back_the_same() -> None:
    path = parse_camera_path(path_json())
    assert parse_camera_path(path.model_dump_json()) == path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("null", "The camera path: .*object"),
        ("{'format': 'lingbot-camera-path'}", "Send the path as a JSON string"),
        ("{}", "^format: Field required"),
        (path_json(format="colmap"), "^format: .*'colmap'"),
        (path_json(version=2), "^version: .*newer version"),
        (path_json(version="1"), "^version: "),
        (path_json(speed=3), "^speed: Extra"),
        (path_json(easing="bounce"), "^easing: .*'bounce'"),
        (path_json(world_scale=0), "^world_scale: "),
        (path_json(world_scale=1e-7), "^world_scale: "),
        (path_json(intrinsics=[0, 1, 2, 3]), r"^intrinsics\[0\]: "),
        (path_json(keyframes=[]), "^keyframes: .*at least 1"),
        (path_json(keyframes=[1]), r"^keyframes\[0\]: "),
        (with_keyframe(position=[0, 0]), r"^keyframes\[1\].position\[2\]: "),
        (with_keyframe(position=[0, math.nan, 0]), r"^keyframes\[1\].position\[1\]: .*finite"),
        (with_keyframe(position=[0, 0, "4"]), r"^keyframes\[1\].position\[2\]: "),
        (with_keyframe(position=[0, 0, 1e30]), r"^keyframes\[1\].position\[2\]: "),
        (with_keyframe(rotation=[0, 0, 0, 0]), r"^keyframes\[1\].rotation: .*unit quaternion.*length 0"),
        (with_keyframe(time_sec=0), r"^keyframes\[1\].time_sec: "),
        (with_keyframe(time_sec=-1), r"^keyframes\[1\].time_sec: "),
        (with_keyframe(time_sec=1e9), r"^keyframes\[1\].time_sec: "),
        (with_keyframe(zoom=0), r"^keyframes\[1\].zoom: "),
    ],
)
def test_json_when_it_is_wrong_names_the_place(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        trajectory_from_json(text)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_json_at_any_scale_gives_finite_cameras(scale: float) -> None:
    camera = trajectory_from_json(with_keyframe(position=[0, -scale, 3 * scale]))
    for index in range(camera.num_chunks):
        assert camera.chunk(index, 464, 832).relative_poses.isfinite().all()


def test_json_with_the_most_keyframes_is_sampled_and_with_more_is_refused() -> None:
    keyframes = [{"time_sec": index / 1000, "position": [0, 0, index]} for index in range(10_001)]
    assert trajectory_from_json(path_json(keyframes=keyframes[:-1])).num_chunks == 14
    with pytest.raises(InputError, match="^keyframes: .*10000"):
        trajectory_from_json(path_json(keyframes=keyframes))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYFRAMES = st.fixed_dictionaries(
    {
        "time_sec": JSON_VALUES | st.floats(0, 20),
        "position": JSON_VALUES | st.lists(st.floats(), min_size=3, max_size=3),
    },
    optional={"rotation": JSON_VALUES | st.lists(st.floats(-1, 1), min_size=4, max_size=4), "zoom": JSON_VALUES},
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"format": st.just("lingbot-camera-path"), "version": st.just(1), "keyframes": st.lists(KEYFRAMES, max_size=4)},
        optional={"world_scale": JSON_VALUES, "intrinsics": JSON_VALUES, "name": JSON_VALUES, "easing": JSON_VALUES},
    )
    | JSON_VALUES
)
def test_any_json_is_either_a_finite_path_or_one_clear_error(value: Any) -> None:
    try:
        camera = trajectory_from_json(json.dumps(value))
    except InputError as error:
        assert len(str(error)) < 500
        return
    assert camera.c2w.isfinite().all()
    assert camera.chunk(0, 464, 832).relative_poses.isfinite().all()


def test_published_schema_is_that_of_the_code() -> None:
    """Rewrite assets/camera_path.schema.json with ``camera_path_schema()`` when the format changes."""
    published = json.loads((ROOT / "assets" / "camera_path.schema.json").read_text("utf-8"))
    assert published == camera_path_schema()
    assert set(published["properties"]) == set(CameraPathJson.model_fields)
