# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingbot_core import preflight
from lingbot_core.errors import ResourceError
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.variants import VARIANTS

GIB = 2**30
Usage = namedtuple("Usage", "total used free")

FULL = preflight.RunMemory(
    VARIANTS["lingbot-world-fast"], DiTConfig.lingbot_14b(), 18_544_332_864, 5_680_910_336, 2, (464, 832), 21
)
LIGHT = replace(FULL, variant=VARIANTS["lingbot-world-fast-taehv-window15-sink3"], capacity_chunks=6)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU with 80 GiB, all of it free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    return torch.device("cuda", 0)


def test_check_disk_when_full_gives_the_numbers_and_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(100 * GIB, 50 * GIB, 50 * GIB))
    preflight.check_disk(tmp_path / "not" / "there", 48 * GIB, "download x", "HF_HOME")
    with pytest.raises(ResourceError, match=r"disk space to download x.*50\.0 GiB free.*70\.0 GiB.*HF_HOME"):
        preflight.check_disk(tmp_path / "not" / "there", 70 * GIB, "download x", "HF_HOME")


def test_estimate_memory_when_published_sizes_agrees_with_known_figures():
    full, light = FULL.estimate(), LIGHT.estimate()
    assert full.weights / GIB == pytest.approx(34.5, abs=0.1)
    assert full.kv_cache / GIB == pytest.approx(72.5, abs=0.1)
    assert light.kv_cache / GIB == pytest.approx(20.7, abs=0.1)
    assert 110 < full.total / GIB < 125
    assert light.total < full.total / 1.5


def test_estimate_memory_of_one_of_several_ranks_counts_all_weights_and_its_part_of_the_rest():
    one, eighth = FULL.estimate(), replace(FULL, num_ranks=8).estimate()
    assert eighth.weights == one.weights and eighth.autoencoders == one.autoencoders
    assert eighth.kv_cache == one.kv_cache / 8
    assert one.conditioning / 8 < eighth.conditioning < one.conditioning / 4  # the text is on every rank
    assert eighth.work == pytest.approx(one.work / 8, rel=2e-3)  # 566 tokens instead of 565.5
    follower = replace(FULL, num_ranks=8, network_only=True).estimate()
    assert follower == replace(eighth, autoencoders=0, text_encoder=0)


def test_check_memory_when_too_small_lists_what_is_needed_and_what_fits(card: torch.device):
    preflight.check_memory(card, LIGHT)
    numbers = r"memory on cuda:0.*80\.0 GiB free.*weights 34\.5, kv cache 72\.5"
    fitting = r"choose what fits: the variant lingbot-world-fast-taehv-window15-sink3 or frames of 304x544\."
    with pytest.raises(ResourceError, match=f"{numbers}.*{fitting}"):
        preflight.check_memory(card, FULL)


def test_advise_names_only_what_fits_into_the_room():
    room = int(LIGHT.estimate().total / (1 - preflight.ADVICE_RESERVE)) + 1
    assert "window15" in FULL.advise(room) and "window15" not in FULL.advise(room - 10)
    words = FULL.advise(room).split()[-1].rstrip(".")
    height, width = (int(part) for part in words.split("x"))
    assert height % 16 == width % 16 == 0 and height / width == pytest.approx(464 / 832, rel=0.05)
    usable = (1 - preflight.ADVICE_RESERVE) * room
    assert replace(FULL, frame_size=(height, width)).estimate().total < usable
    assert replace(FULL, frame_size=(height + 16, width + 32)).estimate().total > usable


def test_check_memory_counts_what_the_model_holds_already(card: torch.device):
    preflight.check_memory(card, FULL, held=50 * GIB)
    with pytest.raises(ResourceError, match=r"Got: 110\.0 GiB, 30\.0 of them in use by this model\. Needed: 121\.5"):
        preflight.check_memory(card, FULL, held=30 * GIB)


def test_advise_when_in_fp32_offers_bf16():
    exact = replace(FULL, bytes_per_value=4)
    assert "precision bf16 or frames of" in exact.advise(130 * GIB)
    assert "bf16" not in FULL.advise(130 * GIB)


