# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that the user has in ComfyUI's models folders are offered, used, and not asked for again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingbot_core.make_checkpoint import make_checkpoint
from lingbot_core.variants import UMT5_TOKENIZER
from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import ComfyBase
from tests.comfy.graphs import MODEL, SAMPLER, SLUG, node, video_graph
from tests.comfy.model_files import ROLES, AddFile, tensors_of

pytestmark = pytest.mark.comfy

USUAL = {
    "text_encoder": "umt5_xxl_fp16.safetensors",
    "vae": "wan_2.1_vae.safetensors",
    "decoder": "taew2_1.safetensors",
}
"""Names under which ComfyUI's users have these files."""

FP8_TEXT = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"


def fp8_scaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As ComfyUI's fp8 text encoders: matrices in fp8 with a scale each, the rest in fp16."""
    stored = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, tensor in tensors.items():
        if ".SelfAttention." not in name and ".DenseReluDense." not in name or "relative_attention_bias" in name:
            stored[name] = tensor.half()
        else:
            scale = tensor.abs().max() / 448
            stored |= {
                name: (tensor / scale).to(torch.float8_e4m3fn),
                f"{name.removesuffix('weight')}scale_weight": scale,
            }
    return stored


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with other weights than the one that the tests run."""
    folder = tmp_path_factory.mktemp("other_checkpoint")
    make_checkpoint(folder, "tiny", seed=1)
    return folder


@pytest.fixture
def usual_files(checkpoint: str, add_file: AddFile) -> dict[str, str]:
    """The checkpoint's files in the models folder under their usual names, by the loader's menu, as it calls them."""
    return {role: add_file(role, name, tensors_of(Path(checkpoint), role)) for role, name in USUAL.items()}


@pytest.fixture
def fp8_text(checkpoint: str, add_file: AddFile) -> str:
    """The checkpoint's text encoder as ComfyUI's fp8 file."""
    return add_file("text_encoder", FP8_TEXT, fp8_scaled(tensors_of(Path(checkpoint), "text_encoder")))


@pytest.fixture
def tokenizer(checkpoint: str, comfy_base: ComfyBase) -> Iterator[None]:
    """The tokenizer beside the text encoders, where no file carries one."""
    target = comfy_base.models / "text_encoders" / "google" / "umt5-xxl"
    shutil.copytree((Path(checkpoint) / UMT5_TOKENIZER.repo / UMT5_TOKENIZER.path).parent, target)
    yield
    shutil.rmtree(target.parent)


def fingerprints(run: Run) -> tuple[str, str]:
    """Hash of the latents and of the frames."""
    assert run.end == "execution_success", run.error or run.refusal
    latent, image = (run.outputs[node_id]["fingerprint"][0] for node_id in ("21", "22"))
    return latent, image


def fingerprint_graph(checkpoint: str, seed: int, **loader: object) -> Graph:
    """One chunk, with hashes of what comes out."""
    graph = video_graph(checkpoint, seed, 1)
    graph[MODEL]["inputs"].update(loader)
    decoder = node("LingBotDecoder", rollout=(SAMPLER, 0))
    latent = node("LingBotTestFingerprint", latent=(SAMPLER, 1))
    return {**graph, "20": decoder, "21": latent, "22": node("LingBotTestFingerprint", image=("20", 0))}


def test_files_are_offered_in_the_loader(client: Client, usual_files: dict[str, str], fp8_text: str) -> None:
    inputs = client.get("/object_info/LingBotWorldLoader")["LingBotWorldLoader"]["input"]["optional"]
    for name, file in [*usual_files.items(), ("text_encoder", fp8_text)]:
        spec = inputs[name]
        choices = spec[0] if isinstance(spec[0], list) else spec[1]["options"]
        assert choices[0] == "auto" and file in choices


@pytest.mark.parametrize("role", ROLES)
def test_chosen_file_is_used_in_place_of_the_checkpoints(
    role: str, client: Client, checkpoint: str, other_checkpoint: Path, add_file: AddFile, seed: int
) -> None:
    suffix = "lighttaew2_1.safetensors" if role == "decoder" else f"{role}.safetensors"  # its name tells its kind
    copy = add_file(role, f"copy_{suffix}", tensors_of(Path(checkpoint), role))
    other = add_file(role, f"other_{suffix}", tensors_of(other_checkpoint, role))
    latent, image = fingerprints(client.run(fingerprint_graph(checkpoint, seed)))

    with_copy = client.run(fingerprint_graph(checkpoint, seed, **{role: copy}))
    assert with_copy.num_loads == 1
    assert fingerprints(with_copy) == (latent, image), "the same weights make the same video, whatever their name"

    other_latent, other_image = fingerprints(client.run(fingerprint_graph(checkpoint, seed, **{role: other})))
    assert other_image != image
    assert (other_latent == latent) == (role == "decoder"), "only the decoder has no part in the latents"


@pytest.mark.usefixtures("tokenizer")
def test_usual_names_are_found_without_choosing_and_make_the_same_video(
    client: Client, checkpoint: str, usual_files: dict[str, str], fp8_text: str, add_file: AddFile, seed: int
) -> None:
    network = add_file("network", "lingbot-world-fast.safetensors", tensors_of(Path(checkpoint), "network"))
    found = fingerprints(client.run(fingerprint_graph("", seed, download=False)))
    chosen = client.run(fingerprint_graph("", seed, download=False, network=network, **usual_files))
    assert fingerprints(chosen) == found and not chosen.num_loads, "one model, found or chosen"
    named = {"decoder": usual_files["decoder"]}  # unlike the checkpoint's it takes the network's own latents
    assert fingerprints(client.run(fingerprint_graph(checkpoint, seed, **named))) == found
    in_8_bits = fingerprints(client.run(fingerprint_graph("", seed, download=False, text_encoder=fp8_text)))
    assert in_8_bits[0] != found[0], "used when it is chosen, and not before"


def test_files_that_are_there_are_not_among_the_missing(client: Client, usual_files: dict[str, str], seed: int) -> None:
    graph = video_graph("", seed, 1)
    graph[MODEL]["inputs"]["download"] = False
    run = client.run(graph)
    assert run.end == "execution_error"
    assert "robbyant/lingbot-world-fast" in run.error and SLUG in run.error
    for role, file in usual_files.items():
        assert Path(file).name not in run.error and ROLES[role][1].path not in run.error, run.error
