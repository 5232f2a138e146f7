# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A GPU that is nearly full, and models that are large enough to push each other out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lingbot_core import make_checkpoint
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.random_weights import SIZES, ModelSizes
from tests.comfy.client import Client, Graph
from tests.comfy.graphs import node

GIB = 2**30

OTHER_FILE = "other.safetensors"
"""Name of the other model in ``models/diffusion_models``."""

WIDE_CACHES = ModelSizes(
    DiTConfig(dim=1024, ffn_dim=4096, num_heads=8, num_layers=8),
    SIZES["tiny"].vae,
    SIZES["tiny"].taehv,
    SIZES["tiny"].text,
)
"""0.2 billion parameters, quickly written; with window 63 at 464x832 its caches take 3 GiB."""


class FullCard:
    """Memory of the GPU that another process than the server holds: to the server, a large card becomes a small one.

    Args:
        client: Of the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held: list[torch.Tensor] = []

    def leave(self, num_bytes: float) -> None:
        """Hold so much that the server can get so many bytes more than it has."""
        self.release()
        torch.zeros(1, device="cuda")  # what a first use takes, it takes now
        gpu = gpu_state(self._client)
        num_held = int(gpu["free"] + gpu["unused"] - num_bytes)
        assert num_held > 0, f"the card has only {gpu['free'] / GIB:.1f} GiB free"
        self._held = [torch.empty(num_held, dtype=torch.uint8, device="cuda")]

    def release(self) -> None:
        """Hold nothing."""
        self._held.clear()
        torch.cuda.empty_cache()


def gpu_state(client: Client) -> dict[str, Any]:
    """Memory of the GPU as the server sees it, in bytes, and how it manages it."""
    return client.get("/lingbot_test/state")["gpu"]


def write_wide_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete checkpoint with random weights of the size above."""
    monkeypatch.setitem(SIZES, "wide", WIDE_CACHES)
    monkeypatch.setattr(make_checkpoint, "CHECKPOINT_SIZES", ("wide",))
    make_checkpoint.make_checkpoint(folder, "wide")


def write_other_model(path: Path, dim: int = 2048, ffn_dim: int = 8192, num_layers: int = 16) -> int:
    """A file that ComfyUI takes for a Wan 2.1 text-to-video model; all its weights are zero.

    Returns:
        Bytes of its weights.
    """
    from safetensors.torch import save_file

    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding": (dim, 16, 1, 2, 2),
        "text_embedding.0": (dim, 4096),
        "text_embedding.2": (dim, dim),
        "time_embedding.0": (dim, 256),
        "time_embedding.2": (dim, dim),
        "time_projection.1": (6 * dim, dim),
        "head.head": (64, dim),
    }
    plain: dict[str, tuple[int, ...]] = {"head.modulation": (1, 2, dim)}
    for block in (f"blocks.{index}" for index in range(num_layers)):
        for attention in (f"{block}.self_attn", f"{block}.cross_attn"):
            shapes |= {f"{attention}.{name}": (dim, dim) for name in "qkvo"}
            plain |= {f"{attention}.norm_{name}.weight": (dim,) for name in "qk"}
        shapes |= {f"{block}.ffn.0": (ffn_dim, dim), f"{block}.ffn.2": (dim, ffn_dim), f"{block}.norm3": (dim,)}
        plain[f"{block}.modulation"] = (1, 6, dim)
    for name, shape in shapes.items():
        plain |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    tensors = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in plain.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return sum(tensor.nbytes for tensor in tensors.values())


def other_model_graph(seed: int) -> Graph:
    """Core nodes alone: one step of the other model on a small latent."""
    return {
        "1": node("UNETLoader", unet_name=OTHER_FILE, weight_dtype="default"),
        "2": node("LingBotTestConditioning", num_tokens=5, width=4096, seed=1),
        "3": node("EmptyHunyuanLatentVideo", width=256, height=256, length=5, batch_size=1),
        "4": node(
            "KSampler",
            model=("1", 0),
            seed=seed,
            steps=1,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            positive=("2", 0),
            negative=("2", 0),
            latent_image=("3", 0),
            denoise=1.0,
        ),
        "5": node("LingBotTestFingerprint", latent=("4", 0)),
    }
