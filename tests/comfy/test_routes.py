# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The editor's routes on a real server."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.comfy.client import Client
from tests.comfy.comfy_host import ROOT, ComfyServer
from tests.comfy.graphs import CAMERA, Graph, node, video_graph

pytestmark = pytest.mark.comfy

PATH = json.dumps(
    {
        "format": "lingbot-camera-path",
        "version": 1,
        "keyframes": [
            {"time_sec": 0.0, "position": [0.0, 0.0, 0.0]},
            {"time_sec": 2.0, "position": [0.5, 0.0, 2.0], "rotation": [0.0, 0.2, 0.0, 0.9797958971]},
        ],
    }
)


class Routes:
    """Sends requests to the editor's routes."""

    def __init__(self, server: ComfyServer) -> None:
        self._url = f"{server.url}/lingbot_world/camera"

    def post(self, name: str, body: Any = None, **options: Any) -> tuple[int, Any, bytes]:
        """Status, headers and body of the answer to a POST request."""
        if body is not None:
            options["json"] = body
        return asyncio.run(self._request("POST", name, **options))

    def ask(self, name: str, body: Any) -> Any:
        """JSON of the answer."""
        status, _, data = self.post(name, body)
        assert status == 200, data
        return json.loads(data)

    def error(self, name: str, body: Any = None, **options: Any) -> str:
        """Message of a refusal."""
        status, _, data = self.post(name, body, **options)
        assert status == 400, (status, data[:500])
        answer = json.loads(data)
        assert list(answer) == ["error"] and "Traceback" not in answer["error"]
        return answer["error"]

    def upload(self, files: dict[str, bytes], **fields: str) -> dict[str, Any]:
        """JSON of the answer to an import."""
        status, _, data = self.post("import", data=form(files, **fields))
        assert status == 200, data
        return json.loads(data)

    async def _request(self, method: str, name: str, **options: Any) -> tuple[int, Any, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self._url}/{name}", **options) as response,
        ):
            return response.status, response.headers, await response.read()


def form(files: dict[str, bytes], **fields: str) -> aiohttp.FormData:
    """A form as the browser sends it."""
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    for name, contents in files.items():
        data.add_field("files", contents, filename=name)
    return data


@pytest.fixture
def routes(comfy_server: ComfyServer) -> Routes:
    return Routes(comfy_server)


def example_files() -> dict[str, bytes]:
    folder = ROOT / "tests" / "data" / "example_00"
    return {name: (folder / name).read_bytes() for name in ("poses.npy", "intrinsics.npy")}


def test_routes_answer_below_api_too(client: Client) -> None:
    names = [preset["name"] for preset in client.get("/lingbot_world/camera/presets")]
    assert "walk-forward" in names and len(names) == len(set(names))
    assert client.get("/api/lingbot_world/camera/presets") == client.get("/lingbot_world/camera/presets")


def test_sample_gives_every_frame(routes: Routes) -> None:
    answer = routes.ask("sample", {"path": PATH, "total_blocks": 3})
    assert (answer["num_frames"], answer["num_chunks"], answer["fps"]) == (33, 3, 16)
    assert len(answer["positions"]) == len(answer["rotations"]) == 33
    assert answer["positions"][32] == pytest.approx([0.5, 0.0, 2.0])
    assert answer["rotations"][32] == pytest.approx([0.0, 0.2, 0.0, 0.9797958971])
    assert [chunk["first_frame"] for chunk in answer["chunks"]] == [0, 9, 21]


def test_preset_becomes_keyframes_that_can_be_sampled(routes: Routes) -> None:
    path = routes.ask("preset", {"preset": "pan-left", "total_blocks": 4, "options": {"speed": 20}})["path"]
    assert len(json.loads(path)["keyframes"]) == 5
    assert routes.ask("sample", {"path": path, "total_blocks": 0})["num_chunks"] == 4


def test_fly_gives_the_pose_at_every_chunk_end(routes: Routes) -> None:
    edges = [
        {"time_sec": 0.0, "key": "w", "is_down": True},
        {"time_sec": 2.0, "key": "w", "is_down": False},
    ]
    start = {"position": [1, 0, 0], "rotation": [0, 0, 0, 1]}
    keyframes = routes.ask("fly", {"start": start, "edges": edges, "num_chunks": 3})["keyframes"]
    assert [keyframe["time_sec"] for keyframe in keyframes] == [0, 0.5, 1.25, 2.0]
    assert keyframes[-1]["position"] == pytest.approx([1, 0, 1.6])


