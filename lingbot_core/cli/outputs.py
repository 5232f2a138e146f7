# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The files that ``generate`` writes, fed chunk by chunk."""

from __future__ import annotations

from pathlib import Path

from lingbot_core.contact_sheet import ContactSheet
from lingbot_core.executor.base import ChunkResult, RolloutRequest
from lingbot_core.stats_file import StatsFile
from lingbot_core.timeline import num_pixel_frames
from lingbot_core.video import VideoWriter


class Outputs:
    """``<slug>.mp4``, ``stats_<slug>.json`` and, if wanted, ``<slug>.png`` in one folder.

    Phases: construct (fails at once where nothing can be written), :meth:`append` each chunk in
    order, leave the context. However it is left, the files hold the chunks so far.

    Args:
        folder: Made when missing.
        slug: Variant, which names the files.
        request: What will be generated.
        fps: Frames per second of the video.
        contact_sheet: Whether to make one.

    Raises:
        InputError: ``fps`` cannot be used.
        OutputError: ``folder`` cannot be written to.
    """

    def __init__(self, folder: Path, slug: str, request: RolloutRequest, fps: float, contact_sheet: bool) -> None:
        height, width = request.photo.shape[:2]
        self.num_chunks = 0
        """Chunks appended so far."""
        self._video = VideoWriter(folder / f"{slug}.mp4", height, width, fps)
        self._stats = StatsFile(folder / f"stats_{slug}.json")
        num_frames = num_pixel_frames(request.num_chunks)
        self._sheet = ContactSheet(folder / f"{slug}.png", num_frames, height, width, fps) if contact_sheet else None

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error: object) -> None:
        with self._video:
            if self._sheet is not None:
                self._sheet.close()

    def append(self, chunk: ChunkResult) -> None:
        """Write a chunk's frames and stats.

        Raises:
            OutputError: They cannot be written.
        """
        self._video.append(chunk.frames)
        self._stats.append(chunk.stats)
        if self._sheet is not None:
            self._sheet.append(chunk.frames)
        self.num_chunks += 1

    @property
    def paths(self) -> list[Path]:
        """The files, if a chunk was written."""
        files = [self._video.path, self._stats.path, *([self._sheet.path] if self._sheet is not None else [])]
        return files if self.num_chunks else []
