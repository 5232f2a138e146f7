# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The node that generates."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace

import torch
from comfy_api.latest import io
from torch import Tensor

from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError
from lingbot_core.executor.base import ChunkResult, Executor, PassProgress, RolloutRequest
from lingbot_core.models.wan_vae import denormalize_latents
from lingbot_core.photo import FITS, check_size, fit_photo
from lingbot_core.timeline import SIZE_MULTIPLE

from . import host
from .conditioning import Conditioning, to_events
from .messages import plain_errors
from .player import FramePlayer
from .tokens import ModelToken, RolloutToken, check_token
from .types import CATEGORY, CameraSocket, ModelSocket, RolloutSocket

log = logging.getLogger(__name__)

PASSES_PER_CHUNK = 5
"""Four denoising passes and the cache update: steps of the progress bar."""


class LingBotStreamingSampler(io.ComfyNode):
    """Generates a video chunk by chunk; computes only what no earlier run has computed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotStreamingSampler",
            display_name="LingBot Streaming Sampler",
            category=f"{CATEGORY}/sampling",
            description="Generates the video chunk by chunk along the camera path, showing it as it comes. Chunks "
            "that an earlier run has made of the same video are taken from there: lengthen it, or change the path or "
            "the prompt from some chunk on, and only the rest is computed.",
            inputs=[
                ModelSocket.Input("model", tooltip="From LingBot World Loader."),
                io.Image.Input(
                    "image", tooltip="The photo that the video starts from. Of several the first, without transparency."
                ),
                CameraSocket.Input("camera", tooltip="The camera path. The video ends where it ends."),
                io.Conditioning.Input(
                    "conditioning", tooltip="The encoded prompt, with or without LingBot Text Events."
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Seed of the noise. The same one gives the same video.",
                ),
                io.Int.Input(
                    "total_blocks",
                    default=21,
                    min=1,
                    max=1000,
                    tooltip="Chunks of the video: 9 frames, then 12 each, at 16 frames per second (21: 249 frames).",
                ),
                io.Int.Input(
                    "height",
                    default=464,
                    min=SIZE_MULTIPLE,
                    max=2048,
                    step=SIZE_MULTIPLE,
                    optional=True,
                    tooltip="Height of the video in pixels, a multiple of 16. The model was trained at 464x832.",
                ),
                io.Int.Input(
                    "width",
                    default=832,
                    min=SIZE_MULTIPLE,
                    max=2048,
                    step=SIZE_MULTIPLE,
                    optional=True,
                    tooltip="Width of the video in pixels, a multiple of 16. The model was trained at 464x832.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=FITS[0],
                    optional=True,
                    tooltip="How a photo of another shape is brought to that size: stretched as the model's makers do, "
                    "or scaled and cropped around its middle.",
                ),
            ],
            outputs=[
                RolloutSocket.Output(
                    "rollout", display_name="rollout", tooltip="For LingBot Decoder and Save Rollout."
                ),
                io.Latent.Output("latent", display_name="latent", tooltip="For core VAE Decode with a Wan 2.1 VAE."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @plain_errors
    def execute(
        cls,
        model: ModelToken,
        image: Tensor,
        camera: CameraTrajectory,
        conditioning: Conditioning,
        seed: int,
        total_blocks: int,
        height: int = 464,
        width: int = 832,
        fit: str = FITS[0],
    ) -> io.NodeOutput:
        check_token(model, ModelToken, "model", "LingBot World Loader")
        check_token(camera, CameraTrajectory, "camera", "one of the LingBot Camera nodes")
        check_size(height, width)
        num_chunks = min(total_blocks, camera.num_chunks)
        reporter = host.Reporter(cls.hidden.unique_id, num_chunks * PASSES_PER_CHUNK)
        if num_chunks < total_blocks:
            reporter.warn(
                f"The camera path ends after {camera.num_chunks} of {total_blocks} chunks; the video ends there."
            )
        photo, crop = fit_photo(_first_photo(image, reporter), height, width, fit)
        if crop is not None and camera.intrinsics_of_photo:
            camera = replace(camera, intrinsics=crop.adjust_intrinsics(camera.intrinsics))
        engine, cancelled = host.ENGINES.engine(model), lambda: reporter.interrupted
        with reporter.interruptible(), engine.session(reporter.text, (height, width), cancelled) as executor:
            text_dim = executor.info.text_dim
            text = to_events(conditioning, num_chunks, text_dim, reporter.warn)
            request = RolloutRequest(photo, camera, text, num_chunks, seed)
            start_sec = time.monotonic()
            keys, latents, num_reused = _run(executor, request, reporter)
            known = f"{num_reused} known, {num_chunks - num_reused} computed"
            log.info("%s: %s, in %.2f s", model.slug, known, time.monotonic() - start_sec)
            rollout = RolloutToken(model, request, keys, executor.info.decoder, num_reused)
        samples = denormalize_latents(latents.float()).transpose(0, 1)[None]  # [1, 16, T, h, w], as ComfyUI's VAE
        return io.NodeOutput(rollout, {"samples": samples.contiguous()})


def _first_photo(image: Tensor, reporter: host.Reporter) -> Tensor:
    """The first picture of an IMAGE ``[B, H, W, C]`` in 0..1, as 0..255 ``[H, W, 3]``."""
    if image.ndim != 4 or not image.numel():
        raise InputError("The image is not a picture.", got=f"a tensor of shape {list(image.shape)}", need="IMAGE")
    if len(image) > 1:
        reporter.warn(f"The image input has {len(image)} pictures; the first one is used.")
    photo = image[0].cpu().float().nan_to_num()
    if photo.shape[-1] not in (3, 4):
        photo = photo[..., :1].expand(-1, -1, 3)  # grey
    return (photo[..., :3] * 255).round().clamp(0, 255)


def _run(executor: Executor, request: RolloutRequest, reporter: host.Reporter) -> tuple[tuple[str, ...], Tensor, int]:
    """Run a request with progress and previews.

    Returns:
        Key of each chunk, normalised latents ``[T, 16, h, w]``, and how many chunks were known before.
    """
    keys, latents, num_reused = [], [], 0
    player = FramePlayer(reporter.preview)

    def on_pass(progress: PassProgress) -> None:
        reporter.on_pass(progress)
        if progress.preview is not None:
            player.play(progress.preview)

    stream = executor.stream(request, on_progress=on_pass, cancelled=lambda: reporter.interrupted, previews=True)
    try:
        with closing(stream):
            for chunk in stream:
                # frames of known chunks would only flash by; the last one shows where the video stands
                player.play(chunk.frames[-1:] if chunk.reused else chunk.frames)
                reporter.progress((chunk.index + 1) * PASSES_PER_CHUNK)
                reporter.text(_summary(chunk, request.num_chunks))
                host.ENGINES.recent.note(request, chunk.index + 1)
                keys.append(chunk.key)
                latents.append(chunk.latents)
                num_reused += chunk.reused
    finally:
        player.close()
    reporter.check_interrupt()
    return tuple(keys), torch.cat(latents), num_reused


def _summary(chunk: ChunkResult, num_chunks: int) -> str:
    """One line about a chunk."""
    place = f"chunk {chunk.index + 1} of {num_chunks}"
    if chunk.reused:
        return f"{place}: known"
    stats = chunk.stats.as_dict()
    return f"{place}: {stats['wall_ms']:.0f} ms, {stats['fps']:.1f} fps"
