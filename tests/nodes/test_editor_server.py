# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the editor asks: drawn equals rendered, presets and flights as keyframes, any request is answered in words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_core.camera.files import parse_camera_path, trajectory_from_json
from lingbot_core.camera.interpolate import quaternion_from_rotation
from lingbot_core.camera.keyboard import KeyEdge, keyboard_trajectory
from lingbot_core.camera.presets import PRESETS, make_preset
from lingbot_core.errors import InputError
from nodes import editor_server
from nodes.recent import RecentRollouts

PATH = json.dumps(
    {
        "format": "lingbot-camera-path",
        "version": 1,
        "keyframes": [{"time_sec": 0, "position": [0, 0, 0]}, {"time_sec": 2, "position": [1, 0, 6], "zoom": 2}],
    }
)
START = {"position": [0, 0, 0], "rotation": [0, 0, 0, 1]}


def sample(**body: Any) -> dict[str, Any]:
    return editor_server.sample(body, RecentRollouts())


def test_sample_is_what_the_node_renders() -> None:
    answer = sample(path=PATH, total_blocks=4, easing="ease-in-out", world_scale=2.5)
    camera = editor_server.keyframe_camera(PATH, 4, "ease-in-out", 2.5)
    assert answer["positions"] == camera.c2w[:, :3, 3].tolist()
    assert answer["rotations"] == [quaternion_from_rotation(pose) for pose in camera.c2w.tolist()]
    assert answer["world_scale"] == 2.5
    assert answer["positions"] != sample(path=PATH, total_blocks=4)["positions"]


def test_sample_without_a_length_ends_with_the_last_keyframe() -> None:
    assert sample(path=PATH)["num_frames"] == 33


def test_sample_warns_of_a_path_beyond_the_end_and_of_speed() -> None:
    far = PATH.replace("6]", "600]")
    beyond, fast = sample(path=far, total_blocks=2)["warnings"]
    assert "total_blocks" in beyond and "too fast" in fast


def test_sample_can_be_sent_as_json() -> None:
    json.dumps(sample(path=PATH), allow_nan=False)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_keyframes_follow_the_preset_at_every_chunk_end(name: str) -> None:
    text = editor_server.preset_path({"preset": name, "total_blocks": 5})["path"]
    keyframes = parse_camera_path(text).keyframes
    assert [keyframe.time_sec for keyframe in keyframes] == [0, 0.5, 1.25, 2.0, 2.75, 3.5]
    path, preset = trajectory_from_json(text), make_preset(name, 5)
    assert path.num_chunks == 5 and path.world_scale == preset.world_scale
    ends = [0, 8, 20, 32, 44, 56]
    torch.testing.assert_close(path.c2w[ends], preset.c2w[ends], atol=1e-9, rtol=0)


def test_preset_list_describes_all_parameters() -> None:
    listed = {preset["name"]: preset for preset in editor_server.presets()}
    assert list(listed) == list(PRESETS)
    orbit = {parameter["name"]: parameter for parameter in listed["orbit-left"]["parameters"]}
    assert orbit["radius"]["minimum"] < orbit["radius"]["default"] < orbit["radius"]["maximum"]


def test_flight_is_the_keyboard_path() -> None:
    keys = [(0.0, "w", True), (0.3, "d", True), (1.1, "d", False), (1.6, "i", True), (2.4, "w", False)]
    edges = [{"time_sec": time, "key": key, "is_down": down} for time, key, down in keys]
    keyframes = editor_server.fly({"start": START, "edges": edges, "num_chunks": 4})["keyframes"]
    truth = keyboard_trajectory([KeyEdge(*key) for key in keys], 4)
    # a keyboard frame shows the camera at its end: the pose after 2 seconds is frame 31
    for keyframe in keyframes[1:]:
        pose = truth.c2w[round(keyframe["time_sec"] * 16) - 1]
        assert keyframe["position"] == pytest.approx(pose[:3, 3].tolist(), abs=1e-12)
        assert keyframe["rotation"] == pytest.approx(list(quaternion_from_rotation(pose.tolist())), abs=1e-12)


def test_flight_without_a_length_ends_after_the_last_edge() -> None:
    edges = [{"time_sec": 0.0, "key": "w", "is_down": True}, {"time_sec": 1.3, "key": "w", "is_down": False}]
    keyframes = editor_server.fly({"start": START, "edges": edges})["keyframes"]
    assert [keyframe["time_sec"] for keyframe in keyframes] == [0, 0.5, 1.25, 2.0]
    assert keyframes[-1]["position"] == pytest.approx([0, 0, 0.8 * 1.3])


@pytest.mark.parametrize("start_sec", [0.5, 0.7, 1.25, 100.0])
def test_flight_that_starts_later_has_keyframes_at_the_paths_chunk_ends(start_sec: float) -> None:
    edges = [{"time_sec": 0.0, "key": "w", "is_down": True}]
    body = {"start": START, "edges": edges, "num_chunks": 3, "start_sec": start_sec}
    first, *later = editor_server.fly(body)["keyframes"]
    assert first["time_sec"] == start_sec and len(later) == 3
    for keyframe in later:
        assert ((keyframe["time_sec"] - 0.5) / 0.75).is_integer()
        assert keyframe["time_sec"] > start_sec
        assert keyframe["position"][2] == pytest.approx(0.8 * (keyframe["time_sec"] - start_sec))


def test_flight_starts_where_it_is_told() -> None:
    half = math.sqrt(0.5)
    edges = [{"time_sec": 0.0, "key": "w", "is_down": True}]
    start = {"position": [1, 2, 3], "rotation": [0, half, 0, half]}  # looks along +x
    last = editor_server.fly({"start": start, "edges": edges, "num_chunks": 1})["keyframes"][-1]
    assert last["position"] == pytest.approx([1.4, 2, 3])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(PATH),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
NAMES = ("path", "total_blocks", "easing", "world_scale", "preset", "options", "start", "edges", "num_chunks", "format")


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES), st.sampled_from(["sample", "preset_path", "fly", "export_path"])
)
def test_any_request_is_answered_or_refused_with_one_message(body: dict[str, Any], name: str) -> None:
    body = {"preset": "static", "edges": [], "path": PATH, **body}
    try:
        sample(**body) if name == "sample" else getattr(editor_server, name)(body)
    except InputError as error:
        assert 0 < len(str(error)) < 1000