def test_import_and_export_round_trip(routes: Routes) -> None:
    imported = routes.upload(example_files(), exact="1")
    assert imported["format"] == "npy"
    expected = routes.ask("sample", {"path": imported["path"], "total_blocks": 5})
    for format in ("json", "npy", "colmap", "nerfstudio", "viewer"):
        status, headers, data = routes.post("export", {"path": imported["path"], "total_blocks": 5, "format": format})
        assert status == 200, data
        assert headers["Content-Disposition"].startswith("attachment")
        if data.startswith(b"PK"):
            assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
        again = routes.upload({"file": data}, exact="1")
        assert again["format"] == format
        found = routes.ask("sample", {"path": again["path"], "total_blocks": 5})
        for name in ("positions", "rotations"):
            assert found[name][40] == pytest.approx(expected[name][40], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "body", "part"),
    [
        ("sample", {"path": "{}"}, "format"),
        ("sample", {"path": {"format": 1}}, "JSON string"),
        ("sample", {"path": "{'format': 1}"}, "JSON string"),
        ("sample", {"path": PATH, "total_blocks": -1}, "total_blocks"),
        ("sample", {"path": PATH.replace("2.0]", "NaN]")}, "keyframes[1].position"),
        ("sample", [], "JSON object"),
        ("preset", {"preset": "nope", "total_blocks": 3}, "nope"),
        ("preset", {"preset": "static", "total_blocks": 10**9}, "total_blocks"),
        ("preset", {"preset": "static", "total_blocks": 3, "options": {"easing": []}}, "easing"),
        ("fly", {"edges": [{"time_sec": "x", "key": "w", "is_down": True}]}, "edges[0].time_sec"),
        ("fly", {"edges": [], "start": {"rotation": [0, 0, 0, 0]}}, "start.rotation"),
        ("export", {"path": PATH, "format": "../../etc/passwd"}, "format"),
        ("import", {"files": "/etc/passwd"}, "multipart"),
    ],
)
def test_bad_request_is_answered_with_one_message(name: str, body: Any, part: str, routes: Routes) -> None:
    assert part in routes.error(name, body)


def test_body_that_is_not_json_is_refused(routes: Routes) -> None:
    assert "JSON" in routes.error("sample", data=b"\xff\x00")
    assert "JSON" in routes.error("sample", data=b"[" * 100_000)


def test_file_names_from_the_client_are_never_opened(routes: Routes, comfy_server: ComfyServer) -> None:
    secret = comfy_server.base.folder / "secret.json"
    secret.write_text(PATH)
    for name in (str(secret), "../../secret.json", "file:///etc/passwd"):
        assert "no camera path" in routes.error("import", data=form({name: b"nothing here"}))


def test_upload_above_the_limit_is_refused(routes: Routes) -> None:
    assert "64 MiB" in routes.error("import", data=form({"poses.npy": bytes(65 << 20)}))


def test_slow_request_does_not_hold_up_the_server(comfy_server: ComfyServer) -> None:
    rows = [{"time_sec": i * 0.3, "position": [float(i % 7), 0.0, float(i)]} for i in range(10_000)]
    body = {"path": json.dumps({"format": "lingbot-camera-path", "version": 1, "keyframes": rows}), "total_blocks": 0}

    async def ask() -> tuple[int, list[float], float]:
        async with aiohttp.ClientSession(comfy_server.url) as session:
            begin = time.monotonic()
            slow = asyncio.ensure_future(session.post("/lingbot_world/camera/sample", json=body))
            waits = []
            while not slow.done():
                start = time.monotonic()
                async with session.get("/lingbot_world/camera/presets/none"):
                    waits.append(time.monotonic() - start)
                await asyncio.sleep(0.01)
            response = await slow
            await response.read()
            return response.status, waits, time.monotonic() - begin

    status, waits, total_sec = asyncio.run(ask())
    assert status == 200
    assert len(waits) > 10 and max(waits) < total_sec / 2, (len(waits), max(waits), total_sec)


def test_chunks_that_were_computed_are_known_until_the_path_bends(
    routes: Routes, client: Client, checkpoint: str, seed: int
) -> None:
    graph: Graph = video_graph(checkpoint, seed, 2)
    graph[CAMERA] = node("LingBotCameraTrajectory", preset="keyframes", total_blocks=3, keyframes=PATH)
    assert client.run(graph).end == "execution_success"
    answer = routes.ask("sample", {"path": PATH, "total_blocks": 3})
    assert answer["known_chunks"] == 2
    assert [event["chunk"] for event in answer["text_events"]] == [0]
    assert all(event["label"] for event in answer["text_events"])
    other = json.loads(PATH)
    other["keyframes"].append({"time_sec": 4.0, "position": [0.0, 1.0, 3.0]})
    assert routes.ask("sample", {"path": json.dumps(other), "total_blocks": 3})["known_chunks"] == 0


def test_pack_leaves_nothing_in_the_log(routes: Routes, comfy_server: ComfyServer) -> None:
    mark = len(comfy_server.log)
    routes.error("sample", {"path": "{}"})
    assert "Traceback" not in comfy_server.log[mark:]
    assert Path(comfy_server.log_path).is_file()
