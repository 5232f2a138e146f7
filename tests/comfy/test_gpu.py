# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Sharing a GPU with other models: pushed out and back, freed, refused in one sentence, under the host's options.

``-s`` shows the figures.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lingbot_core.preflight import SMALLEST_FRAME
from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import ComfyBase, ComfyHost, ComfyServer
from tests.comfy.full_card import (
    GIB,
    OTHER_FILE,
    FullCard,
    other_model_graph,
    write_other_model,
    write_wide_checkpoint,
)
from tests.comfy.graphs import SAMPLER, SAVE, node, video_graph

pytestmark = [pytest.mark.comfy, pytest.mark.gpu]

SLUG = "lingbot-world-fast"
"""Its window makes the caches large."""

STARTS = {
    "default": "",
    "no-graphs": "LINGBOT_CUDA_GRAPHS=0",
    "native-allocator": "--disable-cuda-malloc",
    "no-dynamic-vram": "--disable-dynamic-vram",
    "lowvram": "--lowvram",
    "novram": "--novram",
    "highvram": "--highvram",
    "reserve": "--reserve-vram 2",
}
"""Variables and options that the server is started with."""

NEW_ONLY, OLD_ONLY = {"no-graphs", "no-dynamic-vram"}, {"lowvram"}
"""Starts that only hosts with dynamic VRAM have, or know as something else than nothing."""

FINGERPRINT = "20"
"""Id of the node that tells a hash of latents and frames."""

MARGIN = 64 * 2**20
"""What may be missing after a second time that was there after the first, in bytes."""

KEPT = 320 * 2**20
"""What may stay with torch: workspaces of cuBLAS for four streams, 33 MiB each on Hopper. With cudaMallocAsync they
hold on to up to three pieces of 32 MiB each, but there is no stream for CUDA graphs there.
"""


@pytest.fixture(scope="session")
def wide_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint whose caches take GiB, as ``checkpoint_root`` takes it."""
    folder = tmp_path_factory.mktemp("wide_checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        write_wide_checkpoint(folder, patch)
    return str(folder)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of the model that pushes ours out."""
    path = tmp_path_factory.mktemp("other_model") / OTHER_FILE
    write_other_model(path)
    return path


@pytest.fixture(scope="session")
def fingerprints() -> dict[str, str]:
    """Hashes of one video by name of the start that made it."""
    return {}


@pytest.fixture(scope="module", params=STARTS)
def start(request: pytest.FixtureRequest, comfy_host: ComfyHost) -> str:
    """How the server is started."""
    is_old = comfy_host.version < (0, 4)
    if request.param in (NEW_ONLY if is_old else OLD_ONLY):
        pytest.skip(f"not for ComfyUI {'.'.join(map(str, comfy_host.version))}")
    return request.param


