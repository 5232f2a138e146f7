# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that the user has in ComfyUI's models folders are offered, used, and not asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lingbot_core.variants import LIGHT_TAE, WAN_VAE
from tests.comfy.client import Client
from tests.comfy.comfy_host import ComfyBase
from tests.comfy.graphs import MODEL, SLUG, video_graph

pytestmark = pytest.mark.comfy


@pytest.fixture
def model_files(comfy_base: ComfyBase, checkpoint: str) -> Iterator[dict[str, str]]:
    """The checkpoint's VAE and tiny decoder in the models folder, by the loader's input, as the loader calls them."""
    places = {"vae": ("vae", WAN_VAE), "decoder": ("vae_approx", LIGHT_TAE)}
    links: list[Path] = []
    for folder, weights in places.values():
        link = comfy_base.models / folder / weights.path
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path(checkpoint) / weights.repo / weights.path)
        links.append(link)
    yield {"vae": WAN_VAE.path, "decoder": f"vae_approx/{LIGHT_TAE.path}"}
    for link in links:
        link.unlink()


def test_files_are_offered_in_the_loader(client: Client, model_files: dict[str, str]) -> None:
    inputs = client.get("/object_info/LingBotWorldLoader")["LingBotWorldLoader"]["input"]["optional"]
    for name, file in model_files.items():
        spec = inputs[name]
        choices = spec[0] if isinstance(spec[0], list) else spec[1]["options"]
        assert choices[0] == "auto" and file in choices


def test_chosen_files_are_used(client: Client, model_files: dict[str, str], checkpoint: str, seed: int) -> None:
    graph = video_graph(checkpoint, seed, 1)
    graph[MODEL]["inputs"].update(model_files)
    run = client.run(graph)
    assert run.end == "execution_success", run.error
    assert run.chunks == [(0, 1)]


def test_files_that_are_there_are_not_among_the_missing(client: Client, model_files: dict[str, str], seed: int) -> None:
    graph = video_graph("", seed, 1)
    graph[MODEL]["inputs"]["download"] = False
    run = client.run(graph)
    assert run.end == "execution_error"
    assert "robbyant/lingbot-world-fast" in run.error and SLUG in run.error
    for file in model_files.values():
        assert Path(file).name not in run.error, run.error
