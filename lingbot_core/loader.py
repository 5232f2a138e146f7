# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""From a variant to a model that can run.

Everything that can be wrong is found before anything heavy is read: all files are
located (or downloaded) and their headers checked, and disk and memory looked at.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lingbot_core import preflight, weights
from lingbot_core.checkpoints import (
    Checkpoint,
    build,
    build_empty,
    build_network,
    finish,
    open_checkpoint,
    open_network,
    views_of,
)
from lingbot_core.context_parallel import ONE_RANK, ContextParallel, check_heads
from lingbot_core.decoder import StreamingDecoder
from lingbot_core.errors import LingBotError
from lingbot_core.kernels.attention import Choice, choose
from lingbot_core.layouts import taehv as taehv_layout
from lingbot_core.layouts import umt5 as umt5_layout
from lingbot_core.layouts import wan_vae as vae_layout
from lingbot_core.model_files import MakeRoom, Say, check_memory, find_files, open_tokenizer
from lingbot_core.models import umt5
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.taehv import TAEHVConfig, TAEHVDecoder
from lingbot_core.models.wan_vae import WanVAEConfig, WanVAEDecoder, WanVAEEncoder
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.preview import Previewer
from lingbot_core.random_weights import SIZES, fill_random
from lingbot_core.schedule import Schedule
from lingbot_core.text import PromptTokenizer, TextEncoder
from lingbot_core.tiny_tokenizer import write_test_tokenizer
from lingbot_core.variants import LIGHT_TAE, Variant
from lingbot_core.weight_stream import SpokenProgress

__all__ = [
    "LoadedModel",
    "LoadedNetwork",
    "ModelOptions",
    "load_model",
    "load_network",
    "random_model",
    "random_network",
]

