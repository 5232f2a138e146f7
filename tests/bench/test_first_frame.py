# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lingbot_core.bench import first_frame
from lingbot_core.bench.first_frame import FirstFrame, Setup
from lingbot_core.bench.first_frame_process import main as process_main
from lingbot_core.bench.first_frame_process import measure_here
from lingbot_core.cli import main
from lingbot_core.errors import LingBotError
from lingbot_core.loader import ModelOptions, random_model
from lingbot_core.random_weights import SIZES
from lingbot_core.variants import get_variant
from tests.bench.test_rollouts import SLUG, TINY

SETUP = Setup(SLUG, "tiny", "tiny", None, "auto", "cpu", 6, 0, 32, 48)
TIMES = FirstFrame(2.5, 0.5, 20.0, {"encode": 100.0, "diffuse": 1000.0, "decode": 50.0, "finalize": 200.0})


class Answer:
    """Stands for a process that has ended."""

    def __init__(self, returncode: int, output: str = "", errors: str = "") -> None:
        self.returncode, self._printed = returncode, (output, errors)

    def communicate(self, timeout: float) -> tuple[str, str]:
        return self._printed

    def poll(self) -> int:
        return self.returncode


def answer(monkeypatch: pytest.MonkeyPatch, process: Answer) -> list[dict[str, str]]:
    """Let no process be started; gives the environments of those that would have been."""
    environments: list[dict[str, str]] = []

    def start(command: list[str], env: dict[str, str], **_: object) -> Answer:
        assert command[:2] == [sys.executable, "-m"]
        assert Setup(**json.loads(command[3])) == SETUP
        assert abs(float(command[4]) - time.time()) < 60
        folder = Path(env["TRITON_CACHE_DIR"])
        folder.mkdir(parents=True, exist_ok=bool(environments))
        environments.append(env)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    return environments


def test_time_is_counted_from_the_call_and_text_is_a_part_of_it() -> None:
    times = measure_here(SETUP, time.time() - 5)
    assert 0 < times.text_sec < times.first_frame_sec < times.process_sec - 5
    assert all(ms > 0 for ms in times.device_ms.values())
    assert sum(times.device_ms.values()) / 1e3 < times.first_frame_sec


def test_text_encoder_has_a_size_of_its_own_and_is_loaded_ahead() -> None:
    model = random_model(get_variant(SLUG), ModelOptions(device="cpu"), size="tiny", text_size="small")
    assert not model.text.is_loaded
    encoder = model.text.load()
    assert model.text.is_loaded and encoder.shared.num_embeddings == SIZES["small"].text.vocab_size
    assert model.text.load() is encoder
    model.text.release()
    assert not model.text.is_loaded


def test_process_prints_its_times_last(capsys: pytest.CaptureFixture) -> None:
    assert process_main([json.dumps(SETUP.__dict__), str(time.time())]) == 0
    assert FirstFrame(**json.loads(capsys.readouterr().out.splitlines()[-1])).first_frame_sec > 0


def test_second_process_gets_the_caches_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = f"something else\n{json.dumps(TIMES.__dict__)}\n"
    environments = answer(monkeypatch, Answer(0, printed))
    found = first_frame.measure(SETUP, lambda _: None)
    assert found == {"cold": TIMES, "warm": TIMES}
    cold, warm = environments
    assert cold == warm
    assert not Path(cold["CUDA_CACHE_PATH"]).parent.exists(), "the caches are gone"


def test_failure_of_the_process_is_told_in_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = "Traceback\n  a line\nResourceError: Not enough memory on cuda:0.\n"
    answer(monkeypatch, Answer(1, errors=stderr))
    with pytest.raises(LingBotError, match="Not enough memory on cuda:0"):
        first_frame.measure(SETUP, lambda _: None)


def test_table_names_both_caches_and_what_is_included() -> None:
    text = first_frame.first_frame_markdown({"cold": TIMES, "warm": TIMES}, "full")
    assert "| empty | 2.50 s | 0.50 s | 0.10 s | 1.00 s | 0.05 s | 20.0 s |" in text
    assert "text encoder: full" in text


def test_modes_are_measured_one_at_a_time(capsys: pytest.CaptureFixture) -> None:
    assert main([*TINY, "--first-frame", "--error"]) == 2
    assert "--first-frame and --error" in capsys.readouterr().err
