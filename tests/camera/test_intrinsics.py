# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Intrinsics: accepted shapes, bad values, stretching."""

from __future__ import annotations

import math

import pytest
import torch

from lingbot_core.camera.intrinsics import check_intrinsics, default_intrinsics, scale_intrinsics
from lingbot_core.errors import InputError

ROW = torch.tensor([500.0, 501.0, 416.0, 240.0], dtype=torch.float64)


@pytest.mark.parametrize("given", [ROW, ROW[None], ROW.repeat(9, 1)])
def test_check_intrinsics_gives_one_row_per_pose(given: torch.Tensor) -> None:
    assert torch.equal(check_intrinsics(given, 9), ROW.repeat(9, 1))


@pytest.mark.parametrize("shape", [(8, 4), (10, 4), (9, 3), (3,), (9, 4, 1), (0, 4)])
def test_check_intrinsics_when_the_count_differs_names_both(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=rf"shape \[{', '.join(map(str, shape))}\] for 9 poses.*\[9, 4\]"):
        check_intrinsics(torch.ones(shape, dtype=torch.float64), 9)


@pytest.mark.parametrize(("column", "value"), [(0, 0.0), (1, -3.0), (2, math.nan), (3, math.inf)])
def test_check_intrinsics_when_a_value_is_impossible_names_the_row(column: int, value: float) -> None:
    rows = ROW.repeat(9, 1)
    rows[5, column] = value
    with pytest.raises(InputError, match="Row 5 of the camera intrinsics.*480x832"):
        check_intrinsics(rows, 9)


def test_scale_intrinsics_stretches_each_axis() -> None:
    torch.testing.assert_close(scale_intrinsics(ROW, 480, 832), ROW)
    expected = torch.tensor([250.0, 1002.0, 208.0, 480.0], dtype=torch.float64)
    torch.testing.assert_close(scale_intrinsics(ROW, 960, 416), expected)


def test_default_intrinsics_have_a_row_per_frame() -> None:
    assert default_intrinsics(3).tolist() == [[502.9, 503.1, 415.8, 239.8]] * 3