def test_estimate_memory_when_in_fp8_counts_one_byte_per_value_of_the_blocks_matrices():
    quantised, exact = replace(LIGHT, fp8=True).estimate(), LIGHT.estimate()
    assert quantised.weights / GIB == pytest.approx(17.6, abs=0.1)
    assert quantised.kv_cache == exact.kv_cache


def test_advise_when_fp8_is_possible_offers_it():
    assert "precision fp8 or" in replace(LIGHT, may_choose_fp8=True).advise(60 * GIB)
    assert "fp8" not in LIGHT.advise(60 * GIB)


def test_advise_when_not_even_the_weights_fit_offers_nothing():
    assert FULL.advise(30 * GIB).endswith("larger device: no smaller frame or window fits either.")


def test_free_memory_when_device_cannot_tell_is_none():
    assert preflight.free_memory(torch.device("meta")) is None
    free = preflight.free_memory(torch.device("cpu"))
    assert free is not None and free > 0


def test_explain_out_of_memory_turns_torchs_error_into_one_sentence():
    with pytest.raises(ResourceError, match=r"memory of cpu ran out while the video was made.*smaller frame"):
        with preflight.explain_out_of_memory(torch.device("cpu")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def test_explain_out_of_memory_when_told_what_runs_gives_numbers_and_what_fits(card: torch.device):
    message = r"ran out.*115\.0 GiB for it.*at least 121\.5 GiB.*kv cache 72\.5.*fits: the variant lingbot.*frames of"
    with pytest.raises(ResourceError, match=message):
        with preflight.explain_out_of_memory(card, run=replace(FULL, text_parameters=0), held=35 * GIB):
            raise torch.AcceleratorError("CUDA error: out of memory")


def test_explain_out_of_memory_when_something_else_is_wrong_leaves_it_alone():
    with pytest.raises(RuntimeError, match="shapes differ"), preflight.explain_out_of_memory(torch.device("cpu")):
        raise RuntimeError("shapes differ")


class RecordingDriver:
    """Stands for the CUDA driver library: notes which device's graph memory it is asked to return."""

    trimmed: list[int]

    def __init__(self, name: str) -> None:
        RecordingDriver.trimmed = []

    def cuDeviceGet(self, device, index: int) -> int:
        device._obj.value = index + 40
        return 0

    def cuDeviceGraphMemTrim(self, device) -> int:
        RecordingDriver.trimmed.append(device.value)
        return 0


@pytest.mark.parametrize(("backend", "trimmed"), [("native", []), ("cudaMallocAsync", [41])])
def test_release_unused_memory_returns_that_of_graphs_too_where_torch_does_not(
    backend: str, trimmed: list[int], monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty_cache"))
    monkeypatch.setattr(preflight, "_release_pinned_memory", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: backend)
    monkeypatch.setattr(preflight.ctypes, "CDLL", RecordingDriver)
    RecordingDriver.trimmed = []
    preflight.release_unused_memory(torch.device("cuda", 1))
    assert calls == ["empty_cache"] and RecordingDriver.trimmed == trimmed


@pytest.mark.parametrize("version", ["2.13", "2.9", "2.4"])
def test_release_unused_memory_returns_pinned_memory_too_where_torch_can(version: str, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "native")
    monkeypatch.delattr(torch.accelerator, "empty_host_cache", raising=False)
    monkeypatch.delattr(torch._C, "_host_emptyCache", raising=False)
    if version == "2.13":
        monkeypatch.setattr(torch.accelerator, "empty_host_cache", lambda: calls.append("public"), raising=False)
    if version != "2.4":
        monkeypatch.setattr(torch._C, "_host_emptyCache", lambda: calls.append("private"), raising=False)
    preflight.release_unused_memory(torch.device("cuda", 0))
    preflight.release_unused_memory(torch.device("cpu"))
    assert calls == {"2.13": ["public"], "2.9": ["private"], "2.4": []}[version]


def test_release_unused_memory_without_a_driver_does_nothing(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str):
        raise OSError(name)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(preflight, "_release_pinned_memory", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    monkeypatch.setattr(preflight.ctypes, "CDLL", missing)
    preflight.release_unused_memory(torch.device("cuda", 0))
    preflight.release_unused_memory(torch.device("cpu"))
