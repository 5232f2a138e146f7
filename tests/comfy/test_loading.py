# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Downloading, loading and encoding on a server: done once, and left when the user wants to stop."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lingbot_core.variants import LIGHT_TAE, get_variant
from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import PACK_NAME, ComfyBase, ComfyHost, ComfyServer
from tests.comfy.graphs import HEIGHT, MODEL, SLUG, TEXT, WIDTH, node, video_graph
from tests.comfy.test_processes import torchvision_first
from tests.fake_hub import FakeHub, serve
from tools.build_workflows import FOLDER

pytestmark = pytest.mark.comfy

STOP_SEC = 2.0
"""An interrupt has acted by then, the second that a test takes to hear of it counted."""

ENCODER_LOADED = "Loading the text encoder"
NETWORK_LOADED = f"Loading {SLUG}"


@pytest.fixture(scope="module")
def hub(tiny_checkpoint: Path) -> Iterator[FakeHub]:
    """A hub that has the tiny checkpoint."""
    with serve(tiny_checkpoint) as fake:
        yield fake


@pytest.fixture(scope="module")
def server(comfy_host: ComfyHost, hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server of its own, which may download from that hub."""
    folder = tmp_path_factory.mktemp("comfy_loading")
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
    environment["PYTHONPATH"] = str(torchvision_first(folder / "python"))
    server = ComfyServer(comfy_host, ComfyBase(folder / "base"), environment=environment)
    yield server
    server.stop()


@pytest.fixture
def client(server: ComfyServer) -> Iterator[Client]:
    """A client of that server, with nothing loaded and nothing pretended."""
    client = Client(server)
    if client.get("/lingbot_test/state")["num_bytes"]:
        client.free(unload_models=True)
    yield client
    client.post("/lingbot_test/pretend", {})


@pytest.fixture
def graph(checkpoint: str, seed: int) -> Graph:
    """One chunk of a video from a prompt that nobody has encoded."""
    graph = video_graph(checkpoint, seed, 1)
    graph[TEXT]["inputs"]["prompt"] = f"Lake number {seed}."
    return graph


def text_events(checkpoint: str, seed: int) -> Graph:
    """The template with three prompts, small; none of them was encoded before."""
    graph = json.loads((FOLDER / "api" / "text-events.json").read_text("utf-8"))
    for item in graph.values():
        inputs = item["inputs"]
        if item["class_type"] == "LingBotWorldLoader":
            inputs["checkpoint_root"] = checkpoint
        elif item["class_type"] == "LingBotTextEncode":
            inputs["prompt"] += f" Number {seed}."
        elif item["class_type"] == "LingBotStreamingSampler":
            inputs |= {"height": HEIGHT, "width": WIDTH, "seed": seed, "total_blocks": 9}
    return graph


def run_and_interrupt(client: Client, graph: Graph, said: str) -> tuple[Run, float]:
    """Interrupt a run when the server's log says something; also the seconds from there to its end."""
    mark, sent_sec = len(client.server.log), 0.0

    def interrupt() -> None:
        nonlocal sent_sec
        while said not in client.server.log[mark:]:
            time.sleep(0.05)
        time.sleep(0.3)  # into the middle of what was begun
        sent_sec = time.monotonic()
        client.post("/interrupt", {})

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    run = client.run(graph)
    end_sec = time.monotonic()
    thread.join(5)
    assert sent_sec, f"{run.end} before {said!r}: {run.error}"
    return run, end_sec - sent_sec


def expect_success(run: Run) -> None:
    assert run.end == "execution_success", run.error or run.refusal


@pytest.mark.parametrize("num_gpus", [1, 2])
def test_graph_of_three_prompts_loads_the_text_encoder_once(
    client: Client, checkpoint: str, seed: int, num_gpus: int
) -> None:
    if num_gpus > 1 and sys.platform == "win32":
        pytest.skip("several GPUs need Linux")
    for number in (seed, seed + 100_000):
        graph = text_events(checkpoint, number)
        graph[MODEL]["inputs"]["num_gpus"] = num_gpus
        run = client.run(graph)
        expect_success(run)
        told = run.texts if num_gpus > 1 else run.log.splitlines()  # of ranks, warnings alone reach the log
        assert sum(ENCODER_LOADED in line for line in told) == 1
        assert not client.get("/lingbot_test/state")["holds_text_encoder"], "the video needs its memory"


def test_text_encoder_that_stays_is_counted_and_freed(client: Client, graph: Graph) -> None:
    text_only = {name: graph[name] for name in (MODEL, TEXT)}
    text_only["20"] = node("LingBotTestSaveConditioning", conditioning=(TEXT, 0), name="kept")
    expect_success(client.run(text_only))
    state = client.get("/lingbot_test/state")
    assert state["holds_text_encoder"] and state["num_bytes"] > 0
    client.free(unload_models=True)
    assert not client.get("/lingbot_test/state")["holds_text_encoder"]
    expect_success(client.run(graph))


@pytest.mark.parametrize("said", [NETWORK_LOADED, ENCODER_LOADED])
def test_interrupt_while_weights_are_read_acts_within_a_second_and_the_next_run_works(
    said: str, client: Client, graph: Graph
) -> None:
    if said == ENCODER_LOADED:  # the network is there
        other = {**graph, TEXT: {**graph[TEXT], "inputs": {**graph[TEXT]["inputs"], "prompt": "A lake."}}}
        expect_success(client.run(other))
    client.post("/lingbot_test/pretend", {"pause_sec": 0.2})
    run, seconds = run_and_interrupt(client, graph, said)
    assert run.end == "execution_interrupted" and seconds < STOP_SEC, (run.end, run.error, seconds)
    state = client.get("/lingbot_test/state")
    assert not state["holds_text_encoder"]
    assert (state["num_registered"] > 0) == (state["num_bytes"] > 0) == (said == ENCODER_LOADED)
    client.post("/lingbot_test/pretend", {})
    expect_success(client.run(graph))


@pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux")
def test_interrupt_while_processes_load_acts_soon_and_the_next_run_works(client: Client, graph: Graph) -> None:
    graph[MODEL]["inputs"]["num_gpus"] = 2
    run, seconds = run_and_interrupt(client, graph, NETWORK_LOADED)
    assert run.end == "execution_interrupted" and seconds < 5, (run.end, run.error, seconds)
    state = client.get("/lingbot_test/state")
    assert not state["processes"] and not state["num_bytes"]
    expect_success(client.run(graph))


def test_prompt_that_is_too_long_is_told_in_the_node(client: Client, graph: Graph, seed: int) -> None:
    graph[TEXT]["inputs"]["prompt"] = " ".join(["lake"] * 600) + f" {seed}"
    run = client.run(graph)
    expect_success(run)
    told = [text for text in run.texts if "and the model reads 512" in text]
    assert told and told[0] in run.log, run.texts
    assert run.texts.index(told[0]) > max(i for i, text in enumerate(run.texts) if "encod" in text), "not covered"


def downloading(graph: Graph) -> Graph:
    """The same with the model of the hub."""
    graph[MODEL]["inputs"] = {"variant": SLUG}
    return graph


def test_download_without_room_on_the_disk_tells_numbers_and_what_to_do(client: Client, graph: Graph) -> None:
    client.post("/lingbot_test/pretend", {"free_disk": 2**29, "free_memory": 1e12})
    run = client.run(downloading(graph))
    assert run.end == "execution_error"
    assert f"Not enough disk space to download {SLUG}. Got: 0.5 GiB free at " in run.error
    assert "GiB, and 1 GiB left over" in run.error and "set HF_HOME to a folder on a larger disk" in run.error


def test_download_when_the_hub_cannot_be_used_names_files_sizes_and_the_command(
    client: Client, graph: Graph, hub: FakeHub
) -> None:
    client.post("/lingbot_test/pretend", {"free_memory": 1e12})
    hub.token = "hf_secret"
    try:
        run = client.run(downloading(graph))
    finally:
        hub.token = None
    assert run.end == "execution_error"
    assert f"`python -m lingbot_core download {SLUG}` in " in run.error and PACK_NAME in run.error
    for weights in get_variant(SLUG).weights:
        assert f"{weights.repo}/{weights.path} (about " in run.error


def test_interrupt_while_downloading_acts_within_a_second_and_the_next_run_works(
    client: Client, graph: Graph, hub: FakeHub
) -> None:
    client.post("/lingbot_test/pretend", {"free_memory": 1e12})
    hub.pause_sec = 0.2
    try:
        run, seconds = run_and_interrupt(client, downloading(graph), f"Downloading {get_variant(SLUG).dit.repo}")
    finally:
        hub.pause_sec = 0.0
    assert run.end == "execution_interrupted" and seconds < STOP_SEC, (run.end, run.error, seconds)
    assert not any(LIGHT_TAE.path in path for path in hub.downloaded), "the rest was not begun"
    expect_success(client.run(graph))
    assert any(LIGHT_TAE.path in path for path in hub.downloaded)
