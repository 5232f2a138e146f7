# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What tells one loaded model from another, however it was asked for.

Knows nothing of ComfyUI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lingbot_core import weights
from lingbot_core.options import Machines, RunSettings
from lingbot_core.variants import get_variant

from .tokens import ModelToken


@dataclass(frozen=True)
class ModelKey:
    """What a token comes to on this machine; tokens with equal keys are served by one loaded model.

    Not in it is how files are found (folders, cache, whether they may be downloaded), and the frame
    size, which is that of each run.
    """

    slug: str
    """The variant."""

    precision: str
    """Name of the precision."""

    schedule: str
    """Name of the schedule."""

    attention: str
    """Name of the way in which attention is computed, never ``auto``."""

    image_mode: str
    """How long the photo is seen."""

    offload: str
    """What waits in host memory."""

    window_chunks: int
    """Window, without the sink, in chunks."""

    sink_chunks: int
    """Sink in chunks."""

    device: str
    """Where it runs."""

    num_gpus: int
    """GPUs of this machine."""

    machines: Machines | None
    """Other machines."""

    files: tuple[tuple[str, Path | None], ...]
    """What its weights are read from, by role; None for what is not on this machine."""


def model_key(token: ModelToken) -> ModelKey:
    """The key of a token, at this moment: files may come and go. Touches no network.

    Raises:
        InputError: An option is not possible here.
        WeightsError: A file that was named is not there.
    """
    variant, options = get_variant(token.slug), token.options
    run = RunSettings.resolve(variant, options)
    return ModelKey(
        slug=variant.slug,
        precision=run.precision,
        schedule=run.schedule.name,
        attention=run.attention_backend,
        image_mode=options.image_mode,
        offload=options.offload,
        window_chunks=run.window_chunks,
        sink_chunks=run.sink_chunks,
        device=str(run.device),
        num_gpus=options.num_gpus,
        machines=options.machines,
        files=_files(token, run),
    )


def _files(token: ModelToken, run: RunSettings) -> tuple[tuple[str, Path | None], ...]:
    """Where each role's weights are; a link is not followed, because names tell kinds of weights."""
    variant, options = get_variant(token.slug), token.options
    places = options.places(variant, copies=run.copies)
    found = {item.role: weights.find(item, places) for item in variant.weights}
    files = {role: item.path.absolute() if item is not None else None for role, item in found.items()}
    decoder = options.decoder_file.absolute() if options.decoder_file is not None else None
    role = "taehv" if variant.decoder == "taehv" else "vae"
    return (*sorted(files.items()), ("decoder", decoder or files[role]))
