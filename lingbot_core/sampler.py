# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""From noise to clean latents, chunk by chunk.

:func:`sample_chunk` is the whole method: four passes of the network, each followed by
an estimate of the clean chunk, which the next pass sees under fresh noise. A fifth pass
(:meth:`NetworkPasses.update_cache`) then puts the clean chunk into the KV cache, for the
chunks to come.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lingbot_core.arena import Arena
from lingbot_core.camera.rays import camera_tokens
from lingbot_core.errors import Cancelled
from lingbot_core.image_latents import ImageLatents, condition_tokens
from lingbot_core.loader import LoadedModel
from lingbot_core.models.tokens import patchify, unpatchify
from lingbot_core.passes import NOISE_FEATURES
from lingbot_core.rollout import Rollout
from lingbot_core.schedule import Schedule
from lingbot_core.stats import StageTimer
from lingbot_core.timeline import chunk_tokens, token_grid
from lingbot_core.transfer import to_device

OnPass = Callable[[int, int, int], None]
"""Called after a pass with chunk index, passes done of this chunk, and passes per chunk."""


def sample_chunk(
    network: Callable[[Tensor, int], Tensor], schedule: Schedule, draw_noise: Callable[[], Tensor]
) -> Iterator[Tensor]:
    """One autoregressive step: the clean latent tokens of a chunk, estimated better and better.

    Args:
        network: ``(noisy tokens [L, 64], step index) -> flow [L, 64]``.
        schedule: Noise level of each step.
        draw_noise: Gives fresh noise ``[L, 64]``, one draw per step.

    Yields:
        After each pass of the network the estimate ``[L, 64]``; the last one is the result.
    """
    noisy = draw_noise()
    for step in range(schedule.num_steps):
        clean = schedule.remove_noise(noisy, network(noisy, step), step)
        yield clean
        if step + 1 < schedule.num_steps:
            noisy = schedule.add_noise(clean, draw_noise(), step + 1)


@dataclass(frozen=True)
class LatentChunk:
    """A chunk whose passes were all given to the device, which may still be at work."""

    index: int
    """Chunk index."""

    latents: Tensor
    """Clean normalised latents ``[T, C, h, w]``, on the device."""

    rng_state: Tensor
    """State of the noise generator behind this chunk's draws."""

    timer: StageTimer
    """Running since the chunk began; has the stages ``encode``, ``diffuse``, ``pass``, ``finalize``."""


class PassMonitor:
    """Stands between the passes: obeys cancel, reports progress, keeps the host one pass ahead.

    Args:
        device: Where passes run.
        on_pass: Progress callback, or None.
        cancelled: Asked before each pass, or None.
    """

    def __init__(
        self, device: torch.device, on_pass: OnPass | None = None, cancelled: Callable[[], bool] | None = None
    ) -> None:
        self._device = device
        self._on_pass, self._cancelled = on_pass, cancelled
        self._previous: torch.cuda.Event | None = None

    @contextmanager
    def one_pass(
        self, chunk_index: int, pass_index: int, num_passes: int, *, may_cancel: bool = True
    ) -> Iterator[None]:
        """Run one pass in the body; raises ``Cancelled`` before it when the user wants to stop."""
        if may_cancel and self._cancelled is not None and self._cancelled():
            raise Cancelled(f"Stopped in chunk {chunk_index}, before pass {pass_index + 1} of {num_passes}.")
        yield
        if self._device.type == "cuda":
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
            if self._previous is not None:
                self._previous.synchronize()
            self._previous = event
        if self._on_pass is not None:
            self._on_pass(chunk_index, pass_index + 1, num_passes)


def chunk_inputs(
    model: LoadedModel, rollout: Rollout, image_latents: ImageLatents, index: int
) -> tuple[Tensor, Tensor]:
    """Condition features ``[L, 80]`` and ray features ``[L, 1536]`` of a chunk."""
    condition = condition_tokens(index, image_latents.chunk(index))
    if index + 1 < rollout.num_chunks:
        image_latents.prefetch(index + 1)
    camera = camera_tokens(rollout.cameras[index], rollout.height, rollout.width, model.device, model.dtype)
    return condition, camera


def stream_chunks(
    model: LoadedModel,
    rollout: Rollout,
    arena: Arena,
    image_latents: ImageLatents,
    monitor: PassMonitor,
    on_clean: Callable[[int, Tensor, StageTimer], None],
) -> Generator[LatentChunk | None, None, None]:
    """Generate the unknown chunks of a rollout, in order.

    Args:
        model: The model.
        rollout: Its known chunks must be in the arena's KV ring (see :func:`replay_chunks`).
        arena: Device state; moves on with each chunk.
        image_latents: Latents of the photo.
        monitor: Stands between the passes.
        on_clean: Called with chunk index, latents and timer as soon as they are clean,
            before the cache update, so that decoding can run beside what follows.

    Yields:
        Each chunk, behind its cache update; and None behind every other pass, so that the caller
        can hand out what has become ready.

    Raises:
        Cancelled: Before a denoising pass. The chunk in work leaves no trace.
    """
    generator = rollout.generator()
    num_tokens, grid = chunk_tokens(rollout.height, rollout.width), token_grid(rollout.height, rollout.width)
    num_passes = model.schedule.num_steps + 1

    def draw_noise() -> Tensor:
        # float32 on the CPU, then cast: the same noise on every device, precision and number of ranks
        noise = torch.randn(num_tokens, NOISE_FEATURES, generator=generator, dtype=torch.float32)
        return to_device(noise, model.device).to(model.dtype)

    for index in range(rollout.num_known, rollout.num_chunks):
        timer = StageTimer(model.device)

        def denoise(noisy: Tensor, step: int, index=index, timer=timer) -> Tensor:
            with monitor.one_pass(index, step, num_passes), timer.stage("pass"):
                return arena.passes.denoise(noisy, step)

        with arena.chunk(index, rollout.keys[index]):
            with timer.stage("encode"):
                inputs = chunk_inputs(model, rollout, image_latents, index)
            with timer.stage("diffuse"):
                arena.passes.set_text(rollout.text_ids[index], rollout.texts[index])
                arena.passes.begin_chunk(index, *inputs)
                for clean in sample_chunk(denoise, model.schedule, draw_noise):  # noqa: B007 - the last one is wanted
                    yield None
                latents = unpatchify(clean, grid)
            on_clean(index, latents, timer)
            # clean latents are never thrown away for the sake of one more pass: stop behind it instead
            last_pass = monitor.one_pass(index, num_passes - 1, num_passes, may_cancel=False)
            with timer.stage("finalize"), last_pass:
                arena.passes.update_cache(clean)
        yield LatentChunk(index, latents, generator.get_state(), timer)


def replay_chunks(
    model: LoadedModel, rollout: Rollout, arena: Arena, image_latents: ImageLatents, monitor: PassMonitor
) -> None:
    """Put the known chunks that the KV ring lacks back into it: one pass per chunk.

    Exact, because keys and values that persist are those of the cache update, which sees
    recorded latents and what the ring held then.

    Raises:
        Cancelled: Between two passes.
    """
    for index in range(len(arena.path), rollout.num_known):
        with arena.chunk(index, rollout.keys[index]), monitor.one_pass(index, 0, 1):
            arena.passes.set_text(rollout.text_ids[index], rollout.texts[index])
            arena.passes.begin_chunk(index, *chunk_inputs(model, rollout, image_latents, index))
            latents = to_device(rollout.records[index].latents, model.device).to(model.dtype)
            arena.passes.update_cache(patchify(latents))
