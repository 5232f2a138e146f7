# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""State that outlives the graph: what was computed once is not computed again, whatever the host does in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.comfy.client import Client, Run
from tests.comfy.comfy_host import ComfyBase, ComfyHost, ComfyServer
from tests.comfy.graphs import MODEL, SAMPLER, SAVE, keyframe_camera, node, video_graph

pytestmark = pytest.mark.comfy

OTHER_WORKFLOW = {
    "1": node("EmptyImage", width=32, height=32, batch_size=1, color=0),
    "2": node("PreviewImage", images=("1", 0)),
}


def stats(run: Run, client: Client) -> list[dict[str, object]]:
    """The stats file of a run, by way of the node's output."""
    name = next(file["filename"] for file in run.outputs[SAVE]["files"] if file["filename"].endswith(".json"))
    return json.loads(client.get_bytes(f"/view?filename={name}&type=output"))


def expect(run: Run, known: int, computed: int) -> None:
    """The sampler ran once, knew so many chunks and computed so many."""
    assert run.end == "execution_success", run.error or run.refusal
    assert run.chunks == [(known, computed)], run.log


def test_same_prompt_again_runs_nothing(client: Client, checkpoint: str, seed: int) -> None:
    graph = video_graph(checkpoint, seed, 2)
    expect(client.run(graph), 0, 2)
    again = client.run(graph)
    assert again.end == "execution_success"
    assert not again.chunks and not again.num_loads
    assert again.executed <= {SAVE}
    assert again.outputs[SAVE]["files"]


def test_one_more_chunk_computes_one(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(video_graph(checkpoint, seed, 2)), 0, 2)
    longer = client.run(video_graph(checkpoint, seed, 3))
    expect(longer, 2, 1)
    assert [entry["reused"] for entry in stats(longer, client)] == [True, True, False]


def test_changed_path_is_computed_from_the_bend_and_undoing_it_finds_the_old_one(
    client: Client, checkpoint: str, seed: int
) -> None:
    straight, bent = (video_graph(checkpoint, seed, 4, camera=keyframe_camera(x)) for x in (0.0, 3.0))
    expect(client.run(straight), 0, 4)
    expect(client.run(bent), 2, 2)
    client.run(OTHER_WORKFLOW)
    expect(client.run(straight), 4, 0)


def test_longer_video_and_path_bent_from_chunk_four_on_compute_what_is_new(
    client: Client, checkpoint: str, seed: int
) -> None:
    straight, bent = (keyframe_camera(x, bend_chunk=4, total_blocks=9) for x in (0.0, 3.0))
    expect(client.run(video_graph(checkpoint, seed, 6, camera=straight)), 0, 6)
    longer = client.run(video_graph(checkpoint, seed, 9, camera=straight))
    expect(longer, 6, 3)
    assert [entry["reused"] for entry in stats(longer, client)] == [True] * 6 + [False] * 3
    turned = client.run(video_graph(checkpoint, seed, 9, camera=bent))
    expect(turned, 4, 5)
    assert [entry["reused"] for entry in stats(turned, client)] == [True] * 4 + [False] * 5
    expect(client.run(video_graph(checkpoint, seed, 9, camera=straight)), 9, 0)


def test_another_workflow_in_between_loses_nothing(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(video_graph(checkpoint, seed, 2)), 0, 2)
    assert client.run(OTHER_WORKFLOW).end == "execution_success"
    again = client.run(video_graph(checkpoint, seed, 3))
    expect(again, 2, 1)
    assert not again.num_loads


def test_another_seed_shares_nothing(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(video_graph(checkpoint, seed, 1)), 0, 1)
    expect(client.run(video_graph(checkpoint, seed + 100_000, 1)), 0, 1)


@pytest.mark.parametrize("flag", ["unload_models", "free_memory"])
def test_free_twice_gives_back_everything_and_the_next_run_goes_on(
    flag: str, client: Client, checkpoint: str, seed: int
) -> None:
    expect(client.run(video_graph(checkpoint, seed, 2)), 0, 2)
    assert client.get("/lingbot_test/state")["num_bytes"] > 0
    client.free(**{flag: True})
    client.free(**{flag: True})
    again = client.run(video_graph(checkpoint, seed, 3))
    expect(again, 2, 1)
    assert again.num_loads == 1


def test_weights_are_pushed_out_by_others_and_come_back(client: Client, checkpoint: str, seed: int) -> None:
    expect(client.run(video_graph(checkpoint, seed, 1)), 0, 1)
    assert client.get("/lingbot_test/state")["num_registered"] == 1
    client.run({"1": node("LingBotTestFreeMemory", count=seed)})
    assert client.get("/lingbot_test/state")["num_bytes"] == 0
    client.free(unload_models=True)
    again = client.run(video_graph(checkpoint, seed, 2))
    expect(again, 1, 1)
    assert again.num_loads == 1
    client.free(unload_models=True)  # registered again, so it can be freed again


