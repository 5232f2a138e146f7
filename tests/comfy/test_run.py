# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A run as the user sees it: progress, text, previews, interrupt, and core nodes around ours."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pytest
from PIL import Image

from tests.comfy.client import Client
from tests.comfy.comfy_host import ComfyBase, ComfyHost
from tests.comfy.graphs import (
    CAMERA,
    HEIGHT,
    MODEL,
    SAMPLER,
    SAVE,
    SLUG,
    TEXT,
    WIDTH,
    camera_slot,
    load_3d,
    node,
    video_graph,
)

pytestmark = pytest.mark.comfy

LONG = 30
"""Chunks of a run that is interrupted. ComfyUI 0.26 tells no progress of less than half a percent."""


@pytest.mark.parametrize("slug", [SLUG, "lingbot-world-fast"], ids=["taehv", "wan_vae"])
def test_run_shows_progress_per_pass_text_and_previews(client: Client, checkpoint: str, seed: int, slug: str) -> None:
    run = client.run(video_graph(checkpoint, seed, 3, slug=slug))
    assert run.end == "execution_success", run.error
    steps = [data["value"] for data in run.of_type("progress") if data["node"] == SAMPLER and data["max"] == 15]
    assert steps == sorted(steps) and steps[-1] == 15
    assert set(steps) - {0, 5, 10, 15}, "progress moves within a chunk"
    for number in (1, 2, 3):
        assert any(text.startswith(f"chunk {number} of 3: ") and "fps" in text for text in run.texts), run.texts
    assert run.previews
    with Image.open(io.BytesIO(run.previews[-1])) as picture:
        assert picture.format == "JPEG" and abs(picture.width / picture.height - WIDTH / HEIGHT) < 0.05


def test_weights_in_host_memory_make_the_same_video(client: Client, checkpoint: str, seed: int) -> None:
    graph = video_graph(checkpoint, seed, 2)
    graph[MODEL]["inputs"]["offload"] = "weights"
    run = client.run(graph)
    assert run.end == "execution_success" and run.chunks == [(0, 2)] and run.num_loads == 1, run.error
    run = client.run(video_graph(checkpoint, seed, 3))
    assert run.end == "execution_success" and run.chunks == [(2, 1)], run.error


def test_run_when_interrupted_ends_with_the_pass_and_keeps_finished_chunks(
    client: Client, checkpoint: str, seed: int
) -> None:
    # large enough that a pass takes longer than telling the server to stop
    graph = video_graph(checkpoint, seed, LONG, height=240, width=432)
    graph[CAMERA]["inputs"]["total_blocks"] = LONG
    run = client.run(graph, interrupt_at=11)
    assert run.end == "execution_interrupted", run.error
    passes, passes_in_the_end = run.progress_at_interrupt(SAMPLER)
    assert passes_in_the_end <= passes + 1
    graph[SAMPLER]["inputs"]["total_blocks"] = passes // 5 + 2
    again = client.run(graph)
    assert again.end == "execution_success", again.error
    ((known, computed),) = again.chunks
    assert passes // 5 <= known <= (passes + 1) // 5 and known + computed == passes // 5 + 2


def test_core_text_encoding_drives_the_sampler(client: Client, checkpoint: str, seed: int) -> None:
    graph = video_graph(checkpoint, seed, 1)
    graph[TEXT] = node("LingBotTestConditioning", num_tokens=5, width=4096, seed=1)
    assert client.run(graph).chunks == [(0, 1)]
    graph[TEXT]["inputs"]["seed"] = 2
    assert client.run(graph).chunks == [(0, 1)]


def test_text_event_of_core_encoding_starts_where_it_says(client: Client, checkpoint: str, seed: int) -> None:
    graph = video_graph(checkpoint, seed, 3)
    graph["20"] = node("LingBotTestConditioning", num_tokens=5, width=4096, seed=1)
    graph["21"] = node("LingBotTextEvents", conditioning=(TEXT, 0), event=("20", 0), chunk=2)
    graph[SAMPLER]["inputs"]["conditioning"] = ["21", 0]
    assert client.run(graph).chunks == [(0, 3)]
    graph["20"]["inputs"]["seed"] = 2
    assert client.run(graph).chunks == [(2, 1)]


def test_latent_goes_through_core_vae_decode_and_gives_our_frames(
    client: Client, comfy_host: ComfyHost, comfy_base: ComfyBase, checkpoint: str, seed: int
) -> None:
    from lingbot_core.variants import WAN_VAE

    if comfy_host.version < (0, 4):
        pytest.skip("the core Wan VAE of this ComfyUI exists at full size only")
    target = comfy_base.models / "vae" / WAN_VAE.path
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(f"{checkpoint}/{WAN_VAE.repo}/{WAN_VAE.path}")
    graph = video_graph(checkpoint, seed, 1, slug="lingbot-world-fast")
    graph["20"] = node("VAELoader", vae_name=WAN_VAE.path)
    graph["21"] = node("VAEDecode", samples=(SAMPLER, 1), vae=("20", 0))
    graph["22"] = node("SaveImage", images=("21", 0), filename_prefix=f"core_{seed}")
    graph["23"] = node("LingBotDecoder", rollout=(SAMPLER, 0))
    graph["24"] = node("SaveImage", images=("23", 0), filename_prefix=f"ours_{seed}")
    run = client.run(graph)
    assert run.end == "execution_success", run.error
    core, ours = (pictures(run.outputs[node_id]["images"], client) for node_id in ("22", "24"))
    assert core.shape == ours.shape == (9, HEIGHT, WIDTH, 3)
    assert np.abs(core - ours).max() <= 2


