# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The node that writes the video file."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import InputImpl, io, ui

from lingbot_core.camera.trajectory import FRAMES_PER_SECOND
from lingbot_core.stats_file import StatsFile

from . import host
from .decoder import rollout_chunks
from .messages import plain_errors
from .tokens import RolloutToken, check_token
from .types import CATEGORY, RolloutSocket

IDENTITY_TAG = "lingbot_rollout"
"""Metadata of a video file that tells which rollout it is of."""


class LingBotSaveRollout(io.ComfyNode):
    """Writes a rollout as mp4 with its stats, frame by frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotSaveRollout",
            display_name="LingBot Save Rollout",
            category=f"{CATEGORY}/output",
            description="Writes the video as <variant>.mp4 and what each chunk cost as stats_<variant>.json into the "
            "output folder, in little memory however long it is. A file of another video is never overwritten: the "
            "next is numbered. The workflow is kept in the mp4.",
            inputs=[
                RolloutSocket.Input("rollout", tooltip="From LingBot Streaming Sampler."),
                io.Float.Input(
                    "fps",
                    default=float(FRAMES_PER_SECOND),
                    min=1.0,
                    max=120.0,
                    step=1.0,
                    optional=True,
                    tooltip="Frames per second of the file. The model was trained at 16.",
                ),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="The file, for core video nodes.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    @plain_errors
    def execute(cls, rollout: RolloutToken, fps: float = float(FRAMES_PER_SECOND)) -> io.NodeOutput:
        check_token(rollout, RolloutToken, "rollout", "LingBot Streaming Sampler")
        identity = f"{rollout.keys[-1]} {rollout.decoder} {fps:g}"
        video, stats, is_written = _place(host.output_folder(), rollout.model.slug, identity)
        reporter = host.Reporter(cls.hidden.unique_id, rollout.num_chunks)
        if is_written:
            reporter.text(f"{video.name} is already there")
        else:
            workflow = host.workflow_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
            _write(rollout, video, stats, fps, {IDENTITY_TAG: identity, **workflow}, reporter)
        files = [ui.SavedResult(path.name, "", io.FolderType.output) for path in (video, stats)]
        shown = {"images": files[:1], "animated": (True,), "files": files}
        return io.NodeOutput(InputImpl.VideoFromFile(str(video)), ui=shown)


def _place(folder: Path, slug: str, identity: str) -> tuple[Path, Path, bool]:
    """Where a rollout goes: video, stats, and whether both are already there."""
    from lingbot_core.video import read_metadata

    number = 1
    while True:
        name = slug if number == 1 else f"{slug}_{number:05d}"
        video, stats = folder / f"{name}.mp4", folder / f"stats_{name}.json"
        if not video.exists():
            return video, stats, False
        if read_metadata(video).get(IDENTITY_TAG) == identity:
            return video, stats, stats.exists()
        number += 1


def _write(
    rollout: RolloutToken, video: Path, stats: Path, fps: float, metadata: dict[str, str], reporter: host.Reporter
) -> None:
    """Write both files chunk by chunk."""
    from lingbot_core.video import VideoWriter

    stats_file = StatsFile(stats)
    try:
        with (
            VideoWriter(video, *rollout.size, fps, metadata) as writer,
            rollout_chunks(rollout, reporter) as chunks,
        ):
            for chunk in chunks:
                writer.append(chunk.frames)
                stats_file.append(chunk.stats)
    except BaseException:  # the interrupt of ComfyUI 0.26 is no Exception
        for path in (video, stats):  # a beginning must not pass for the whole video later on
            path.unlink(missing_ok=True)
        raise
    reporter.text(f"{video.name}: {writer.num_frames} frames")
