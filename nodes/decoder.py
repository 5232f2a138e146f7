# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The node that hands out pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import torch
from comfy_api.latest import io

from lingbot_core.camera.trajectory import FRAMES_PER_SECOND
from lingbot_core.executor.base import ChunkResult, PassProgress
from lingbot_core.timeline import first_pixel_frame, num_pixel_frames

from . import host
from .messages import plain_errors
from .tokens import RolloutToken, check_token
from .types import CATEGORY, RolloutSocket


class LingBotDecoder(io.ComfyNode):
    """The frames of a rollout as IMAGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotDecoder",
            display_name="LingBot Decoder",
            category=f"{CATEGORY}/output",
            description="The frames of a rollout as pictures. They were decoded while the sampler ran; only what has "
            "been deleted since is decoded again. To write a long video in little memory, use LingBot Save Rollout.",
            inputs=[RolloutSocket.Input("rollout", tooltip="From LingBot Streaming Sampler.")],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="All frames, in order."),
                io.Float.Output("fps", display_name="fps", tooltip="Frames per second, for Create Video: 16."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @plain_errors
    def execute(cls, rollout: RolloutToken) -> io.NodeOutput:
        check_token(rollout, RolloutToken, "rollout", "LingBot Streaming Sampler")
        reporter = host.Reporter(cls.hidden.unique_id, rollout.num_chunks)
        images = torch.empty(num_pixel_frames(rollout.num_chunks), *rollout.size, 3)  # [F, H, W, 3]
        with rollout_chunks(rollout, reporter) as chunks:
            for chunk in chunks:
                first = first_pixel_frame(chunk.index)
                frames = torch.tensor(chunk.frames)  # a copy: recorded frames are mapped read-only
                torch.div(frames, 255, out=images[first : first + len(frames)])
        return io.NodeOutput(images, float(FRAMES_PER_SECOND))


@contextmanager
def rollout_chunks(rollout: RolloutToken, reporter: host.Reporter) -> Iterator[Iterator[ChunkResult]]:
    """The chunks of a rollout one by one, with progress; obeys the interrupt.

    Args:
        rollout: What to read.
        reporter: With a progress bar of as many steps as there are chunks.
    """

    def on_pass(progress: PassProgress) -> None:
        reporter.text(f"making chunk {progress.chunk_index + 1} of {progress.num_chunks} again")

    chunks = host.ENGINES.chunks(rollout, reporter.text, on_pass, lambda: reporter.interrupted)

    def reported() -> Iterator[ChunkResult]:
        for chunk in chunks:
            yield chunk
            reporter.progress(chunk.index + 1)
            reporter.check_interrupt()

    with closing(chunks), reporter.interruptible():
        yield reported()
