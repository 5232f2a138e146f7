# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs, as two ranks on the CPU: processes that outlive runs, and what a user sees when one fails."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lingbot_core.executor.processes import ProcessId
from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import ComfyBase, ComfyHost, ComfyServer
from tests.comfy.graphs import HEIGHT, MODEL, WIDTH, node, video_graph
from tools.build_workflows import FOLDER

pytestmark = [
    pytest.mark.comfy,
    pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux"),
]

OTHER_WORKFLOW = {
    "1": node("EmptyImage", width=32, height=32, batch_size=1, color=0),
    "2": node("PreviewImage", images=("1", 0)),
}

LOADER, CAMERA, SAMPLER = "1", "4", "5"
"""Nodes of the workflow that is extended and redirected."""

NUM_CHUNKS = 21
"""Of the extended video."""


def torchvision_first(folder: Path) -> Path:
    """A folder for ``PYTHONPATH`` that has torchvision imported before anything looks for it.

    ComfyUI does so by itself, its workers do not. What makes a CUDA build of torchvision importable beside
    a CPU build of torch, where ComfyUI is tested without a GPU, works in that order only.
    """
    folder.mkdir()
    lines = ["import contextlib", "with contextlib.suppress(Exception):", "    import torchvision"]
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def server(comfy_host: ComfyHost, tmp_path_factory: pytest.TempPathFactory):
    """A server of its own: it is killed in the end."""
    folder = tmp_path_factory.mktemp("comfy_processes")
    environment = {"PYTHONPATH": str(torchvision_first(folder / "python"))}
    server = ComfyServer(comfy_host, ComfyBase(folder / "base"), environment=environment)
    yield server
    server.kill()


@pytest.fixture
def client(server: ComfyServer) -> Client:
    return Client(server)


def extend_and_redirect(checkpoint: str, seed: int, total_blocks: int, last_x: float, num_gpus: int = 2) -> Graph:
    """The template, small; where the path ends decides how it goes from chunk 6 on."""
    graph = json.loads((FOLDER / "api" / "extend-and-redirect.json").read_text("utf-8"))
    graph[LOADER]["inputs"] |= {"checkpoint_root": checkpoint, "num_gpus": num_gpus}
    graph[SAMPLER]["inputs"] |= {"height": HEIGHT, "width": WIDTH, "seed": seed, "total_blocks": total_blocks}
    path = json.loads(graph[CAMERA]["inputs"]["keyframes"])
    path["keyframes"][-1]["position"][0] += last_x
    path["keyframes"].append({"time_sec": 17, "position": [4.5 + last_x, 0, 40]})
    graph[CAMERA]["inputs"]["keyframes"] = json.dumps(path)
    return graph


def processes(client: Client) -> list[ProcessId]:
    """The elastic agent and the ranks."""
    return [ProcessId.parse(text) for text in client.get("/lingbot_test/state")["processes"]]


def expect(run: Run, known: int, computed: int) -> None:
    """The sampler ran once, knew so many chunks and computed so many."""
    assert run.end == "execution_success", run.error or run.refusal
    assert run.chunks == [(known, computed)], run.log


def wait_until_gone(ranks: list[ProcessId], seconds: float) -> None:
    """Fail unless processes end in time."""
    deadline = time.monotonic() + seconds
    while any(rank.is_running() for rank in ranks):
        assert time.monotonic() < deadline, ranks
        time.sleep(0.1)


