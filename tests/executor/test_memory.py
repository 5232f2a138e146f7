# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingbot_core.executor.local import LocalExecutor
from lingbot_core.journal import Journal
from lingbot_core.stats import resident_bytes
from lingbot_core.video import VideoWriter
from tests.tiny_engine import build_model, make_request

HEIGHT, WIDTH = 128, 224


def used_bytes() -> int:
    """Memory in use, without what was freed and waits to be used again, of which there is now more and now less."""
    gc.collect()
    with suppress(AttributeError, OSError):  # other systems have no such function
        ctypes.CDLL(None).malloc_trim(0)
    return resident_bytes()


@pytest.mark.parametrize(("decoder", "last_chunk"), [("taehv", 80), ("wan_vae", 35)])
def test_host_memory_from_chunk_10_on_does_not_grow(tmp_path: Path, decoder, last_chunk):
    """The video goes to a file and records to a journal as they come, as the command line does it."""
    num_chunks = last_chunk - 10
    max_growth = num_chunks * 64 * 2**20 // 70  # less than the chunks' frames: an engine that keeps them fails
    assert num_chunks * 12 * HEIGHT * WIDTH * 3 > max_growth
    photo = torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    request = replace(make_request(last_chunk + 1), photo=photo)
    executor = LocalExecutor(build_model(decoder=decoder), Journal(tmp_path / "journal"))
    resident: dict[int, int] = {}
    record_bytes = 0
    with VideoWriter(tmp_path / "video.mp4", HEIGHT, WIDTH, 16) as video:
        for chunk in executor.stream(request):
            video.append(chunk.frames)
            if chunk.index in (10, last_chunk):
                resident[chunk.index] = used_bytes()
            elif chunk.index > 10:
                record_bytes += chunk.latents.nbytes
    growth = resident[last_chunk] - resident[10]
    assert growth < max_growth + record_bytes, f"{growth / 2**20:.1f} MiB"
