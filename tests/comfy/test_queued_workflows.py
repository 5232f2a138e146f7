# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Every graph of ``workflows/api`` through ``lingbot-world queue``, to its files; only sizes and weights change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest

from lingbot_core.cli import main
from lingbot_core.timeline import num_pixel_frames
from tests.comfy.client import Client
from tests.comfy.comfy_host import ComfyServer
from tests.comfy.graphs import HEIGHT, WIDTH
from tools.build_workflows import FOLDER

pytestmark = pytest.mark.comfy

FILES = sorted((FOLDER / "api").glob("*.json"))

MAY_BE_LACKING = {"CreateCameraInfo"}
"""Core nodes that not every ComfyUI we support has."""

FULL_SIZE_ONLY = {"CLIPLoader", "CLIPTextEncode"}
"""Core's wan text encoder exists at full size only; a node of the tests gives what it gives."""

TOTAL_BLOCKS = 2


def read_graph(path: Path) -> dict[str, Any]:
    """A graph without the nodes that need the full-size text encoder."""
    graph = json.loads(path.read_text("utf-8"))
    for node_id, node in list(graph.items()):
        if node["class_type"] == "CLIPLoader":
            del graph[node_id]
        elif node["class_type"] == "CLIPTextEncode":
            graph[node_id] = {
                "class_type": "LingBotTestConditioning",
                "inputs": {"num_tokens": 9, "width": 4096, "seed": 1},
            }
    return graph


def overrides(graph: dict[str, Any], checkpoint: str, seed: int) -> list[str]:
    """Options that make a graph small."""
    changes: list[str] = []
    for node_id, node in graph.items():
        if node["class_type"] == "LingBotWorldLoader":
            changes += [f"{node_id}.checkpoint_root={checkpoint}"]
        elif node["class_type"] == "LingBotStreamingSampler":
            values = {"height": HEIGHT, "width": WIDTH, "total_blocks": TOTAL_BLOCKS, "seed": seed}
            changes += [f"{node_id}.{name}={value}" for name, value in values.items()]
    return [part for change in changes for part in ("--set", change)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_workflow_when_queued_writes_its_video(
    path: Path,
    comfy_server: ComfyServer,
    checkpoint: str,
    seed: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = read_graph(path)
    lacking = {node["class_type"] for node in graph.values()} - set(Client(comfy_server).get("/object_info"))
    assert lacking <= MAY_BE_LACKING
    if lacking:
        version = ".".join(map(str, comfy_server.host.version))
        pytest.skip(f"{path.stem} is left out: ComfyUI {version} has no {', '.join(lacking)}")
    file = tmp_path / path.name
    file.write_text(json.dumps(graph), encoding="utf-8")
    outputs = tmp_path / "outputs"
    options = ["--server", comfy_server.url, "--output-dir", str(outputs)]
    code = main(["queue", str(file), *options, *overrides(graph, checkpoint, seed)])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    written = [Path(line) for line in printed.out.splitlines()]
    assert set(written) == {each for each in outputs.rglob("*") if each.is_file()}
    videos = [each for each in written if each.suffix == ".mp4"]
    assert len(videos) == 1
    check_video(videos[0])
    check_files(graph, written, videos[0])


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("LingBotStreamingSampler.total_blocks=0", "ComfyUI accepts only a part of the graph, so the run was stopped."),
        ("LingBotStreamingSampler.total_block=2", "Did you mean total_blocks?"),
    ],
)
def test_workflow_when_an_input_is_wrong_is_not_run(
    option: str, reason: str, comfy_server: ComfyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = FOLDER / "api" / "extend-and-redirect.json"  # the branch of its camera preview has no fault
    options = ["--server", comfy_server.url, "--output-dir", str(tmp_path / "outputs"), "--set", option]
    assert main(["queue", str(file), *options]) == 2
    error = capsys.readouterr().err
    assert reason in error and "LingBotStreamingSampler (5)" in error and "total_blocks" in error
    assert not (tmp_path / "outputs").exists()


def check_video(path: Path) -> None:
    """Size, rate and number of frames."""
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert (stream.height, stream.width, stream.average_rate) == (HEIGHT, WIDTH, 16)
        assert sum(1 for _ in video.decode(stream)) == num_pixel_frames(TOTAL_BLOCKS)


def check_files(graph: dict[str, Any], written: list[Path], video: Path) -> None:
    """Names, and the stats of every chunk."""
    slugs = [node["inputs"]["variant"] for node in graph.values() if node["class_type"] == "LingBotWorldLoader"]
    if all(node["class_type"] != "LingBotSaveRollout" for node in graph.values()):
        assert written == [video]
        return
    assert video.stem.startswith(slugs[0])
    stats = next(each for each in written if each.suffix == ".json")
    assert stats.name == f"stats_{video.stem}.json"
    entries = json.loads(stats.read_text("utf-8"))
    assert [entry["autoregressive_index"] for entry in entries] == list(range(TOTAL_BLOCKS))
