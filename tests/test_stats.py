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


def test_host_runs_one_pass_ahead_of_the_gpu_and_never_two(
    second_gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    class NotingEvent(FakeEvent):
        def record(self, stream: object = None) -> None:
            self.name = f"pass {sum(text.startswith('launched') for text in happened)}"
            happened.append(f"launched {self.name}")

        def synchronize(self) -> None:
            happened.append(f"waited for {self.name}")

    monkeypatch.setattr(torch.cuda, "Event", NotingEvent)
    monitor = PassMonitor(second_gpu, lambda *_: happened.append("told"))
    for pass_index in range(3):
        with monitor.one_pass(0, pass_index, 5):
            pass
    first, *later = "launched pass 0", "launched pass 1", "waited for pass 0", "launched pass 2", "waited for pass 1"
    assert [text for text in happened if text != "told"] == [first, *later]
    assert happened.count("told") == 3
