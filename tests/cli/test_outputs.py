# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of ``generate``, made of chunks that no model made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lingbot_core.camera.intrinsics import default_intrinsics
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.cli.outputs import Outputs
from lingbot_core.errors import OutputError
from lingbot_core.executor.base import ChunkResult, RolloutRequest, TextEvent
from lingbot_core.stats import ChunkStats
from lingbot_core.timeline import chunk_pixel_frames, num_pixel_frames

HEIGHT, WIDTH = 32, 48


def request(num_chunks: int) -> RolloutRequest:
    num_frames = num_pixel_frames(num_chunks)
    c2w = torch.eye(4, dtype=torch.float64).expand(num_frames, 4, 4)
    camera = CameraTrajectory(c2w, default_intrinsics(num_frames), 1.0)
    return RolloutRequest(torch.zeros(HEIGHT, WIDTH, 3, dtype=torch.uint8), camera, (TextEvent(0),), num_chunks)


def chunk(index: int) -> ChunkResult:
    num_frames = chunk_pixel_frames(index)
    stats = ChunkStats(index, 1.0, 2.0, 3.0, 4.0, 0.5, 0.5, 0.6, 20.0, num_frames)
    frames = np.full((num_frames, HEIGHT, WIDTH, 3), 60 * index, np.uint8)
    return ChunkResult(index, f"key{index}", torch.zeros(3, 16, 4, 6), frames, stats, reused=False)


def test_outputs_of_a_whole_run_are_video_stats_and_contact_sheet(tmp_path: Path) -> None:
    with Outputs(tmp_path / "out", "slug", request(3), 16, contact_sheet=True) as outputs:
        for index in range(3):
            outputs.append(chunk(index))
            assert len(json.loads((tmp_path / "out" / "stats_slug.json").read_text())) == index + 1
    assert sorted(os.listdir(tmp_path / "out")) == ["slug.mp4", "slug.png", "stats_slug.json"]
    assert outputs.paths == [tmp_path / "out" / name for name in ("slug.mp4", "stats_slug.json", "slug.png")]
    with av.open(str(tmp_path / "out" / "slug.mp4")) as container:
        assert container.streams.video[0].frames == 33


def test_outputs_stats_have_the_fields_of_existing_tools(tmp_path: Path) -> None:
    with Outputs(tmp_path, "slug", request(1), 16, contact_sheet=False) as outputs:
        outputs.append(chunk(0))
    (stats,) = json.loads((tmp_path / "stats_slug.json").read_text())
    names = "autoregressive_index encode_ms diffuse_ms decode_ms finalize_ms total_ms total_ms_wo_finalize"
    names += " mem_alloc_gib mem_reserved_gib mem_peak_gib wall_ms fps"
    assert set(names.split()) <= set(stats)
    assert (stats["total_ms"], stats["total_ms_wo_finalize"], stats["fps"]) == (10.0, 6.0, 450.0)


def test_outputs_after_an_error_hold_the_chunks_so_far(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Outputs(tmp_path, "slug", request(3), 16, contact_sheet=True) as outputs:
        outputs.append(chunk(0))
        raise RuntimeError
    with av.open(str(tmp_path / "slug.mp4")) as container:
        assert container.streams.video[0].frames == 9
    assert (tmp_path / "slug.png").exists()


def test_outputs_without_a_chunk_leave_older_files_alone(tmp_path: Path) -> None:
    for name in ("slug.mp4", "stats_slug.json"):
        (tmp_path / name).write_text("older")
    with Outputs(tmp_path, "slug", request(3), 16, contact_sheet=True) as outputs:
        pass
    assert outputs.paths == []
    assert sorted(os.listdir(tmp_path)) == ["slug.mp4", "stats_slug.json"]
    assert (tmp_path / "slug.mp4").read_text() == (tmp_path / "stats_slug.json").read_text() == "older"


def test_outputs_when_stats_cannot_be_written_raises_output_error(tmp_path: Path) -> None:
    (tmp_path / "stats_slug.json").mkdir()
    with (
        pytest.raises(OutputError, match="stats file"),
        Outputs(tmp_path, "slug", request(1), 16, contact_sheet=False) as outputs,
    ):
        outputs.append(chunk(0))
