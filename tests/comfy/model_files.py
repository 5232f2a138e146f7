# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Model files that tests put into ComfyUI's models folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_core.variants import DIT_V1, LIGHT_TAE, UMT5, WAN_VAE, RemoteWeights

AddFile = Callable[[str, str, dict[str, Tensor]], str]
"""Writes a file for a role under a name; gives the name that the loader has for it."""

ROLES: dict[str, tuple[str, RemoteWeights]] = {
    "network": ("diffusion_models", DIT_V1),
    "text_encoder": ("text_encoders", UMT5),
    "vae": ("vae", WAN_VAE),
    "decoder": ("vae_approx", LIGHT_TAE),
}
"""Folder and weights of each menu of the loader."""


def tensors_of(root: Path, role: str) -> dict[str, Tensor]:
    """All tensors of a role's weights in a checkpoint root."""
    weights = ROLES[role][1]
    path = root / weights.repo / weights.path
    if path.suffix == ".pth":
        return torch.load(path, weights_only=True)
    shards = sorted(path.parent.glob("*.safetensors"))
    return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
