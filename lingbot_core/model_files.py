# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a model, and whether there is room for it: what is found out before anything heavy is read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import torch

from lingbot_core import preflight, weights
from lingbot_core.checkpoints import Checkpoint
from lingbot_core.layouts import umt5 as umt5_layout
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.wan_vae import WanVAEConfig
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.readers import open_weights
from lingbot_core.text import PromptTokenizer
from lingbot_core.variants import Role, Variant

Say = Callable[[str], None]
"""Told in a sentence what is being done."""

MakeRoom = Callable[[int], None]
"""Told the bytes that a run takes, before free memory is looked at."""


def find_files(
    variant: Variant,
    options: ModelOptions,
    say: Say,
    make_room: MakeRoom | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[Role, weights.Found]:
    """Locate, and where missing download, what ``loader.load_model`` will read; its arguments and errors."""
    run = RunSettings.resolve(variant, options)
    places = options.places(variant, copies=run.copies)
    if places.allow_download and weights.find(variant.dit, places) is None:  # what would be downloaded must also fit
        memory = run.memory(variant, DiTConfig.lingbot_14b(), 18_544_332_864, 5_680_910_336, WanVAEConfig().base_dim)
        check_memory(memory, run.device, make_room)
    return weights.find_all(variant, places, say, roles=wanted_roles(variant, places), cancelled=cancelled)


def wanted_roles(variant: Variant, places: weights.Places) -> set[Role]:
    """All weights; not the tokenizer when the text encoder's file carries a usable one and no other is there."""
    roles: set[Role] = {item.role for item in variant.weights}
    text = weights.find(variant.text_encoder, places)
    if text is None or weights.find(variant.tokenizer, places) is not None:
        return roles
    carried = umt5_layout.find_tokenizer_key(open_weights(text.path).shapes())
    usable = carried is not None and importlib.util.find_spec("sentencepiece") is not None
    if usable:
        roles.discard("tokenizer")
    return roles


def open_tokenizer(found: Mapping[Role, weights.Found], text: Checkpoint[Any]) -> PromptTokenizer:
    """The tokenizer's file, or the one inside the text encoder's file."""
    if "tokenizer" in found:
        return PromptTokenizer(found["tokenizer"].path)
    key = umt5_layout.find_tokenizer_key(text.reader.shapes())
    assert key is not None, found
    return PromptTokenizer(text.reader.read(key))


def check_memory(run: preflight.RunMemory, device: torch.device, make_room: MakeRoom | None = None) -> None:
    """Stop when the device has no room for a run, ``make_room`` having been asked for it."""
    if make_room is not None:
        make_room(run.estimate().total)
    preflight.check_memory(device, run)
    if run.offload:
        preflight.check_host_memory(run)
