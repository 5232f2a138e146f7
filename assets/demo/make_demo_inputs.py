# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's inputs beside this file: image.jpg, poses.npy and intrinsics.npy.

The "photo" is rendered: a lake at sunset between mountains, with a path and pines.
Run it with ``python assets/demo/make_demo_inputs.py``; the same numbers come out every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

HEIGHT, WIDTH = 720, 1280
HORIZON = 400
"""Row at which the lake begins."""

SUN = (578, 238)
"""Column and row of the sun, low between two mountains."""

NUM_POSES = 237
"""Pixel frames of 20 chunks: 9 + 19 * 12."""

INTRINSICS = (502.9, 503.1, 415.8, 239.8)
"""fx, fy, cx, cy in pixels of a 480 x 832 frame."""

Array = np.ndarray


def fractal_noise(rng: np.random.Generator, height: int, width: int, coarsest: tuple[int, int]) -> Array:
    """Smooth noise of about 0..1, ``[height, width]``: octaves of upscaled random grids."""
    total, weight = np.zeros((height, width)), 0.0
    rows, columns = coarsest
    for octave in range(6):
        grid = rng.random((min(height, rows << octave), min(width, columns << octave))).astype(np.float32)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer) / 2**octave
        weight += 1 / 2**octave
    return total / weight


def mix(below: Array, above: Array | tuple[float, float, float], alpha: Array) -> Array:
    """Lay ``above`` over ``below`` with opacity ``alpha`` ``[H, W]``."""
    return below + (np.asarray(above, dtype=np.float64) - below) * np.clip(alpha, 0, 1)[..., None]


