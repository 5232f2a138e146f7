# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Inputs that the command line takes, small enough for seconds on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_core.cli import model_folders

HEIGHT, WIDTH = 64, 96
"""Size of the tests' videos in pixels."""

NUM_POSES = 45
"""Poses of the tests' path: 4 chunks."""


@pytest.fixture
def input_files(tmp_path: Path) -> Path:
    """A folder with image.png, poses.npy, intrinsics.npy and prompt.txt."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([columns * 2, rows * 3, np.full_like(rows, 120)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    poses = np.tile(np.eye(4, dtype=np.float32), (NUM_POSES, 1, 1))
    poses[:, 2, 3] = np.arange(NUM_POSES) * 0.1
    np.save(folder / "poses.npy", poses)
    np.save(folder / "intrinsics.npy", np.array([500.0, 500.0, 416.0, 240.0], np.float32))
    (folder / "prompt.txt").write_text("A quiet street.\nNot read.\n", encoding="utf-8")
    return folder


@pytest.fixture
def arguments(input_files: Path, tmp_path: Path) -> list[str]:
    """A complete and right ``generate`` command without its model; append options to change it."""
    return [
        "generate",
        "lingbot-world-fast-taehv-window15-sink3",
        *("--device", "cpu"),
        *("--image-path", str(input_files / "image.png")),
        *("--pose-path", str(input_files / "poses.npy")),
        *("--intrinsic-path", str(input_files / "intrinsics.npy")),
        *("--prompt-path", str(input_files / "prompt.txt")),
        *("--pixel-height", str(HEIGHT), "--pixel-width", str(WIDTH), "--total-blocks", "3"),
        *("--output-dir", str(tmp_path / "outputs")),
    ]


@pytest.fixture(autouse=True)
def no_installed_comfyui(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the tests see no ComfyUI of the machine that they run on."""
    monkeypatch.setattr(model_folders, "_PACK", tmp_path)
    monkeypatch.setattr(model_folders, "_USUAL", tmp_path / "nowhere")
    monkeypatch.delenv(model_folders.COMFYUI_PATH, raising=False)
