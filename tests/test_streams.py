# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Streams for a purpose are made once, so that what cuBLAS keeps for them is kept once."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.streams import side_stream

pytestmark = pytest.mark.gpu


def test_side_stream_when_asked_again_is_the_same_and_takes_no_more_memory() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    matrix = torch.ones(256, 256, device=device, dtype=torch.bfloat16)
    allocated = []
    for _ in range(3):
        with torch.cuda.stream(side_stream(device, "decode")):
            torch.mm(matrix, matrix)
        torch.cuda.synchronize(device)
        allocated.append(torch.cuda.memory_allocated(device))
    assert allocated[0] == allocated[1] == allocated[2]


def test_side_streams_of_two_purposes_are_two() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    assert side_stream(device, "encode").cuda_stream != side_stream(device, "decode").cuda_stream