def render_sky(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Evening gradient, sun glow and clouds, ``[H, W, 3]`` in 0..1."""
    top, middle, low = np.array([(0.16, 0.26, 0.50), (0.62, 0.52, 0.66), (1.00, 0.74, 0.46)])
    t = np.clip(y / HORIZON, 0, 1)[..., None]
    sky = np.where(t < 0.6, top + (middle - top) * t / 0.6, middle + (low - middle) * (t - 0.6) / 0.4)
    distance = np.hypot(x - SUN[0], y - SUN[1])
    sky = mix(sky, (1.0, 0.86, 0.60), 0.75 * np.exp(-distance / 190))
    clouds = fractal_noise(rng, HEIGHT, WIDTH, (7, 3))
    sky = mix(sky, (1.0, 0.80, 0.70), np.clip((clouds - 0.50) * 4.5, 0, 0.75) * np.clip(y / 120, 0.15, 1))
    return mix(sky, (1.0, 0.97, 0.86), 1 / (1 + np.exp((distance - 34) / 1.6)))


def add_mountains(rng: np.random.Generator, picture: Array, y: Array) -> Array:
    """Four ridges, farther ones paler; snow lies on the high parts of the far two."""
    ridges = [(240, 150, (0.64, 0.56, 0.68)), (290, 120, (0.46, 0.44, 0.60)), (345, 70, (0.28, 0.34, 0.46))]
    ridges.append((382, 32, (0.13, 0.22, 0.26)))
    for index, (base, amplitude, colour) in enumerate(ridges):
        profile = fractal_noise(rng, 8, WIDTH, (1, 4))[4]
        line = base - amplitude * (profile - 0.42) * 2.4  # row of the ridge, [W]
        below = np.clip(y - line, 0, 1)
        relief = fractal_noise(rng, HEIGHT, WIDTH, (12, 22))
        shade = 0.82 + 0.36 * relief
        picture = mix(picture, np.asarray(colour) * shade[..., None], below)
        if index < 2:
            snow = below * np.clip((base - 24 - y + 190 * (relief - 0.5)) / 14, 0, 1)
            picture = mix(picture, (0.98, 0.86, 0.82), 0.8 * snow)
    return picture


def add_lake(rng: np.random.Generator, picture: Array, x: Array, y: Array) -> Array:
    """Mirror what stands above the horizon, shaken by ripples that grow towards the viewer."""
    depth = np.clip(y - HORIZON, 0, None)
    ripple = fractal_noise(rng, HEIGHT, WIDTH, (60, 6)) - 0.5
    rows = np.clip(HORIZON - 1 - depth * 0.95 + ripple * (6 + depth * 0.22), 0, HORIZON - 1).astype(int)
    columns = np.clip(x + ripple * depth * 0.30, 0, WIDTH - 1).astype(int)
    water = picture[rows, columns] * np.array([0.78, 0.84, 0.92])
    glint = np.exp(-np.abs(x - SUN[0]) / (26 + depth * 0.30)) * np.clip(ripple * 5, 0, 1)
    water = mix(water, (1.0, 0.86, 0.62), glint)
    return mix(picture, water, np.clip(y - HORIZON, 0, 1))


def add_shore(rng: np.random.Generator, picture: Array, x: Array, y: Array) -> Array:
    """A meadow in front of the lake and a sandy path that winds towards the water."""
    grain = fractal_noise(rng, HEIGHT, WIDTH, (40, 70))
    bank = 520 + 26 * np.cos((x - 520) / 250) + 14 * (grain - 0.5)
    near = np.clip((y - 500) / (HEIGHT - 500), 0, 1)
    grass = np.stack([0.16 + 0.20 * near, 0.24 + 0.20 * near, 0.13 + 0.05 * near], -1)
    picture = mix(picture, grass * (0.55 + 0.9 * grain)[..., None], np.clip((y - bank) / 2, 0, 1))
    centre = 640 + 120 * np.sin((1 - near) * 2.6) * (1 - near)
    half_width = 14 + 250 * near**1.5
    edge = half_width - np.abs(x - centre) + 30 * near * (grain - 0.5)
    sand = np.array([0.66, 0.54, 0.40]) * (0.72 + 0.5 * grain)[..., None]
    return mix(picture, sand, np.clip(edge / (2 + 14 * near), 0, 1) * np.clip((y - bank - 3) / 4, 0, 1))


def add_pine(rng: np.random.Generator, picture: Array, x: Array, y: Array, root: tuple[int, int], size: int) -> Array:
    """One pine whose trunk stands at ``root`` (column, row) and which is ``size`` pixels high."""
    column, row = root
    up = (row - y) / size  # 0 at the ground, 1 at the tip
    tiers = np.abs(((up * 9) % 1.0) - 0.15)
    ragged = fractal_noise(rng, HEIGHT, WIDTH, (60, 110)) - 0.5
    half_width = size * 0.19 * np.clip(1.02 - up, 0, 1) * (1.10 - 0.55 * tiers + 0.9 * ragged)
    crown = np.clip(half_width - np.abs(x - column), 0, 1) * (up > 0.08) * (up < 1)
    trunk = np.clip(size * 0.016 - np.abs(x - column), 0, 1) * (up > -0.01) * (up < 0.2)
    lit = np.clip((x - column) / (size * 0.19), -1, 1)[..., None] * np.sign(SUN[0] - column)
    needles = np.array([0.09, 0.16, 0.12]) * (1 + 0.9 * ragged[..., None]) + np.array([0.07, 0.045, 0.01]) * lit
    return mix(mix(picture, (0.18, 0.12, 0.09), trunk), needles, crown)


def render_photo() -> Image.Image:
    """The whole scene, RGB, ``HEIGHT`` x ``WIDTH``."""
    rng = np.random.default_rng(2026)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    picture = render_sky(rng, x, y)
    picture = add_mountains(rng, picture, y)
    picture = add_lake(rng, picture, x, y)
    picture = add_shore(rng, picture, x, y)
    pines = [((300, 548), 150), ((1010, 556), 170), ((1085, 566), 210), ((215, 574), 260), ((120, 610), 380)]
    pines += [((1180, 622), 440), ((20, 690), 600)]
    for root, size in pines:
        picture = add_pine(rng, picture, x, y, root, size)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def make_poses() -> Array:
    """A walk forward with a slow look to the left and right, camera-to-world ``[F, 4, 4]`` float32.

    OpenCV axes: x right, y down, z forward. One unit is about one metre, 16 frames are one second.
    """
    time_sec = np.arange(NUM_POSES) / 16.0
    yaw_rad = np.radians(14.0) * np.sin(2 * np.pi * time_sec / 12.0)
    heading_rad = 0.4 * yaw_rad  # the path bends less than the look
    step = 1.3 / 16.0
    poses = np.tile(np.eye(4), (NUM_POSES, 1, 1))
    poses[:, 0, 0], poses[:, 0, 2] = np.cos(yaw_rad), np.sin(yaw_rad)
    poses[:, 2, 0], poses[:, 2, 2] = -np.sin(yaw_rad), np.cos(yaw_rad)
    poses[1:, 0, 3] = np.cumsum(step * np.sin(heading_rad[:-1]))
    poses[1:, 2, 3] = np.cumsum(step * np.cos(heading_rad[:-1]))
    poses[:, 1, 3] = 0.02 * np.cos(2 * np.pi * 1.8 * time_sec) - 0.02  # steps
    return poses.astype(np.float32)


def main() -> None:
    """Write the three files."""
    folder = Path(__file__).parent
    render_photo().save(folder / "image.jpg", quality=90)
    np.save(folder / "poses.npy", make_poses())
    np.save(folder / "intrinsics.npy", np.tile(np.asarray(INTRINSICS, np.float32), (NUM_POSES, 1)))


if __name__ == "__main__":
    main()
