# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Presets, files, computed chunks, full screen, mouse look and gamepad of the camera path editor, in ComfyUI's page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lingbot_core.camera.files import load_pose_files
from lingbot_core.camera.presets import make_preset
from tests.comfy.browser import Browser, our_problems
from tests.comfy.client import Client, Graph
from tests.comfy.comfy_host import ComfyServer
from tests.comfy.conftest import SEEDS
from tests.comfy.graphs import CAMERA, MODEL, SAMPLER, TEXT, keyframe_camera, node, video_graph

pytestmark = pytest.mark.comfy

PRESET = {"name": "orbit-left", "options": {"radius": 20}}
NUM_CHUNKS = 8
"""Of the graph in the page."""


def two_chunk_graph(checkpoint: str, world_scale: float) -> Graph:
    """A graph that computes two chunks of an eight-chunk path, with another text from the second on."""
    graph = video_graph(checkpoint, next(SEEDS), 2, camera=keyframe_camera(1.0))
    graph[CAMERA]["inputs"]["world_scale"] = world_scale
    graph["20"] = node("LingBotTextEncode", model=(MODEL, 0), prompt="Snow falls.")
    graph["21"] = node("LingBotTextEvents", conditioning=(TEXT, 0), event=("20", 0), chunk=1)
    graph[SAMPLER]["inputs"]["conditioning"] = ["21", 0]
    return graph


@pytest.fixture(scope="module")
def session(
    browser: Browser,
    vue: bool,
    comfy_server: ComfyServer,
    checkpoint: str,
    shots: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What came of using the editor once, in each of the two renderers."""
    example = comfy_server.base.input / "lingbot_world" / "00"
    return browser.use(
        Client(comfy_server),
        "editor_features.spec.mjs",
        shots,
        vue,
        preset=PRESET,
        example=[str(example / name) for name in ("poses.npy", "intrinsics.npy")],
        downloads=str(tmp_path_factory.mktemp("downloads")),
        graph=two_chunk_graph(checkpoint, 2.0 if vue else 1.5),  # a path that no other run has
    )


def yaw_deg(keyframe: dict[str, Any]) -> float:
    """How far a level camera is turned to the right."""
    _, y, _, w = keyframe["rotation"]
    return math.degrees(2 * math.atan2(y, w))


def way(flight: dict[str, Any]) -> np.ndarray:
    """From the first to the last keyframe of a flight."""
    return np.subtract(flight["flown"]["keyframes"][-1]["position"], flight["flown"]["keyframes"][0]["position"])


def test_preset_with_a_changed_parameter_becomes_keyframes(session: dict[str, Any]) -> None:
    keyframes = session["preset"]["keyframes"]
    camera = make_preset(PRESET["name"], NUM_CHUNKS, None, **PRESET["options"])
    frames = [round(keyframe["time_sec"] * 16) for keyframe in keyframes]
    assert frames == [0, *range(8, 8 + 12 * NUM_CHUNKS, 12)]
    expected = camera.c2w[frames, :3, 3].numpy()
    np.testing.assert_allclose([keyframe["position"] for keyframe in keyframes], expected, atol=1e-6)


def test_opened_pose_files_are_the_path(session: dict[str, Any], comfy_server: ComfyServer) -> None:
    folder = comfy_server.base.input / "lingbot_world" / "00"
    camera = load_pose_files(folder / "poses.npy", folder / "intrinsics.npy")
    found = np.array(session["importedSample"]["positions"])
    poses = camera.c2w[: len(found)].numpy()
    from_first = np.linalg.inv(poses[0]) @ poses
    away = np.linalg.norm(found - from_first[:, :3, 3], axis=1)[::4]  # one of four frames is told to the model
    assert away.max() / camera.world_scale < 0.05  # smooth between fewer keyframes
    assert "keyframes follow the" in session["importWords"]


@pytest.mark.parametrize("format", ["json", "npy", "colmap", "nerfstudio", "viewer"])
def test_saved_file_opened_again_is_the_same_path(format: str, session: dict[str, Any]) -> None:
    again, first = session["again"][format], session["importedSample"]
    assert len(again["positions"]) == len(first["positions"])
    np.testing.assert_allclose(again["positions"], first["positions"], rtol=0, atol=1e-6)
    alike = np.abs(np.sum(np.multiply(again["rotations"], first["rotations"]), axis=1))  # q and -q are one turn
    np.testing.assert_allclose(alike, 1, rtol=0, atol=1e-9)
    lens_tolerance = 1e-3 if format == "viewer" else 1e-6  # a viewer knows only one angle
    np.testing.assert_allclose(again["intrinsics"], first["intrinsics"], rtol=lens_tolerance)


def test_pasted_json_is_the_path(session: dict[str, Any]) -> None:
    found = [(keyframe["time_sec"], keyframe["position"]) for keyframe in session["pasted"]["keyframes"]]
    assert found == [(0, [0, 0, 0]), (1.25, [0.5, -0.25, 1])]


def test_full_screen_fills_the_page_and_escape_leaves_it(session: dict[str, Any], record_property: Any) -> None:
    full = session["full"]
    record_property("full_screen_median_gap_ms", full["medianGapMs"])
    print(f"full screen: median gap of frames {full['medianGapMs']:.1f} ms")
    assert "lbw-editor" in full["element"]
    assert min(full["grown"]) > 1.5
    assert full["after"] == "" and full["isOpen"]


def test_mouse_turns_a_flight_and_one_undo_takes_it_back(session: dict[str, Any]) -> None:
    flight = session["look"]
    last = flight["flown"]["keyframes"][-1]
    assert abs(yaw_deg(last) - 30) < 0.5  # 200 pixels
    x, y, z = way(flight)
    assert abs(math.degrees(math.atan2(x, z)) - 30) < 1 and abs(y) < 1e-6
    assert 0.1 < math.hypot(x, z) < 1.6  # a slow machine flies less
    assert flight["numUndone"] == 1


def test_gamepad_flies_and_turns(session: dict[str, Any]) -> None:
    flight = session["pad"]
    x, y, z = way(flight)
    assert z > 0.2 and x > 0 and abs(y) < 1e-6
    assert 10 < yaw_deg(flight["flown"]["keyframes"][-1]) < 60
    assert flight["numUndone"] == 1


def test_computed_chunks_and_texts_are_shown_when_the_run_has_ended(session: dict[str, Any]) -> None:
    computed = session["computed"]
    assert computed["before"]["known"] == 0
    assert computed["after"]["known"] == 2
    assert "2 of 8 chunks computed" in computed["after"]["words"]
    assert [(event["chunk"], event["label"]) for event in computed["after"]["texts"]] == [
        (0, "A quiet lake."),
        (1, "Snow falls."),
    ]


def test_edit_after_the_computed_chunks_keeps_them_and_one_before_drops_them(session: dict[str, Any]) -> None:
    assert session["computed"]["late"]["known"] == 2
    assert session["computed"]["early"]["known"] == 0
    assert "none computed" in session["computed"]["early"]["words"]


def test_page_logs_no_error_of_ours(session: dict[str, Any]) -> None:
    assert not our_problems(session)
