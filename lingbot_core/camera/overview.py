# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera path seen from above, as a picture."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from lingbot_core.camera.intrinsics import INTRINSICS_WIDTH
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, CameraTrajectory

_BACKGROUND, _GRID, _TEXT = (24, 24, 28), (48, 48, 56), (170, 170, 180)
_START, _END, _CAMERA = (80, 160, 255), (255, 140, 60), (255, 255, 255)
_OVERSAMPLING = 2
_MIN_EXTENT = 6.0
"""Side of the area shown in world scales at least, so that a camera at rest is not drawn as if it travelled."""


class Overview:
    """Draws a path from above: x to the right, z (forward) up, blue at the start and orange at the end.

    Args:
        trajectory: The path.
        size: Height and width of the pictures in pixels.
    """

    def __init__(self, trajectory: CameraTrajectory, size: int) -> None:
        self._trajectory, self._size = trajectory, size
        places = trajectory.c2w[:, :3, 3].numpy()
        self._flat = places[:, [0, 2]]  # x, z
        self._heights = -places[:, 1]
        low, high = self._flat.min(0), self._flat.max(0)
        extent = max(*(high - low), _MIN_EXTENT * trajectory.world_scale)
        self._centre, self._extent = (low + high) / 2, float(extent) * 1.5
        self._base = self._draw_base()

    def draw(self, frame_index: int | None = None) -> np.ndarray:
        """The path, with the camera at a pixel frame, or at the first and last one when None.

        Returns:
            uint8 ``[size, size, 3]``.
        """
        image = self._base.copy()
        last = self._trajectory.num_frames - 1
        for index, colour in [(0, _START), (last, _END)] if frame_index is None else [(frame_index, _CAMERA)]:
            self._draw_camera(image, index, colour)
        picture = image.resize((self._size, self._size), Image.Resampling.LANCZOS)
        index = last if frame_index is None else frame_index
        caption = f"{index / FRAMES_PER_SECOND:.2f} s   height {self._heights[index] - self._heights[0]:+.1f}"
        ImageDraw.Draw(picture).text((6, self._size - 16), caption, fill=_TEXT)
        return np.asarray(picture)

    def _pixel(self, flat: np.ndarray) -> tuple[float, float]:
        """Place on the oversampled picture of a point (x, z)."""
        side = self._size * _OVERSAMPLING
        x, z = (flat - self._centre) / self._extent
        return float((0.5 + x) * side), float((0.5 - z) * side)

    def _draw_base(self) -> Image.Image:
        """Grid and path."""
        side = self._size * _OVERSAMPLING
        image = Image.new("RGB", (side, side), _BACKGROUND)
        draw = ImageDraw.Draw(image)
        step = 10.0 ** math.floor(math.log10(self._extent))
        low = self._centre - self._extent / 2
        for axis in (0, 1):
            first = math.ceil(low[axis] / step)
            for number in range(first, first + math.ceil(self._extent / step)):
                point = self._centre.copy()
                point[axis] = number * step
                x, y = self._pixel(point)
                draw.line([(x, 0), (x, side)] if axis == 0 else [(0, y), (side, y)], fill=_GRID, width=_OVERSAMPLING)
        num_steps = max(len(self._flat) - 1, 1)
        for index in range(len(self._flat) - 1):
            share = index / num_steps
            colour = tuple(round(a + (b - a) * share) for a, b in zip(_START, _END, strict=True))
            ends = [self._pixel(self._flat[index]), self._pixel(self._flat[index + 1])]
            draw.line(ends, fill=colour, width=3 * _OVERSAMPLING)
        return image

    def _draw_camera(self, image: Image.Image, index: int, colour: tuple[int, int, int]) -> None:
        """A dot where the camera is, and how wide it sees."""
        rotation = self._trajectory.c2w[index, :3, :3].numpy()
        focal, centre = self._trajectory.intrinsics[index, [0, 2]].tolist()
        length = 0.13 * self._extent
        corners = []
        for column in (0.0, float(INTRINSICS_WIDTH)):
            ray = rotation @ np.array([(column - centre) / focal, 0.0, 1.0])
            corners.append(self._pixel(self._flat[index] + length * ray[[0, 2]] / np.linalg.norm(ray)))
        x, y = self._pixel(self._flat[index])
        radius = 4 * _OVERSAMPLING
        draw = ImageDraw.Draw(image)
        draw.line([corners[0], (x, y), corners[1]], fill=colour, width=2 * _OVERSAMPLING)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
