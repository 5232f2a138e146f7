# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera path editor in ComfyUI's page, used with mouse and keyboard by ``editor.spec.mjs`` in both renderers."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest

from lingbot_core.camera.files import parse_camera_path
from tests.comfy.browser import Browser, our_problems
from tests.comfy.client import Client
from tests.comfy.comfy_host import ComfyServer

pytestmark = pytest.mark.comfy


@pytest.fixture(scope="module")
def session(browser: Browser, vue: bool, comfy_server: ComfyServer, shots: str) -> dict[str, Any]:
    """What came of drawing, flying, running and reloading once, in each of the two renderers."""
    return browser.use(Client(comfy_server), "editor.spec.mjs", shots, vue)


def positions(path: dict[str, Any]) -> np.ndarray:
    return np.array([keyframe["position"] for keyframe in path["keyframes"]])


def test_three_clicks_draw_three_keyframes(session: dict[str, Any]) -> None:
    assert len(session["drawn"]["keyframes"]) == 3
    assert len(parse_camera_path(json.dumps(session["drawn"])).keyframes) == 3


def test_keyframe_dragged_by_its_handle_moves_alone_and_undo_brings_it_back(session: dict[str, Any]) -> None:
    away = np.abs(positions(session["moved"]) - positions(session["drawn"])).max(axis=1)
    assert away[2] > 1e-3 and not away[:2].any()
    assert session["undone"] == session["drawn"]
    assert session["redone"] == session["moved"]


def test_timeline_scrubs_plays_and_inserts(session: dict[str, Any]) -> None:
    assert session["scrubbedSec"] > 0
    assert abs(session["scrubbedFrame"] - session["scrubbedSec"] * 16) <= 0.5
    assert session["playedSec"] != session["scrubbedSec"]
    assert len(session["inserted"]) == 4
    assert len(session["insertUndone"]) == 3


def test_two_seconds_of_flight_go_ahead_at_upstreams_speed(session: dict[str, Any]) -> None:
    flown = session["flown"]["keyframes"]
    before = session["beforeFlight"]
    assert [keyframe["time_sec"] for keyframe in flown[: len(before)]] == before
    start, end = flown[len(before) - 1], flown[-1]
    way = np.linalg.norm(np.subtract(end["position"], start["position"]))
    assert 0.8 * 1.5 <= way <= 0.8 * 3.0, way
    assert np.allclose(end["rotation"], start["rotation"], atol=1e-6)


def test_poses_of_the_run_are_what_the_editor_drew(session: dict[str, Any]) -> None:
    recorded = np.array(session["recorded"])
    assert len(recorded) == len(session["shown"]["positions"])
    np.testing.assert_allclose(recorded[:, :3, 3], session["shown"]["positions"], rtol=0, atol=1e-6)
    x, y, z, w = np.array(session["shown"]["rotations"]).T
    forward = np.stack([2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)], axis=1)
    down = np.stack([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)], axis=1)
    np.testing.assert_allclose(recorded[:, :3, 2], forward, rtol=0, atol=1e-6)
    np.testing.assert_allclose(recorded[:, :3, 1], down, rtol=0, atol=1e-6)


def test_saved_workflow_has_the_same_path_after_reloading(session: dict[str, Any]) -> None:
    assert session["savedValue"] in session["savedWidgets"]
    assert session["loadedValue"] == session["savedValue"]
    assert session["reopenedValue"] == session["savedValue"]
    assert session["apiValue"]["keyframes"] == session["savedValue"]
    assert session["apiValue"]["preset"] == "keyframes"


def test_editor_is_no_part_of_the_workflow_or_the_prompt(session: dict[str, Any]) -> None:
    names = ["preset", "total_blocks", "speed", "easing", "world_scale", "settings", "keyframes"]
    assert len(session["savedWidgets"]) == len(names)
    assert set(session["apiValue"]) == set(names)


def test_node_saved_with_open_editor_keeps_its_size(session: dict[str, Any]) -> None:
    np.testing.assert_allclose(*session["sizes"], atol=2)


@pytest.mark.parametrize("place", ["view", "flying", "timeline", "button"])
def test_keys_pressed_in_the_editor_change_nothing_of_the_host(place: str, session: dict[str, Any]) -> None:
    assert session["hostStates"][place] == "same"


def test_text_that_is_no_path_is_kept_until_it_is_discarded(session: dict[str, Any]) -> None:
    assert session["brokenValue"] == '{"keyframes": ['
    assert "not valid JSON" in session["brokenMessage"]
    assert session["isRestored"]


def test_draw_calls_do_not_grow_with_keyframes(session: dict[str, Any]) -> None:
    assert session["few"]["drawCalls"] == session["many"]["drawCalls"]


def test_editor_is_fast(session: dict[str, Any], record_property: Any) -> None:
    measured = {name: session[name] for name in ("openMs", "warmOpenMs", "few", "many")}
    record_property("measured", json.dumps(measured))
    print(measured)
    limits = {
        "first open on a warm page": (session["warmOpenMs"], 1000),
        "median gap of frames": (session["many"]["medianGapMs"], 17.5),
        "script per frame, p95": (session["many"]["p95CpuMs"], 4),
    }
    slow = {name: f"{value:.1f} ms, limit {limit}" for name, (value, limit) in limits.items() if value > limit}
    if slow and os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"this machine is busy with other work, so times say little: {slow}")
    assert not slow


def test_page_logs_no_error_of_ours(session: dict[str, Any]) -> None:
    assert not our_problems(session)