_log = logging.getLogger(__name__)

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run; read-only, so any number of rollouts may share it."""

    variant: Variant
    """What was loaded."""

    options: ModelOptions
    """As the user gave them; the fields below are what they came to."""

    device: torch.device
    """Where it runs."""

    dtype: torch.dtype
    """Dtype of activations, and of weights that are not in 8 bits."""

    precision: str
    """Name of the precision: bf16, fp32 or fp8."""

    identity: str
    """What tells its weights from others, as far as latents depend on them: network and photo encoder."""

    dit: LingBotDiT
    """The network."""

    schedule: Schedule
    """Timesteps and noise levels."""

    text: TextEncoder
    """Prompt encoder; reads its weights at the first prompt."""

    decoder: StreamingDecoder
    """Latents to pixels."""

    build_image_encoder: Callable[[], WanVAEEncoder]
    """Loads the photo encoder anew at each call; the caller frees it."""

    window_chunks: int
    """Window, without the sink, in chunks."""

    sink_chunks: int
    """Sink in chunks."""

    memory: preflight.RunMemory
    """What a run takes, at the frame size of the options."""

    previewer: Previewer | None = None
    """Quick looks at chunks; None where the decoder is quick itself."""

    @property
    def attention(self) -> Choice:
        """How the network computes attention to itself."""
        return choose(self.dit.attention, self.device, self.dtype, self.dit.config.head_dim)


@dataclass(frozen=True)
class LoadedNetwork:
    """What a rank needs that only shares the passes: the network. Its fields are those of :class:`LoadedModel`."""

    device: torch.device
    """Where it runs."""

    dtype: torch.dtype
    """Dtype of activations."""

    dit: LingBotDiT
    """The network."""

    schedule: Schedule
    """Timesteps and noise levels."""

    window_chunks: int
    """Window, without the sink, in chunks."""

    sink_chunks: int
    """Sink in chunks."""

    memory: preflight.RunMemory
    """What a run takes on this rank, at the frame size of the options."""


def load_model(
    variant: Variant,
    options: ModelOptions | None = None,
    on_progress: Say | None = None,
    make_room: MakeRoom | None = None,
    parallel: ContextParallel = ONE_RANK,
    cancelled: Callable[[], bool] | None = None,
) -> LoadedModel:
    """Load a variant: network and decoder now, text and photo encoders when first needed.

    Args:
        variant: What to load.
        options: How; None for the defaults.
        on_progress: Told in a sentence what is being done, every few seconds at most.
        make_room: Told the bytes that a run takes, before free memory is looked at.
        parallel: The ranks that share the passes; this is the first. The others :func:`load_network` at the same time.
        cancelled: Asked all along; not with several ranks, whose processes are ended instead.

    Raises:
        Cancelled: ``cancelled`` returned True; nothing stays in memory.
        InputError: An option is not possible.
        WeightsError: A file is missing, damaged or of another model; names file and tensor.
        ResourceError: Not enough disk or memory, or no access to the hub.
    """
    options, say = options or ModelOptions(), on_progress or _log.info
    run = RunSettings.resolve(variant, options)
    places = options.places(variant, copies=run.copies)
    found = find_files(variant, options, say, make_room, cancelled)

    dit = open_network(found["dit"], run, places.cache_dir)
    choose(run.attention, run.device, run.dtype, dit.layout.config.head_dim)  # raises before weights are read
    encoder = open_checkpoint(found["vae"].path, partial(vae_layout.identify, half="encoder"))
    decoder_path = options.decoder_file or found["taehv" if variant.decoder == "taehv" else "vae"].path
    decoder: Checkpoint[Any]
    if variant.decoder == "taehv":
        decoder = open_checkpoint(decoder_path, taehv_layout.identify)
    else:
        decoder = open_checkpoint(decoder_path, partial(vae_layout.identify, half="decoder"))
    text = open_checkpoint(found["text_encoder"].path, partial(umt5_layout.identify, dim=dit.layout.config.text_dim))
    tokenizer = open_tokenizer(found, text)
    tokenizer.check_vocabulary(text.layout.config.vocab_size)
    check_heads(dit.layout.config.num_heads, parallel.size)
    parameters = dit.num_parameters, text.num_parameters
    memory = run.memory(variant, dit.layout.config, *parameters, encoder.layout.config.base_dim)
    memory = replace(memory, num_ranks=parallel.size)
    check_memory(memory, run.device, make_room)

    make_decoder = WanVAEDecoder if variant.decoder == "wan_vae" else _taehv_maker(decoder_path)
    decoder_module = build(decoder, make_decoder, run, cancelled=cancelled)
    dit_module = build_network(dit, found["dit"], run, places.cache_dir, say, parallel, cancelled)
    return LoadedModel(
        variant=variant,
        options=options,
        device=run.device,
        dtype=run.dtype,
        precision=run.precision,
        identity=f"{dit.reader.identity()}-{dit.layout.config.num_heads}-{encoder.reader.identity()}",
        dit=dit_module,
        schedule=run.schedule,
        text=TextEncoder(
            partial(_build_text_encoder, text, run, say),
            tokenizer,
            run.device,
            run.dtype,
            text.reader.identity(),
        ),
        decoder=StreamingDecoder(decoder_module, f"{variant.decoder}-{decoder.reader.identity()[:16]}-{run.precision}"),
        build_image_encoder=partial(build, encoder, WanVAEEncoder, run),
        window_chunks=run.window_chunks,
        sink_chunks=run.sink_chunks,
        memory=memory,
        previewer=None if variant.decoder == "taehv" else _open_previewer(places, run),
    )


def _taehv_maker(path: Path) -> Callable[[TAEHVConfig], TAEHVDecoder]:
    """Makes the decoder that the weights of a file are for."""
    return partial(TAEHVDecoder, denormalize=taehv_layout.needs_denormalised(path.name))


def _open_previewer(places: weights.Places, run: RunSettings) -> Previewer:
    """A previewer with TAEHV, if its weights are on this machine; for previews nothing is downloaded."""
    try:
        if (found := weights.find(LIGHT_TAE, places)) is None:
            return Previewer(None)
        checkpoint = open_checkpoint(found.path, taehv_layout.identify)
        decoder = build(checkpoint, _taehv_maker(found.path), run)
    except LingBotError as error:
        _log.info("Previews are coarse, without TAEHV. %s", error)
        return Previewer(None)
    return Previewer(StreamingDecoder(decoder, "preview"))


def _build_text_encoder(
    checkpoint: Checkpoint[umt5.UMT5EncoderConfig], run: RunSettings, say: Say, cancelled: Callable[[], bool] | None
) -> umt5.UMT5EncoderModel:
    """Load the text encoder, saying how far it is."""
    doing = "Loading the text encoder"
    say(doing)
    progress = SpokenProgress(say, doing)
    views = umt5.checkpoint_views
    return build(checkpoint, umt5.build_umt5, run, views, on_progress=progress, cancelled=cancelled)


def random_model(
    variant: Variant,
    options: ModelOptions | None = None,
    *,
    size: str = "full",
    text_size: str = "tiny",
    seed: int = 0,
    parallel: ContextParallel = ONE_RANK,
) -> LoadedModel:
    """A variant with random weights made on the device: same speed and memory, pictures of noise.

    Args:
        variant: Decides window, sink and decoder.
        options: How to run it; where to find weights is not looked at.
        size: One of ``random_weights.SIZES``; ``full`` is the published architecture.
        text_size: Same, for the text encoder, which is not part of ``size``.
        seed: Seed of the weights; their values also depend on the kind of device and precision, not on the rank.
        parallel: The ranks that share the passes; this is the first.

    Raises:
        InputError: An option is not possible.
        ResourceError: Not enough memory.
    """
    options, sizes, text_config = options or ModelOptions(), SIZES[size], SIZES[text_size].text
    run = RunSettings.resolve(variant, options)
    check_heads(sizes.dit.num_heads, parallel.size)
    num_parameters = _count_parameters(sizes.dit)
    text_parameters = sum(map(prod, umt5.native_shapes(text_config).values()))
    memory = run.memory(variant, sizes.dit, num_parameters, text_parameters, sizes.vae.base_dim)
    memory = replace(memory, num_ranks=parallel.size)
    check_memory(memory, run.device)
    choose(run.attention, run.device, run.dtype, sizes.dit.head_dim)  # a part of loading, as with real weights
    name = f"random-{size}-{seed}"
    with tempfile.TemporaryDirectory() as folder:
        write_test_tokenizer(Path(folder), text_config.vocab_size)
        tokenizer = PromptTokenizer(Path(folder))
        assert tokenizer.identity and tokenizer.vocab_size  # read now, before the folder goes

    make_random = partial(_make_random, run, seed)
    if variant.decoder == "wan_vae":
        decoder: nn.Module = make_random(WanVAEDecoder, sizes.vae)
    else:
        decoder = make_random(partial(TAEHVDecoder, denormalize=True), sizes.taehv)
    return LoadedModel(
        variant=variant,
        options=options,
        device=run.device,
        dtype=run.dtype,
        precision=run.precision,
        identity=name,
        dit=make_random(partial(LingBotDiT, fp8=run.fp8, attention=run.attention), sizes.dit),
        schedule=run.schedule,
        text=TextEncoder(
            lambda cancelled: make_random(umt5.build_umt5, text_config, umt5.checkpoint_views),
            tokenizer,
            run.device,
            run.dtype,
            f"random-{text_size}-{seed}",
        ),
        decoder=StreamingDecoder(decoder, f"{variant.decoder}-{name}-{run.precision}"),
        build_image_encoder=partial(make_random, WanVAEEncoder, sizes.vae),
        window_chunks=run.window_chunks,
        sink_chunks=run.sink_chunks,
        memory=memory,
    )


# --- for ranks that only share the passes -----------------------------------------------


def load_network(
    variant: Variant, options: ModelOptions, parallel: ContextParallel, on_progress: Say | None = None
) -> LoadedNetwork:
    """Load the network alone, while the first rank runs :func:`load_model`.

    Args:
        variant: What to load.
        options: How; the same on all ranks, but for the device.
        parallel: The ranks.
        on_progress: Told in a sentence what is being done.

    Raises:
        LingBotError: As of :func:`load_model`.
    """
    say, run = on_progress or _log.debug, RunSettings.resolve(variant, options)
    places = options.places(variant, copies=run.copies)
    found = weights.find_all(variant, places, say, roles={"dit"})["dit"]
    checkpoint = open_network(found, run, places.cache_dir)
    config = checkpoint.layout.config
    choose(run.attention, run.device, run.dtype, config.head_dim)
    memory = _network_memory(variant, run, config, checkpoint.num_parameters, parallel)
    return _loaded_network(run, build_network(checkpoint, found, run, places.cache_dir, say, parallel), memory)


def random_network(
    variant: Variant, options: ModelOptions, parallel: ContextParallel, *, size: str = "full", seed: int = 0
) -> LoadedNetwork:
    """The network of :func:`random_model` alone, for the other ranks: with the same weights on a device of its kind."""
    run, config = RunSettings.resolve(variant, options), SIZES[size].dit
    memory = _network_memory(variant, run, config, _count_parameters(config), parallel)
    make = partial(LingBotDiT, fp8=run.fp8, attention=run.attention)
    return _loaded_network(run, _make_random(run, seed, make, config), memory)


def _network_memory(
    variant: Variant, run: RunSettings, config: DiTConfig, num_parameters: int, parallel: ContextParallel
) -> preflight.RunMemory:
    """What such a rank needs; raises when the device has less, or the heads do not divide."""
    check_heads(config.num_heads, parallel.size)
    memory = run.memory(variant, config, num_parameters, 0, WanVAEConfig().base_dim)
    memory = replace(memory, num_ranks=parallel.size, network_only=True)
    check_memory(memory, run.device)
    return memory


def _loaded_network(run: RunSettings, dit: LingBotDiT, memory: preflight.RunMemory) -> LoadedNetwork:
    return LoadedNetwork(run.device, run.dtype, dit, run.schedule, run.window_chunks, run.sink_chunks, memory)


def _count_parameters(config: DiTConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in LingBotDiT(config).parameters())


def _make_random(
    run: RunSettings,
    seed: int,
    make: Callable[[Any], ModuleT],
    config: object,
    view: Callable[[Any], Any] = views_of,
) -> ModuleT:
    """A module on the run's device with random weights."""
    module = build_empty(make, config, run)
    fill_random(view(module), seed, run.device)
    finish(module)
    return module