def test_video_goes_through_core_video_nodes(client: Client, checkpoint: str, seed: int) -> None:
    if "GetVideoComponents" not in client.get("/object_info"):
        pytest.skip("this ComfyUI has no Get Video Components")
    graph = video_graph(checkpoint, seed, 2)
    graph["20"] = node("GetVideoComponents", video=(SAVE, 0))
    graph["21"] = node("SaveImage", images=("20", 0), filename_prefix=f"video_{seed}")
    graph["22"] = node("CreateVideo", images=("20", 0), fps=("20", 2))
    graph["23"] = node("SaveVideo", video=("22", 0), filename_prefix=f"video_{seed}", format="auto", codec="auto")
    graph["24"] = node("LingBotDecoder", rollout=(SAMPLER, 0))
    graph["25"] = node("SaveImage", images=("24", 0), filename_prefix=f"frames_{seed}")
    run = client.run(graph)
    assert run.end == "execution_success", run.error or run.refusal
    from_video, frames = (pictures(run.outputs[node_id]["images"], client) for node_id in ("21", "25"))
    assert from_video.shape == frames.shape == (21, HEIGHT, WIDTH, 3)
    assert np.abs(from_video - frames).mean() < 8, "but for what the video's compression loses"
    (saved,) = run.outputs["23"]["images"]
    with av.open(io.BytesIO(client.get_bytes(file_url(saved)))) as video:
        assert video.streams.video[0].average_rate == 16


def file_url(file: dict[str, str]) -> str:
    """Address of a file that a node has saved."""
    return f"/view?filename={file['filename']}&subfolder={file['subfolder']}&type={file['type']}"


def pictures(files: list[dict[str, str]], client: Client) -> np.ndarray:
    """Saved pictures as one array of integers."""
    frames = []
    for file in files:
        with Image.open(io.BytesIO(client.get_bytes(file_url(file)))) as picture:
            frames.append(np.asarray(picture.convert("RGB"), dtype=np.int64))
    return np.stack(frames)


def test_camera_preview_gives_pictures(client: Client) -> None:
    graph = {
        "1": node("LingBotCameraTrajectory", preset="orbit-left", total_blocks=3, settings="radius=10"),
        "2": node("LingBotCameraPreview", camera=("1", 0), size=128, frames_per_second=4),
        "3": node("PreviewImage", images=("2", 0)),
    }
    run = client.run(graph)
    assert run.end == "execution_success", run.error
    shown = pictures(run.outputs["3"]["images"], client)
    assert len(shown) > 2 and shown.std() > 1
    assert run.outputs["1"]["images"], "the camera node shows its path"


def test_camera_preview_with_a_photo_begins_with_it(client: Client) -> None:
    graph = {
        "1": node("LingBotCameraTrajectory", preset="pan-right", total_blocks=3),
        "2": node("LoadImage", image="example.png"),
        "3": node("LingBotCameraPreview", camera=("1", 0), size=128, frames_per_second=4, photo=("2", 0)),
        "4": node("PreviewImage", images=("3", 1)),
    }
    run = client.run(graph)
    assert run.end == "execution_success", run.error
    shown = pictures(run.outputs["4"]["images"], client)
    assert len(shown) == 9 and shown.shape[1:] == (128, 222, 3)
    assert not shown[-1, :, -5:].any(), "beyond the photo is black"
    assert shown[0, :, -5:].mean() > 20


def test_pose_files_of_the_input_folder_make_a_path(client: Client, checkpoint: str, seed: int) -> None:
    poses = node(
        "LingBotCameraFromPoses", poses="lingbot_world/00/poses.npy", intrinsics="lingbot_world/00/intrinsics.npy"
    )
    assert client.run(video_graph(checkpoint, seed, 1, camera=poses)).chunks == [(0, 1)]


def test_load_3d_camera_makes_a_path(client: Client, comfy_base: ComfyBase, checkpoint: str, seed: int) -> None:
    slot = camera_slot(client)
    viewer = node(
        "LingBotCameraFrom3DViewer",
        seconds_between=1.0,
        fov=50.0,
        total_blocks=2,
        camera_1=("30", slot),
        camera_2=("31", slot),
    )
    views = {"30": load_3d(comfy_base, (0.0, 0.0, 10.0)), "31": load_3d(comfy_base, (1.0, 0.0, 8.0))}
    run = client.run({**video_graph(checkpoint, seed, 1, camera=viewer), **views})
    assert run.end == "execution_success", run.error or run.refusal
    assert run.chunks == [(0, 1)]


def test_video_file_brings_its_graph_back(client: Client, comfy_base: ComfyBase, checkpoint: str, seed: int) -> None:
    from lingbot_core.video import read_metadata

    graph = video_graph(checkpoint, seed, 1)
    run = client.run(graph)
    metadata = read_metadata(comfy_base.output / run.outputs[SAVE]["images"][0]["filename"])
    assert json.loads(metadata["prompt"])[SAMPLER]["inputs"]["seed"] == seed
