# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The graph gives what the command line gives, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.comfy.client import Client
from tests.comfy.comfy_host import ROOT, ComfyBase, ComfyHost
from tests.comfy.graphs import HEIGHT, SLUG, WIDTH, node, video_graph

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("slug", [SLUG, "lingbot-world-fast"])
def test_graph_makes_the_records_of_the_command_line(
    slug: str, client: Client, comfy_host: ComfyHost, comfy_base: ComfyBase, checkpoint: str, seed: int, tmp_path: Path
) -> None:
    example = comfy_base.input / "lingbot_world" / "00"
    graph = video_graph(checkpoint, seed, 2, slug=slug, camera=node("LingBotExample", index=0))
    graph["3"]["inputs"]["prompt"] = ["4", 2]
    graph["5"]["inputs"] |= {"image": ["4", 0], "camera": ["4", 1]}
    before = records(comfy_base.journal)
    run = client.run(graph)
    assert run.end == "execution_success", run.error
    command = [python_like_the_servers(client, comfy_host), "-m", "lingbot_core", "generate", slug, "--device", "cpu"]
    command += ["--checkpoint-root", checkpoint, "--image-path", str(example / "image.jpg")]
    command += ["--pose-path", str(example / "poses.npy"), "--intrinsic-path", str(example / "intrinsics.npy")]
    command += ["--prompt-path", str(example / "prompt.txt"), "--seed", str(seed), "--total-blocks", "2"]
    command += ["--pixel-height", str(HEIGHT), "--pixel-width", str(WIDTH), "--output-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ours, theirs = records(comfy_base.journal), records(tmp_path / "journal")
    assert len([name for name in theirs if name.startswith("chunks/")]) == 2
    assert len([name for name in theirs if name.startswith("frames/")]) == 2
    assert set(theirs) <= set(ours), "the keys differ, so some input does"
    assert not set(theirs) & set(before)
    for name, tensors in theirs.items():
        assert set(tensors) == set(ours[name])
        for key, tensor in tensors.items():
            assert tensor.equal(ours[name][key]), f"{name}: {key} differs"


def python_like_the_servers(client: Client, comfy_host: ComfyHost) -> str:
    """Ours where it has the server's torch, for bit equality holds within one version only; else the server's."""
    import torch

    same = client.get("/system_stats")["system"]["pytorch_version"] == torch.__version__
    return sys.executable if same else str(comfy_host.python)


def records(journal: Path) -> dict[str, dict]:
    """Tensors of every chunk, its frames and texts, by file."""
    from safetensors.torch import load_file

    files = [path for folder in ("chunks", "frames") for path in sorted((journal / folder).glob("*.safetensors"))]
    return {path.relative_to(journal).as_posix(): load_file(path) for path in files}
