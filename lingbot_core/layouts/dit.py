# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Recognise a LingBot-World network by the names and shapes of its tensors."""

from __future__ import annotations

import re

import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import Layout, Shapes, TensorSource, scale_name
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import PATCH_CELLS, DiTConfig

_DEFAULT_HEAD_DIM = 128
_CAMERA_CHANNELS = 384
_ACTION_CHANNELS = 7 * 64
"""Per latent cell, of the networks that are steered by actions in place of ray maps."""


def identify(shapes: Shapes, num_heads: int | None = None) -> Layout[DiTConfig]:
    """Check every name and shape of a checkpoint, and derive the sizes of the network.

    Args:
        shapes: Shape of every tensor, by key.
        num_heads: Heads, from ``config.json``; shapes do not tell. One per 128 of width by default.

    Raises:
        WeightsError: Naming the first tensor that is missing, unexpected or misshaped.
    """
    config = _derive_config(shapes, num_heads)
    fp8 = scale_name("blocks.0.ffn.0.weight") in shapes  # a copy of ours
    with torch.device("meta"):
        views = LingBotDiT(config, fp8=fp8).checkpoint_views()
    expected = {key: view.shape for key, view in views.items()}
    scales = {key: scale_name(key) for key, view in views.items() if view.scale is not None}
    expected |= {scale: (expected[key][0], 1) for key, scale in scales.items()}
    for key, shape in expected.items():
        if _shape(shapes, key) != shape:
            raise WeightsError(
                f"Tensor {key} has the wrong shape.",
                got=str(_shape(shapes, key)),
                need=str(shape),
                do="Use the files exactly as published.",
            )
    unexpected = sorted(shapes.keys() - expected.keys())
    if unexpected:
        raise WeightsError(
            f"Tensor {unexpected[0]} does not belong to a LingBot-World network.",
            got=f"{len(unexpected)} such tensors",
            need="none",
            do="Check that the file is the network of a LingBot-World-Fast checkpoint with camera control.",
        )
    sources = {key: TensorSource(key, scales.get(key)) for key in views}
    return Layout("native, in 8 bits" if fp8 else "native", config, sources)


def _derive_config(shapes: Shapes, num_heads: int | None) -> DiTConfig:
    """Sizes as the shapes of a few tensors tell them."""
    dim, in_channels = _sizes(shapes, "patch_embedding.weight", 5)[:2]
    ffn_dim, _ = _sizes(shapes, "blocks.0.ffn.0.weight", 2)
    _, text_dim = _sizes(shapes, "text_embedding.0.weight", 2)
    _, freq_dim = _sizes(shapes, "time_embedding.0.weight", 2)
    out_features, _ = _sizes(shapes, "head.head.weight", 2)
    _, camera_features = _sizes(shapes, "patch_embedding_wancamctrl.weight", 2)
    if camera_features == _ACTION_CHANNELS * PATCH_CELLS:
        raise WeightsError(
            "This network is controlled by actions, not by a camera path (control type act).",
            got=f"patch_embedding_wancamctrl.weight with {camera_features} inputs",
            need=f"{_CAMERA_CHANNELS * PATCH_CELLS}, of control type cam",
            do="Use a checkpoint with camera control.",
        )
    heads = num_heads or max(1, dim // _DEFAULT_HEAD_DIM)
    if dim % heads or dim // heads % 2:
        raise WeightsError(
            f"The width of the network, {dim}, cannot be divided into {heads} heads of even size.",
            do="Set num_heads in the config.json beside the checkpoint.",
        )
    block_indices = [int(match[1]) for match in map(re.compile(r"blocks\.(\d+)\.").match, shapes) if match]
    return DiTConfig(
        dim=dim,
        ffn_dim=ffn_dim,
        num_heads=heads,
        num_layers=max(block_indices) + 1,
        text_dim=text_dim,
        freq_dim=freq_dim,
        in_channels=in_channels,
        out_channels=out_features // PATCH_CELLS,
        camera_channels=camera_features // PATCH_CELLS,
    )


def _shape(shapes: Shapes, key: str) -> tuple[int, ...]:
    """Shape of a tensor that must be there."""
    if key not in shapes:
        raise WeightsError(
            f"Tensor {key} is missing.",
            got=f"{len(shapes)} other tensors",
            do="Check that all files of the checkpoint are there, and that it is a LingBot-World-Fast network.",
        )
    return tuple(shapes[key])


def _sizes(shapes: Shapes, key: str, rank: int) -> tuple[int, ...]:
    """Shape of a tensor that must be there and have ``rank`` axes."""
    shape = _shape(shapes, key)
    if len(shape) != rank:
        raise WeightsError(f"Tensor {key} has the wrong number of axes.", got=str(shape), need=f"{rank} axes")
    return shape
