# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The contact sheet, checked by the colours of its tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_core.contact_sheet import ContactSheet
from lingbot_core.errors import OutputError

HEIGHT, WIDTH = 32, 64


def counted_frames(first: int, count: int) -> np.ndarray:
    """Frames whose grey level is their index."""
    levels = np.arange(first, first + count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, HEIGHT, WIDTH, 3))


def tile_levels(path: Path, num_tiles: int, tile_width: int) -> list[int]:
    """Grey level at the middle of each tile."""
    picture = np.asarray(Image.open(path))
    tile_height = tile_width * HEIGHT // WIDTH
    levels = []
    for tile in range(num_tiles):
        row, column = divmod(tile, 4)
        y = 6 + row * (tile_height + 20) + tile_height // 2
        x = 6 + column * (tile_width + 6) + tile_width // 2
        levels.append(int(picture[y, x, 0]))
    return levels


def test_contact_sheet_shows_evenly_spaced_frames_from_first_to_last(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png", 33, HEIGHT, WIDTH, 16, num_tiles=9, tile_width=40)
    for first, count in [(0, 9), (9, 12), (21, 12)]:
        sheet.append(counted_frames(first, count))
    sheet.close()
    assert tile_levels(tmp_path / "sheet.png", 9, 40) == [0, 4, 8, 12, 16, 20, 24, 28, 32]
    assert Image.open(tmp_path / "sheet.png").size == (4 * 46 + 6, 3 * 40 + 6)


def test_contact_sheet_of_a_video_that_ends_early_is_shorter(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png", 33, HEIGHT, WIDTH, 16, num_tiles=9, tile_width=40)
    sheet.append(counted_frames(0, 9))
    sheet.close()
    assert Image.open(tmp_path / "sheet.png").size == (3 * 46 + 6, 46)
    assert tile_levels(tmp_path / "sheet.png", 3, 40) == [0, 4, 8]


def test_contact_sheet_of_few_frames_shows_each_once(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png", 2, HEIGHT, WIDTH, 16, tile_width=40)
    sheet.append(counted_frames(5, 2))
    sheet.close()
    assert tile_levels(tmp_path / "sheet.png", 2, 40) == [5, 6]


def test_contact_sheet_without_frames_writes_nothing(tmp_path: Path) -> None:
    ContactSheet(tmp_path / "sheet.png", 9, HEIGHT, WIDTH, 16).close()
    assert not list(tmp_path.iterdir())


def test_contact_sheet_in_a_missing_folder_raises_output_error(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "missing" / "sheet.png", 9, HEIGHT, WIDTH, 16)
    sheet.append(counted_frames(0, 9))
    with pytest.raises(OutputError, match="contact sheet"):
        sheet.close()
