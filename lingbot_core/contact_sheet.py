# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: a video at one glance, made while its frames stream by."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lingbot_core.errors import OutputError

_COLUMNS = 4
_GAP = 6
_CAPTION_HEIGHT = 14
_BACKGROUND = (24, 24, 24)
_CAPTION = (200, 200, 200)


class ContactSheet:
    """Evenly spaced frames of a video on one picture, each with its time below.

    The picture is made once; frames are only scaled into it, so memory does not grow with the video.

    Phases: construct, :meth:`append` every frame in order, :meth:`close` once. A video that ends
    early leaves a shorter sheet, one without frames none.

    Args:
        path: The PNG.
        num_frames: Frames that the video will have.
        height: Their height in pixels.
        width: Their width in pixels.
        fps: Frames per second, for the times.
        num_tiles: Frames to show; less when the video has less.
        tile_width: Width of each in pixels.
    """

    def __init__(
        self,
        path: Path,
        num_frames: int,
        height: int,
        width: int,
        fps: float,
        num_tiles: int = 12,
        tile_width: int = 280,
    ) -> None:
        assert num_frames > 0, num_frames
        self.path = Path(path)
        self._fps = fps
        self._tile_size = (tile_width, round(tile_width * height / width))
        self._wanted = np.linspace(0, num_frames - 1, min(num_tiles, num_frames)).round().astype(int).tolist()
        self._num_frames = 0  # seen so far
        self._num_tiles = 0  # drawn so far
        self._picture = Image.new("RGB", self._size(len(self._wanted)), _BACKGROUND)

    def append(self, frames: np.ndarray) -> None:
        """Take the next frames of the video, uint8 ``[F, H, W, 3]``."""
        last = self._num_frames + len(frames)
        while self._num_tiles < len(self._wanted) and self._wanted[self._num_tiles] < last:
            index = self._wanted[self._num_tiles]
            self._draw(np.ascontiguousarray(frames[index - self._num_frames]), index)
        self._num_frames = last

    def close(self) -> None:
        """Write the PNG.

        Raises:
            OutputError: It cannot be written.
        """
        if not self._num_tiles:
            return
        try:
            self._picture.crop((0, 0, *self._size(self._num_tiles))).save(self.path, format="PNG")
        except OSError as error:
            raise OutputError(f"The contact sheet {self.path} cannot be written.", got=str(error)) from error

    def _size(self, num_tiles: int) -> tuple[int, int]:
        """Width and height of a sheet of so many tiles."""
        tile_width, tile_height = self._tile_size
        columns, rows = min(_COLUMNS, num_tiles), math.ceil(num_tiles / _COLUMNS)
        return columns * (tile_width + _GAP) + _GAP, rows * (tile_height + _CAPTION_HEIGHT + _GAP) + _GAP

    def _draw(self, pixels: np.ndarray, frame_index: int) -> None:
        row, column = divmod(self._num_tiles, _COLUMNS)
        left = _GAP + column * (self._tile_size[0] + _GAP)
        top = _GAP + row * (self._tile_size[1] + _CAPTION_HEIGHT + _GAP)
        self._picture.paste(Image.fromarray(pixels).resize(self._tile_size, Image.Resampling.LANCZOS), (left, top))
        caption = f"{frame_index / self._fps:.2f} s   frame {frame_index}"
        ImageDraw.Draw(self._picture).text((left, top + self._tile_size[1] + 1), caption, fill=_CAPTION)
        self._num_tiles += 1
