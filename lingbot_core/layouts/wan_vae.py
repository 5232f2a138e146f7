# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Recognise the Wan 2.1 video autoencoder by the names and shapes of its tensors.

Known layouts: native (``Wan2.1_VAE.pth``, ComfyUI's ``wan_2.1_vae.safetensors``), native
below ``model.``, and that of diffusers' ``AutoencoderKLWan``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import Layout, Shapes, TensorSource
from lingbot_core.layouts.matching import check_no_others, check_tensors
from lingbot_core.models.wan_vae import LATENT_MEAN, WanVAEConfig, WanVAEDecoder, WanVAEEncoder

Half = Literal["encoder", "decoder"]

_PREFIX = "model."

_DIFFUSERS_NAMES = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.downsamples\.", ".down_blocks."),
)
"""Patterns of native names and what diffusers has in their place, applied one after the other."""

_BLOCKS_PER_STAGE = 4
"""Entries of ``decoder.upsamples`` per resolution: three residual blocks and an upsampler."""


def identify(shapes: Shapes, half: Half) -> Layout[WanVAEConfig]:
    """Check names and shapes of one half of the autoencoder, and derive its sizes.

    Tensors of the other half may be there or not.

    Args:
        shapes: Shape of every tensor of the file, by key.
        half: Which half is wanted.

    Raises:
        WeightsError: Naming what the file is instead, or the first tensor that is missing,
            misshaped or unexpected.
    """
    model = f"the Wan 2.1 VAE {half}"
    prefix = _PREFIX if all(key.startswith(_PREFIX) for key in shapes) else ""
    keys = {key.removeprefix(prefix) for key in shapes}
    _refuse_other_models(keys, shapes, prefix)
    is_diffusers = any(".mid_block.resnets." in key for key in keys)

    def source(name: str) -> TensorSource:
        return TensorSource(prefix + (diffusers_name(name) if is_diffusers else name))

    config = _derive_config(shapes, half, source, model)
    needed = _native_shapes(config, half)
    sources = {name: source(name) for name in needed}
    check_tensors(shapes, sources, needed, model)
    other_half = _native_shapes(config, "encoder" if half == "decoder" else "decoder")
    check_no_others(shapes, {source(name).key for name in (*needed, *other_half)}, "the Wan 2.1 VAE")
    name = "diffusers" if is_diffusers else "native"
    return Layout(f"{name} below {prefix}" if prefix else name, config, sources)


def diffusers_name(name: str) -> str:
    """Key of a native tensor in a checkpoint of diffusers' ``AutoencoderKLWan``."""
    for pattern, replacement in _DIFFUSERS_NAMES:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\.upsamples\.(\d+)\.", _diffusers_up_block, name)


def _diffusers_up_block(match: re.Match[str]) -> str:
    stage, position = divmod(int(match[1]), _BLOCKS_PER_STAGE)
    is_upsampler = position == _BLOCKS_PER_STAGE - 1
    return f".up_blocks.{stage}." + ("upsamplers.0." if is_upsampler else f"resnets.{position}.")


def _native_shapes(config: WanVAEConfig, half: Half) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = WanVAEEncoder(config) if half == "encoder" else WanVAEDecoder(config)
    return {name: view.shape for name, view in model.checkpoint_views().items()}


def _derive_config(shapes: Shapes, half: Half, source: Callable[[str], TensorSource], model: str) -> WanVAEConfig:
    """Sizes as two tensors tell them; their shapes are checked with all others later."""
    first_of_half = {"encoder": "encoder.conv1.weight", "decoder": "decoder.head.0.gamma"}[half]
    key = source(first_of_half).key
    if key not in shapes:
        raise WeightsError(
            f"This file does not hold {model}: tensor {key} is missing.",
            got=f"a file with {len(shapes)} other tensors",
            do="Use the whole VAE, for example Wan2.1_VAE.pth of lightx2v/Autoencoders.",
        )
    return WanVAEConfig(base_dim=shapes[key][0], z_dim=len(LATENT_MEAN))


def _refuse_other_models(keys: set[str], shapes: Shapes, prefix: str) -> None:
    """Name the files that are most easily taken for this one."""
    what = ""
    latent_channels = {
        name: shapes[prefix + name][0] for name in ("conv2.weight", "post_quant_conv.weight") if name in keys
    }
    if "decoder.upsamples.0.upsamples.0.residual.2.weight" in keys or 48 in latent_channels.values():
        what = "the VAE of Wan 2.2 5B, with 48 latent channels"
    elif any(re.match(r"(decoder\.)?\d+\.conv\.0\.weight", key) for key in keys):
        what = "a tiny autoencoder (TAE)"
    elif any(key.endswith("blocks.0.self_attn.q.weight") for key in keys):
        what = "a diffusion network"
    elif not any(
        re.match(r"(encoder|decoder)\.(middle\.0\.residual|mid_block\.resnets\.0\.norm1\.gamma)", k) for k in keys
    ):
        what = "another kind of model" if keys else "an empty file"
    if what:
        raise WeightsError(
            "This file is not the VAE of Wan 2.1.",
            got=what,
            need="the VAE of Wan 2.1, with 16 latent channels",
            do="Use Wan2.1_VAE.pth of lightx2v/Autoencoders or wan_2.1_vae.safetensors of "
            "Comfy-Org/Wan_2.1_ComfyUI_repackaged.",
        )
