# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lingbot_core import bench
from lingbot_core.bench import turns
from lingbot_core.bench.flashdreams import ReferenceChunk
from lingbot_core.bench.processes import run_module
from lingbot_core.bench.turns import SeveralGpus, Turn, TurnSetup
from lingbot_core.cli import main
from lingbot_core.errors import LingBotError
from lingbot_core.executor.processes import ProcessId
from lingbot_core.stats import ChunkStats

SLUG = "lingbot-world-fast-taehv-window15-sink3"
SETUP = TurnSetup("own", SLUG, "tiny", None, "auto", "cpu", None, None, 32, 48, 2, 1)


def chunk(index: int, diffuse_ms: float, finalize_ms: float) -> ChunkStats:
    return ChunkStats(index, 0.0, diffuse_ms, 0.0, finalize_ms, 1.0, 1.0, 1.0, diffuse_ms, 12)


def own_turn(*rollouts: list[ChunkStats]) -> Turn:
    return Turn([*rollouts], [], [], [46.0, 45.5], 1_850_000_000, "700 TFLOP/s", 0.0)


FOUND = SeveralGpus(
    num_gpus=2,
    own=[own_turn([chunk(0, 400, 90), chunk(1, 700, 180)]), own_turn([chunk(0, 420, 95), chunk(1, 720, 170)])],
    one_gpu=own_turn([chunk(0, 800, 180), chunk(1, 1349, 322)]),
    reference=Turn(
        [], [], [[ReferenceChunk(500, 130, 40.0), ReferenceChunk(1000, 250, 41.0)]], [41.0, 41.0], 0, "", 80.0
    ),
)


def test_scaled_chunks_compares_medians_of_all_turns_with_one_gpu() -> None:
    (row,) = turns.scaled_chunks(FOUND, [1])
    assert (row.one_gpu_diffuse_ms, row.diffuse_ms, row.diffuse_efficiency) == (1349, 710, 1349 / 1420)
    assert (row.one_gpu_finalize_ms, row.finalize_ms, row.finalize_efficiency) == (322, 175, 322 / 350)


def test_compare_turns_gives_ratios_to_theirs_and_nothing_without_theirs() -> None:
    (row,) = turns.compare_turns(FOUND, [1], capacity_chunks=6)
    assert (row.diffuse_ratio, row.finalize_ratio) == (0.71, 0.7)
    assert turns.compare_turns(replace(FOUND, reference=None), [1], capacity_chunks=6) == []


def test_several_markdown_names_peaks_bytes_and_both_engines() -> None:
    text = turns.several_markdown(FOUND, turns.scaled_chunks(FOUND, [1]), turns.compare_turns(FOUND, [1], 6))
    assert "1.85 GB" in text and "46.0 45.5" in text and "80.0 s" in text
    assert "| 1 | 1349.0 | 710.0 | 0.950 |" in text and "| 1 | 710.0 | 1000.0 | 0.710 |" in text
    alone = replace(FOUND, reference=None)
    assert "FlashDreams" not in turns.several_markdown(alone, turns.scaled_chunks(alone, [1]), [])


def test_a_turn_that_fails_says_what_a_rank_said(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys; sys.exit('[rank1]: ValueError: no such thing\\ntorch elastic has more to say')"
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", program], **options))
    with pytest.raises(LingBotError, match="A turn on 2 GPUs failed.*ValueError: no such thing"):
        turns.take_turn(SETUP, 2, lambda text: None)


def test_a_process_that_takes_too_long_ends_with_all_that_it_has_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)"
    )
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", program], **options))
    with pytest.raises(LingBotError, match="A turn took longer than 3 s"):
        run_module(["none"], "A turn", 3.0, {})
    assert ProcessId.of(int((tmp_path / "pid").read_text())) is None


def test_bench_on_two_ranks_measures_two_and_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--size", "tiny", "--pixel-height", "32", "--pixel-width", "48", "--device", "cpu"]
    results = tmp_path / "results.md"
    command = ["bench", SLUG, *size, "--num-gpus", "2", "--total-blocks", "2", "--rollouts", "1"]
    assert main([*command, "--results", str(results)]) == 0
    text = results.read_text("utf-8")
    assert "## 2 GPUs: " in text and "| chunk | 4 passes: 1 GPU | 2 GPUs | efficiency |" in text
    assert "ours on 2 GPUs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-gpus", "0"], "At least one GPU"),
        (["--num-gpus", "3"], "divides them"),
        (["--num-gpus", "2", "--first-frame"], "whole rollouts are measured"),
    ],
)
def test_bench_refuses_numbers_of_gpus_that_cannot_be(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.turns, "measure", lambda *args: pytest.fail("something was started"))
    assert main(["bench", SLUG, "--size", "tiny", "--device", "cpu", *options]) == 2
    assert message in capsys.readouterr().err
