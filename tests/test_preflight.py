# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
import torch

from lingbot_core import preflight
from lingbot_core.errors import ResourceError
from lingbot_core.models.dit import DiTConfig

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


def estimate(capacity_chunks: int, decoder: str = "wan_vae") -> preflight.MemoryEstimate:
    return preflight.estimate_memory(
        DiTConfig.lingbot_14b(),
        num_parameters=18_544_332_864,
        text_parameters=5_680_910_336,
        bytes_per_value=2,
        frame_size=(464, 832),
        capacity_chunks=capacity_chunks,
        decoder=decoder,
    )


def test_check_disk_when_full_gives_the_numbers_and_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(100 * GIB, 50 * GIB, 50 * GIB))
    preflight.check_disk(tmp_path / "not" / "there", 48 * GIB, "download x", "HF_HOME")
    with pytest.raises(ResourceError, match=r"disk space to download x.*50\.0 GiB free.*70\.0 GiB.*HF_HOME"):
        preflight.check_disk(tmp_path / "not" / "there", 70 * GIB, "download x", "HF_HOME")


def test_estimate_memory_when_published_sizes_agrees_with_known_figures():
    full, light = estimate(21), estimate(6, "taehv")
    assert full.weights / GIB == pytest.approx(34.5, abs=0.1)
    assert full.kv_cache / GIB == pytest.approx(72.5, abs=0.1)
    assert light.kv_cache / GIB == pytest.approx(20.7, abs=0.1)
    assert 110 < full.total / GIB < 125
    assert light.total < full.total / 1.5


def test_check_memory_when_too_small_lists_what_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    device = torch.device("cuda", 0)
    preflight.check_memory(device, estimate(6, "taehv"))
    with pytest.raises(ResourceError, match=r"memory on cuda:0.*80\.0 GiB free.*weights 34\.5, kv cache 72\.5"):
        preflight.check_memory(device, estimate(21))


def test_free_memory_when_device_cannot_tell_is_none():
    assert preflight.free_memory(torch.device("meta")) is None
    free = preflight.free_memory(torch.device("cpu"))
    assert free is not None and free > 0


def test_explain_out_of_memory_turns_torchs_error_into_one_sentence():
    with pytest.raises(ResourceError, match=r"memory of cpu ran out while the video was made.*smaller frame"):
        with preflight.explain_out_of_memory(torch.device("cpu")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