@pytest.fixture(scope="module")
def client(
    start: str, comfy_host: ComfyHost, other_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Client of a server on the GPU."""
    base = ComfyBase(tmp_path_factory.mktemp("comfy_gpu") / "base")
    target = base.models / "diffusion_models" / OTHER_FILE
    target.parent.mkdir()
    target.symlink_to(other_model)
    with pytest.MonkeyPatch.context() as patch:
        options = STARTS[start].split()
        for name, _, value in (option.partition("=") for option in options if "=" in option):
            patch.setenv(name, value)
        server = ComfyServer(comfy_host, base, [option for option in options if "=" not in option], gpu=True)
    yield Client(server)
    server.kill()


@pytest.fixture
def card(client: Client) -> Iterator[FullCard]:
    """The GPU, to be filled."""
    card = FullCard(client)
    yield card
    card.release()


def graph(checkpoint: str, seed: int, total_blocks: int, size: tuple[int, int] = (464, 832)) -> Graph:
    """Photo and preset path to a hash of latents and frames."""
    made = video_graph(checkpoint, seed, total_blocks, slug=SLUG, height=size[0], width=size[1])
    del made[SAVE]
    made["19"] = node("LingBotDecoder", rollout=(SAMPLER, 0))
    made[FINGERPRINT] = node("LingBotTestFingerprint", latent=(SAMPLER, 1), image=("19", 0))
    return made


def expect(run: Run, known: int, computed: int) -> None:
    """The sampler ran once, knew so many chunks and computed so many."""
    assert run.end == "execution_success", run.error or run.refusal
    assert run.chunks == [(known, computed)], run.log


def expect_refusal(run: Run, *parts: str) -> None:
    """The run failed with one message of ours that holds all parts, and numbers."""
    assert run.end == "execution_error", run.end
    assert "lingbot_core.errors" in run.of_type("execution_error")[0]["exception_type"], run.error
    for part in ("emory", "cuda:0", "kv cache", "Close other programs", *parts):
        assert part in run.error, run.error
    assert len(re.findall(r"\d\.\d", run.error)) > 5 and "Traceback" not in run.error, run.error


def state(client: Client) -> dict[str, Any]:
    """What the pack holds, and the GPU's memory when that has come to rest."""
    last = client.get("/lingbot_test/state")
    for _ in range(30):
        time.sleep(0.3)
        last, before = client.get("/lingbot_test/state"), last
        if last == before:
            break
    return last


def report(start: str, what: str, **figures: float | str) -> None:
    """Say what was measured; numbers are bytes, and shown as GiB."""
    shown = {name: figure if isinstance(figure, str) else f"{figure / GIB:.2f}" for name, figure in figures.items()}
    print(f"\n[{start}] {what}", *(f"{name} {figure}" for name, figure in shown.items()), sep="; ")


def test_core_model_pushes_ours_out_and_one_more_chunk_computes_one_bit_for_bit(
    start: str, client: Client, card: FullCard, wide_checkpoint: str, other_model: Path, fingerprints: dict[str, str]
) -> None:
    seed, other_bytes = 7, other_model.stat().st_size
    expect(client.run(graph(wide_checkpoint, seed, 2)), 0, 2)
    before = state(client)
    ours, gpu = before["num_bytes"], before["gpu"]
    # Alone, each fits. Together they do not: most of ours has to go for what the host keeps free beside the other.
    loaded_first = other_bytes if start == "highvram" else 0  # there the host loads, and asks for room then
    card.leave(loaded_first + 1.1 * other_bytes + gpu["kept_for_inference"] - 0.6 * ours)
    other = client.run(other_model_graph(seed))
    assert other.end == "execution_success", other.error
    after = state(client)
    freed = ours - after["num_bytes"]
    how = {name: str(gpu[name]) for name in ("allocator", "vram_state", "dynamic_vram")}
    report(start, "other model ran", ours=ours, freed=freed, **how)
    assert freed > 0.5 * ours
    assert after["gpu"]["allocated"] < gpu["allocated"] - freed + other_bytes + GIB / 4

    expect(client.run(graph(wide_checkpoint, seed, 3)), 2, 1)

    client.run({"1": node("LingBotTestFreeMemory", count=1)})
    gone = state(client)
    assert gone["num_bytes"] == 0
    left = other_bytes if start == "highvram" else 0  # there the host never takes the other model off the GPU
    assert gone["gpu"]["allocated"] < before["gpu"]["allocated"] - 0.9 * ours + left
    resumed = client.run(graph(wide_checkpoint, seed, 4))
    expect(resumed, 3, 1)
    assert resumed.num_loads == 1

    card.release()
    client.free(free_memory=True)
    for path in [path for name in ("chunks", "frames") for path in (client.server.base.journal / name).iterdir()]:
        path.unlink()
    straight = client.run(graph(wide_checkpoint, seed, 4))
    expect(straight, 0, 4)
    fingerprint = straight.outputs[FINGERPRINT]["fingerprint"][0]
    assert resumed.outputs[FINGERPRINT]["fingerprint"] == [fingerprint]
    report(start, "same latents and frames", fingerprint=fingerprint[:16], chunks=" / ".join(straight.texts[-4:]))
    fingerprints[start] = fingerprint
    assert set(fingerprints.values()) == {fingerprint}, fingerprints
    assert "CUDA graphs do not work" not in client.server.log


def test_free_gives_the_gpus_memory_back(start: str, client: Client, wide_checkpoint: str) -> None:
    client.free(free_memory=True)
    at_rest, seed = [], 8
    for total_blocks in (1, 2):
        expect(client.run(graph(wide_checkpoint, seed, total_blocks)), total_blocks - 1, 1)
        loaded = state(client)
        client.free(unload_models=True)
        at_rest.append(state(client)["gpu"])
        report(
            start,
            "freed",
            ours=loaded["num_bytes"],
            free_before=loaded["gpu"]["free"],
            free_after=at_rest[-1]["free"],
            allocated_after=at_rest[-1]["allocated"],
            kept_by_torch=at_rest[-1]["unused"],
        )
        assert at_rest[-1]["free"] - loaded["gpu"]["free"] > 0.95 * loaded["num_bytes"]
        assert at_rest[-1]["allocated"] + at_rest[-1]["unused"] < KEPT
    assert at_rest[1]["free"] > at_rest[0]["free"] - MARGIN
    assert at_rest[1]["allocated"] < at_rest[0]["allocated"] + 2**20


def test_not_enough_memory_tells_numbers_and_what_fits_and_a_smaller_frame_runs(
    start: str, client: Client, card: FullCard, wide_checkpoint: str
) -> None:
    client.free(free_memory=True)
    state(client)
    card.leave(1.5 * GIB)
    refused = client.run(graph(wide_checkpoint, 9, 1))
    report(start, refused.error)
    expect_refusal(refused, "Not enough memory", "frames of")
    expect(client.run(graph(wide_checkpoint, 9, 1, SMALLEST_FRAME)), 0, 1)

    client.free(free_memory=True)
    state(client)
    card.leave(0.2 * GIB)
    refused = client.run(graph(wide_checkpoint, 10, 1, SMALLEST_FRAME))
    report(start, refused.error)
    expect_refusal(refused, "Not enough memory", "no smaller frame or window fits either")
    card.release()
    expect(client.run(graph(wide_checkpoint, 10, 1, SMALLEST_FRAME)), 0, 1)


def test_frame_that_is_too_large_is_refused_and_the_loaded_model_goes_on(
    start: str, client: Client, card: FullCard, wide_checkpoint: str
) -> None:
    expect(client.run(graph(wide_checkpoint, 11, 1)), 0, 1)
    card.leave(6 * GIB)
    refused = client.run(graph(wide_checkpoint, 11, 1, (2048, 2048)))
    report(start, refused.error)
    expect_refusal(refused, "Not enough memory", "in use by this model", "frames of")
    longer = client.run(graph(wide_checkpoint, 11, 2))
    expect(longer, 1, 1)
    assert not longer.num_loads
