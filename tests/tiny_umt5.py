# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A text encoder small enough for tests, and loading a file into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lingbot_core.layouts import umt5 as layout
from lingbot_core.models.umt5 import UMT5EncoderConfig, build_umt5, checkpoint_views
from lingbot_core.readers import open_weights
from lingbot_core.weight_stream import materialize, stream_tensors

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

TINY = UMT5EncoderConfig(vocab_size=128, dim=48, ffn_dim=40, num_heads=3, head_dim=8, num_layers=3)
"""Inner width 24 differs from every other size, so that no shape can be mistaken for another."""


def make_tiny_umt5(config: UMT5EncoderConfig = TINY) -> UMT5EncoderModel:
    """A float32 encoder whose every part changes its result noticeably."""
    model = build_umt5(config)
    generator = torch.Generator().manual_seed(7)
    for name, parameter in sorted(model.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator)
        if name.endswith("layer_norm.weight"):
            parameter.copy_(1 + 0.1 * values)
        elif name.endswith("relative_attention_bias.weight") or name == "shared.weight":
            parameter.copy_(values)
        else:
            parameter.copy_(values * parameter.shape[1] ** -0.5)
    return model


def native_tensors(model: UMT5EncoderModel) -> dict[str, Tensor]:
    """The checkpoint of an encoder, as copies by native name."""
    return {name: view.target.clone() for name, view in checkpoint_views(model).items()}


def load_umt5(path: Path, dtype: torch.dtype = torch.float32, dim: int = TINY.dim) -> UMT5EncoderModel:
    """Recognise a file and load it, in the way of the loader."""
    reader = open_weights(path)
    found = layout.identify(reader.shapes(), dim)
    with torch.device("meta"):
        model = build_umt5(found.config)
    materialize(model, torch.device("cpu"), dtype)
    stream_tensors(reader, found, checkpoint_views(model))
    return model