def test_killed_rank_gives_one_sentence_and_the_next_queue_finishes_the_video(
    client: Client, checkpoint: str, seed: int
) -> None:
    expect(client.run(extend_and_redirect(checkpoint, seed, 8, 0)), 0, 8)
    before = processes(client)
    assert len(before) == 3
    assert client.run(OTHER_WORKFLOW).end == "execution_success"

    redirected = extend_and_redirect(checkpoint, seed, NUM_CHUNKS, 3)
    killed_sec = 0.0

    def kill() -> None:
        nonlocal killed_sec
        killed_sec = time.monotonic()
        before[2].kill()

    broken = client.run(redirected, interrupt_at=5 * 9 + 2, disturb=kill)
    assert time.monotonic() - killed_sec < 15
    assert broken.end == "execution_error"
    assert broken.error.strip() == (
        "Rank 1 of 2 failed. Got: its process was ended by signal 9 (SIGKILL). "
        "Finished chunks are kept: run again to go on from there."
    )
    assert broken.of_type("execution_error")[0]["node_id"] == SAMPLER
    assert not any(rank.is_running() for rank in before)
    assert client.run(OTHER_WORKFLOW).end == "execution_success"

    again = client.run(redirected)
    assert again.end == "execution_success", again.error
    ((known, computed),) = again.chunks
    assert known >= 9 and computed == NUM_CHUNKS - known, "only what was missing"
    assert len(processes(client)) == 3 and not set(processes(client)) & set(before)


def test_run_shows_progress_and_obeys_the_interrupt(client: Client, checkpoint: str, seed: int) -> None:
    graph = extend_and_redirect(checkpoint, seed, NUM_CHUNKS, 0)
    before = processes(client)
    run = client.run(graph, interrupt_at=13)
    assert run.end == "execution_interrupted", run.error
    sent = next(second for second, type_, _ in run.events if type_ == "sent_interrupt")
    stopped = next(second for second, type_, _ in run.events if type_ == "execution_interrupted")
    assert stopped - sent < 2
    steps = [data["value"] for data in run.of_type("progress") if data["node"] == SAMPLER]
    assert set(steps) - set(range(0, 200, 5)), "progress moves within a chunk"
    assert run.previews and any("fps" in text for text in run.texts)
    again = client.run({**graph, SAMPLER: _with(graph[SAMPLER], total_blocks=2)})
    expect(again, 2, 0)
    assert processes(client) == before or not before, "the processes stay"


def test_video_begun_on_one_gpu_goes_on_on_two(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(video_graph(checkpoint, seed, 2)), 0, 2)
    graph = video_graph(checkpoint, seed, 4)
    graph[MODEL]["inputs"]["num_gpus"] = 2
    expect(client.run(graph), 2, 2)


def test_free_ends_the_processes_and_the_next_run_goes_on(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(extend_and_redirect(checkpoint, seed, 1, 0)), 0, 1)
    ranks = processes(client)
    assert client.get("/lingbot_test/state")["num_bytes"] > 0
    client.free(unload_models=True)
    wait_until_gone(ranks, 5)
    expect(client.run(extend_and_redirect(checkpoint, seed, 2, 0)), 1, 1)


@pytest.mark.parametrize("num_gpus", [7])
def test_number_of_gpus_that_cannot_be_gets_one_sentence(
    client: Client, checkpoint: str, seed: int, num_gpus: int
) -> None:
    run = client.run(extend_and_redirect(checkpoint, seed, 1, 0, num_gpus))
    assert run.end == "execution_error"
    assert "cannot be shared by 7 GPUs" in run.error and "Choose another num_gpus." in run.error
    assert run.of_type("execution_error")[0]["node_id"] == LOADER


def test_server_that_is_killed_takes_its_processes_with_it(
    server: ComfyServer, client: Client, checkpoint: str, seed: int
) -> None:
    expect(client.run(extend_and_redirect(checkpoint, seed, 1, 0)), 0, 1)
    ranks = processes(client)
    assert len(ranks) == 3
    server.kill()
    wait_until_gone(ranks, 10)
    left = [path for parent in ("/dev/shm", "/tmp") for path in Path(parent).glob(f"lingbot-world-{server.pid}-*")]
    assert not left


def _with(node: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """A node with some inputs changed."""
    return {**node, "inputs": {**node["inputs"], **inputs}}
