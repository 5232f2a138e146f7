# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Recognise the tiny decoder for Wan 2.1 latents by the names and shapes of its tensors."""

from __future__ import annotations

import re

import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import Layout, Shapes, TensorSource
from lingbot_core.layouts.matching import check_no_others, check_tensors
from lingbot_core.models.taehv import LATENT_CHANNELS, TAEHVConfig, TAEHVDecoder

_MODEL = "the tiny decoder of Wan 2.1"

_WIDTH_KEYS = ("decoder.1.weight", "decoder.8.weight", "decoder.14.weight")
"""Convolutions whose outputs are as wide as the three stages."""

_TIME_GROW_KEYS = ("decoder.7.conv.weight", "decoder.13.conv.weight", "decoder.19.conv.weight")
"""Some files have these for more time steps than are used; the last rows belong to the last steps."""

_OTHER_LATENTS = {4: "SD", 32: "HunyuanVideo 1.5", 48: "Wan 2.2 5B"}
"""Latent channels of other families that have decoders of this kind."""


def identify(shapes: Shapes) -> Layout[TAEHVConfig]:
    """Check names and shapes of the decoder, and derive its sizes. Tensors of the encoder may be there.

    Args:
        shapes: Shape of every tensor of the file, by key.

    Raises:
        WeightsError: Naming what the file is instead, or the first tensor that is missing,
            misshaped or unexpected.
    """
    _refuse_other_models(shapes)
    width_1, width_2, width_3 = (shapes[key][0] for key in _WIDTH_KEYS)
    config = TAEHVConfig((width_1, width_2, width_3))
    with torch.device("meta"):
        views = TAEHVDecoder(config, denormalize=False).checkpoint_views()
    needed = {name: view.shape for name, view in views.items()}
    sources = {name: TensorSource(name, last_rows=_last_rows(shapes, name, needed[name])) for name in needed}
    check_tensors(shapes, sources, needed, _MODEL)
    check_no_others(shapes, {*needed, *(key for key in shapes if key.startswith("encoder."))}, _MODEL)
    return Layout("native", config, sources)


def needs_denormalised(file_name: str) -> bool:
    """Whether a file's weights expect the autoencoder's own latents and not the network's.

    Those of LightX2V (``lighttaew2_1``) do, the original ones (``taew2_1``) do not. Nothing in
    the files tells them apart, so this goes by the file's own name; its folders do not count.
    """
    return "lighttae" in re.split(r"[/\\]", file_name)[-1].lower()


def _last_rows(shapes: Shapes, name: str, needed: tuple[int, ...]) -> int | None:
    """How many rows to keep of a tensor with too many; None to keep all."""
    if name in _TIME_GROW_KEYS and name in shapes and shapes[name][0] > needed[0]:
        return needed[0]
    return None


def _refuse_other_models(shapes: Shapes) -> None:
    """Name the files that are most easily taken for this one."""
    what = ""
    first_block = shapes.get("decoder.3.conv.0.weight", ())
    if any(re.match(r"(3\.conv\.0|decoder\.layers\.\d+(\.conv\.0)?)\.weight", key) for key in shapes) or (
        len(first_block) == 4 and first_block[0] == first_block[1]
    ):
        what = "a tiny autoencoder for still images (TAESD)"
    elif any("middle.0.residual" in key or "mid_block" in key for key in shapes):
        what = "a full VAE"
    elif any(key not in shapes or len(shapes[key]) != 4 for key in _WIDTH_KEYS):
        what = "another kind of model" if shapes else "an empty file"
    elif shapes["decoder.1.weight"][1] != LATENT_CHANNELS:
        channels = shapes["decoder.1.weight"][1]
        what = f"a decoder for {channels} latent channels ({_OTHER_LATENTS.get(channels, 'of another model')})"
    if what:
        raise WeightsError(
            f"This file is not {_MODEL}.",
            got=what,
            need=f"a TAEHV decoder for {LATENT_CHANNELS} latent channels",
            do="Use lighttaew2_1.pth of lightx2v/Autoencoders or taew2_1.pth of madebyollin/taehv.",
        )
