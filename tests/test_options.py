# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lingbot_core.errors import InputError
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.variants import get_variant

VARIANT = get_variant("lingbot-world-fast-taehv-window15-sink3")


def test_resolve_when_nothing_is_chosen_suits_variant_and_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = RunSettings.resolve(VARIANT, ModelOptions())
    assert (run.device.type, run.precision, run.dtype) == ("cpu", "fp32", torch.float32)
    assert (run.window_chunks, run.sink_chunks, run.schedule.name) == (5, 1, "bf16")


def test_resolve_when_cuda_is_there_takes_it_in_bf16(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert RunSettings.resolve(VARIANT, ModelOptions()).device == torch.device("cuda", 0)
    run = RunSettings.resolve(VARIANT, ModelOptions(device="cuda:1"))
    assert (run.device, run.dtype) == (torch.device("cuda", 1), torch.bfloat16)
    with pytest.raises(InputError, match="cuda:2 is not there"):
        RunSettings.resolve(VARIANT, ModelOptions(device="cuda:2"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ModelOptions(device="gpu"), "Unknown device"),
        (ModelOptions(device="xpu"), "kind of device is not supported.*cpu or cuda"),
        (ModelOptions(precision="fp16"), "Unknown precision.*bf16 or fp32 or fp8"),  # type: ignore[arg-type]
        (ModelOptions(image_mode="never"), "Unknown image mode"),  # type: ignore[arg-type]
        (ModelOptions(schedule="fp16"), "schedule"),  # type: ignore[arg-type]
        (ModelOptions(window_frames=14), "window does not consist of whole chunks"),
        (ModelOptions(window_frames=0), "window does not consist of whole chunks"),
        (ModelOptions(sink_frames=-3), "sink does not consist of whole chunks"),
    ],
)
def test_resolve_when_an_option_is_impossible_says_which(options: ModelOptions, message: str):
    with pytest.raises(InputError, match=message):
        RunSettings.resolve(VARIANT, options)


def test_resolve_when_fp8_cannot_be_computed_says_where_and_why(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"fp8 is not possible on cpu.*the CPU \(not a GPU\).*8\.9.*precision bf16"):
        RunSettings.resolve(VARIANT, ModelOptions(device="cpu", precision="fp8"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    cause = RuntimeError("torch._scaled_mm is only supported on newer ones\nException raised from a long trace")
    monkeypatch.setattr("lingbot_core.options.fp8_failure", lambda device: cause)
    with pytest.raises(InputError, match=r"on cuda:0.*A100 \(torch\._scaled_mm .* newer ones\)\. Needed") as caught:
        RunSettings.resolve(VARIANT, ModelOptions(device="cuda:0", precision="fp8"))
    assert caught.value.__cause__ is cause


def test_resolve_when_fp8_can_be_computed_has_bf16_activations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lingbot_core.options.fp8_failure", lambda device: None)
    run = RunSettings.resolve(VARIANT, ModelOptions(device="cpu", precision="fp8"))
    assert run.fp8 and run.dtype == torch.bfloat16 and run.copies == ("fp8", "bf16")


def test_resolve_when_an_attention_is_named_that_does_not_work_lists_what_does():
    assert RunSettings.resolve(VARIANT, ModelOptions(device="cpu", attention="sdpa")).attention == "sdpa"
    with pytest.raises(InputError, match=r"Attention by cuDNN is not possible on cpu.*a GPU.*auto or sdpa"):
        RunSettings.resolve(VARIANT, ModelOptions(device="cpu", attention="cudnn"))
    with pytest.raises(InputError, match=r"Unknown attention.*'fastest'.*auto or cudnn"):
        RunSettings.resolve(VARIANT, ModelOptions(device="cpu", attention="fastest"))


def test_resolve_when_cuda_is_asked_for_and_absent_names_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--device cpu"):
        RunSettings.resolve(VARIANT, ModelOptions(device="cuda"))


def test_places_when_decoder_file_is_named_belongs_to_the_variants_decoder():
    options = ModelOptions(decoder_file=Path("d.pth"), vae_file=Path("v.pth"))
    assert options.places(VARIANT).files == {"vae": Path("v.pth"), "taehv": Path("d.pth")}
    assert options.places(get_variant("lingbot-world-fast")).files == {"vae": Path("v.pth")}