def test_frames_deleted_from_the_journal_are_made_again(
    client: Client, comfy_base: ComfyBase, checkpoint: str, seed: int
) -> None:
    graph = video_graph(checkpoint, seed, 2)
    expect(client.run(graph), 0, 2)
    client.free(unload_models=True)
    for path in [*(comfy_base.journal / "frames").iterdir(), *(comfy_base.journal / "chunks").iterdir()]:
        path.unlink()
    decode = {"7": node("LingBotDecoder", rollout=(SAMPLER, 0)), "8": node("PreviewImage", images=("7", 0))}
    again = client.run({**graph, **decode})
    assert again.end == "execution_success", again.error
    assert not again.chunks, "the sampler's token was cached, so only the decoder works"
    assert len(again.outputs["8"]["images"]) == 21


def test_two_variants_at_once_keep_apart(client: Client, checkpoint: str, seed: int) -> None:
    light = video_graph(checkpoint, seed, 1)
    full = video_graph(checkpoint, seed, 1, slug="lingbot-world-fast")
    expect(client.run(light), 0, 1)
    expect(client.run(full), 0, 1)
    again = client.run(video_graph(checkpoint, seed, 2))
    expect(again, 1, 1)
    assert not again.num_loads


@pytest.mark.parametrize(
    ("name", "value"), [("download", False), ("precision", "fp32"), ("schedule", "bf16"), ("attention", "sdpa")]
)
def test_same_model_in_other_words_is_not_loaded_again(
    name: str, value: object, client: Client, checkpoint: str, seed: int
) -> None:
    expect(client.run(video_graph(checkpoint, seed, 1)), 0, 1)
    before = client.get("/lingbot_test/state")
    graph = video_graph(checkpoint, seed, 1)
    graph[MODEL]["inputs"][name] = value
    again = client.run(graph)
    expect(again, 1, 0)
    assert MODEL in again.executed and not again.num_loads
    after = client.get("/lingbot_test/state")
    assert (after["num_engines"], after["num_bytes"]) == (before["num_engines"], before["num_bytes"])


def test_other_model_is_loaded(client: Client, checkpoint: str, seed: int) -> None:
    client.free(unload_models=True)
    expect(client.run(video_graph(checkpoint, seed, 1)), 0, 1)
    graph = video_graph(checkpoint, seed, 1)
    graph[MODEL]["inputs"]["precision"] = "bf16"
    other = client.run(graph)
    expect(other, 0, 1)
    assert other.num_loads == 1


@pytest.fixture(scope="module")
def own_base(tmp_path_factory: pytest.TempPathFactory) -> ComfyBase:
    """Folders of the servers that are started and ended below."""
    return ComfyBase(tmp_path_factory.mktemp("comfy_restarts") / "base")


@pytest.fixture(scope="module")
def progress_so_far() -> dict[str, int]:
    """Chunks that the servers below have made, one after the other, of one video."""
    return {"chunks": 0}


@pytest.mark.parametrize("options", ["", "--cache-none", "--cache-lru 2", "--cache-ram 500"])
def test_server_when_killed_and_started_with_other_caching_goes_on(
    options: str, comfy_host: ComfyHost, own_base: ComfyBase, progress_so_far: dict[str, int], checkpoint: str
) -> None:
    if "--cache-ram" in options and comfy_host.version < (0, 4):
        pytest.skip("this ComfyUI has no --cache-ram")
    server = ComfyServer(comfy_host, own_base, options.split())
    try:
        client, known = Client(server), progress_so_far["chunks"]
        first = client.run(video_graph(checkpoint, 7, known + 1))
        expect(first, known, 1)
        assert first.num_loads == 1
        client.run(OTHER_WORKFLOW)
        again = client.run(video_graph(checkpoint, 7, known + 1))
        assert again.end == "execution_success", again.error
        assert again.chunks in ([], [(known + 1, 0)]), again.log
        assert not again.num_loads
        progress_so_far["chunks"] = known + 1
    finally:
        server.kill()


def test_output_files_of_one_video_are_written_once(
    client: Client, checkpoint: str, seed: int, comfy_base: ComfyBase
) -> None:
    graph = video_graph(checkpoint, seed, 1)
    first = client.run(graph)
    path = comfy_base.output / first.outputs[SAVE]["images"][0]["filename"]
    written = path.stat().st_mtime_ns
    client.run(OTHER_WORKFLOW)
    assert client.run(graph).outputs[SAVE] == first.outputs[SAVE]
    assert path.stat().st_mtime_ns == written
    assert not list(Path(comfy_base.output).glob("*.part*"))
