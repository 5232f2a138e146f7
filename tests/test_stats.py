# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""On CUDA everything happens on the streams of the model's device, which need not be the current one."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.sampler import PassMonitor
from lingbot_core.stats import StageTimer


class FakeEvent:
    recorded_on: list[object] = []

    def __init__(self, **_: object) -> None:
        pass

    def record(self, stream: object = "current device") -> None:
        self.recorded_on.append(stream)

    def synchronize(self) -> None:
        pass


@pytest.fixture(autouse=True)
def second_gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device}")
    monkeypatch.setattr(FakeEvent, "recorded_on", [])
    return torch.device("cuda", 1)


def test_stage_timer_on_the_second_gpu_times_its_stream(second_gpu: torch.device):
    with StageTimer(second_gpu).stage("pass"):
        pass
    assert FakeEvent.recorded_on == ["stream of cuda:1"] * 2


def test_pass_monitor_on_the_second_gpu_waits_for_its_stream(second_gpu: torch.device):
    with PassMonitor(second_gpu).one_pass(0, 0, 5):
        pass
    assert FakeEvent.recorded_on == ["stream of cuda:1"]
