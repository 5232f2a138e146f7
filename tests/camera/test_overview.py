# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from lingbot_core.camera.overview import Overview
from lingbot_core.camera.presets import PRESETS, make_preset


def brightest(picture: np.ndarray) -> tuple[float, float]:
    """Mean row and column of the white pixels."""
    rows, columns = np.nonzero((picture[: -picture.shape[0] // 10] > 240).all(-1))
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("name", PRESETS)
def test_draw_gives_a_picture_of_every_preset(name: str):
    overview = Overview(make_preset(name, 3), 160)
    for frame_index in (None, 0, 32):
        picture = overview.draw(frame_index)
        assert picture.shape == (160, 160, 3) and picture.dtype == np.uint8 and picture.std() > 3


def test_draw_shows_forward_up_and_right_right():
    forward, right = Overview(make_preset("dolly-in", 4), 200), Overview(make_preset("truck-right", 4), 200)
    assert brightest(forward.draw(44))[0] < brightest(forward.draw(0))[0] - 50
    assert brightest(right.draw(44))[1] > brightest(right.draw(0))[1] + 50


def test_draw_when_a_camera_rests_shows_it_in_the_middle():
    overview = Overview(make_preset("static", 2), 200)
    assert np.array_equal(overview.draw(0), overview.draw(0))
    row, column = brightest(overview.draw(0))
    assert abs(column - 100) < 3 and 75 < row < 105
