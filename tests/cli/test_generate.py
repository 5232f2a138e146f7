# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``generate`` from end to end on a tiny random checkpoint: whole runs, stopped ones, killed ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lingbot_core.cli import main
from lingbot_core.video import part_path
from tests.cli.conftest import HEIGHT, NUM_POSES, WIDTH

SLUG = "lingbot-world-fast-taehv-window15-sink3"
LONG = 30
"""Chunks of the runs that are stopped: more than are ever finished."""


def decode(path: Path) -> np.ndarray:
    """All frames of a video, ``[F, H, W, 3]``."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_stats(folder: Path) -> list[dict]:
    path = folder / f"stats_{SLUG}.json"
    return json.loads(path.read_text()) if path.exists() else []


@pytest.fixture
def command(arguments: list[str], tiny_checkpoint: Path) -> list[str]:
    """A ``generate`` command that runs."""
    return [*arguments, "--checkpoint-root", str(tiny_checkpoint)]


@pytest.fixture
def long_command(command: list[str], input_files: Path) -> list[str]:
    """One that is still running when it is stopped."""
    num_poses = 9 + 12 * (LONG - 1)
    poses = np.tile(np.load(input_files / "poses.npy")[:1], (num_poses, 1, 1))
    poses[:, 2, 3] = np.arange(num_poses) * 0.1
    np.save(input_files / "poses.npy", poses)
    return [*command, "--total-blocks", str(LONG)]


def start_and_wait(command: list[str], output_dir: Path, num_chunks: int) -> subprocess.Popen[str]:
    """Start the program and wait until so many chunks are written."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lingbot_core", *command],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_sec = time.monotonic() + 120
    while len(read_stats(output_dir)) < num_chunks:
        if process.poll() is not None or time.monotonic() > deadline_sec:
            process.kill()
            pytest.fail(f"the program did not get to chunk {num_chunks}: {process.communicate()[1]}")
        time.sleep(0.02)
    return process


def test_generate_writes_video_stats_and_contact_sheet(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([*command, "--contact-sheet"]) == 0
    output = tmp_path / "outputs"
    assert sorted(os.listdir(output)) == sorted([f"{SLUG}.mp4", f"{SLUG}.png", "journal", f"stats_{SLUG}.json"])
    with av.open(str(output / f"{SLUG}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.pix_fmt) == (33, 16, "yuv420p")
        assert (stream.height, stream.width) == (HEIGHT, WIDTH)
    assert Image.open(output / f"{SLUG}.png").width > WIDTH
    stats = read_stats(output)
    assert [chunk["autoregressive_index"] for chunk in stats] == [0, 1, 2]
    assert [chunk["num_frames"] for chunk in stats] == [9, 12, 12]
    for chunk in stats:
        assert chunk["diffuse_ms"] > 0 and chunk["decode_ms"] > 0 and chunk["finalize_ms"] > 0
        assert chunk["wall_ms"] > 0 and chunk["fps"] > 0 and chunk["mem_alloc_gib"] > 0
        assert not chunk["reused"]
    assert str(output / f"{SLUG}.mp4") in capsys.readouterr().out.splitlines()


def test_generate_again_reuses_every_chunk_and_makes_the_same_video(command: list[str], tmp_path: Path) -> None:
    assert main(command) == 0
    first = decode(tmp_path / "outputs" / f"{SLUG}.mp4")
    assert main(command) == 0
    assert all(chunk["reused"] for chunk in read_stats(tmp_path / "outputs"))
    np.testing.assert_array_equal(decode(tmp_path / "outputs" / f"{SLUG}.mp4"), first)


def test_generate_with_more_blocks_computes_only_the_new_ones(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--total-blocks", "1"]) == 0
    assert main(command) == 0
    assert [chunk["reused"] for chunk in read_stats(tmp_path / "outputs")] == [True, False, False]


def test_generate_with_an_event_keeps_what_came_before_it(command: list[str], tmp_path: Path) -> None:
    assert main(command) == 0
    assert main([*command, "--event", "2=A storm."]) == 0
    assert [chunk["reused"] for chunk in read_stats(tmp_path / "outputs")] == [True, True, False]


@pytest.mark.parametrize("slug", ["lingbot-world-fast", "lingbot-world-v2-14b-causal-fast"])
def test_generate_with_other_variants_runs(command: list[str], tmp_path: Path, slug: str) -> None:
    assert main(["generate", slug, *command[2:], "--total-blocks", "2"]) == 0
    assert len(decode(tmp_path / "outputs" / f"{slug}.mp4")) == 21


def test_generate_warns_about_a_long_prompt_and_runs(command: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main([*command, "--total-blocks", "1", "--prompt", "a quiet street " * 400]) == 0
    assert "warning: The prompt has" in capsys.readouterr().err


def test_generate_with_a_damaged_journal_file_warns_and_makes_it_again(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([*command, "--total-blocks", "2"]) == 0
    for path in (tmp_path / "outputs" / "journal" / "chunks").iterdir():
        path.write_bytes(path.read_bytes()[:-8])
    capsys.readouterr()
    assert main([*command, "--total-blocks", "2"]) == 0
    assert "is damaged" in capsys.readouterr().err
    assert len(read_stats(tmp_path / "outputs")) == 2


def test_generate_to_the_end_of_the_path_says_so(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([*command, "--total-blocks", "9"]) == 0
    assert "warning: The camera path ends after 4 of 9 chunks" in capsys.readouterr().err
    assert len(decode(tmp_path / "outputs" / f"{SLUG}.mp4")) == NUM_POSES


def test_generate_without_its_weights_ends_in_one_line_and_leaves_no_video(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    assert main([*arguments, "--checkpoint-root", str(tmp_path / "empty")]) == 1
    assert "lingbot-world: error: " in capsys.readouterr().err
    assert os.listdir(tmp_path / "outputs") == ["journal"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_generate_when_interrupted_leaves_a_playable_video_and_goes_on_later(
    long_command: list[str], command: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "outputs"
    process = start_and_wait(long_command, output, 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Stopped after" in errors
    assert "Traceback" not in errors
    num_chunks = len(read_stats(output))
    assert 2 <= num_chunks < LONG
    assert len(decode(output / f"{SLUG}.mp4")) == 12 * num_chunks - 3
    assert not part_path(output / f"{SLUG}.mp4").exists()
    assert main([*long_command, "--total-blocks", str(num_chunks + 1)]) == 0
    assert [chunk["reused"] for chunk in read_stats(output)] == [True] * num_chunks + [False]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_generate_when_killed_leaves_a_playable_part_and_goes_on_later(long_command: list[str], tmp_path: Path) -> None:
    output = tmp_path / "outputs"
    process = start_and_wait(long_command, output, 3)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    num_chunks = len(read_stats(output))
    assert not (output / f"{SLUG}.mp4").exists()
    num_frames = len(decode(part_path(output / f"{SLUG}.mp4")))
    assert num_frames >= 12 * (num_chunks - 2)  # one chunk may be in the encoder and one on its way there
    assert main([*long_command, "--total-blocks", str(num_chunks)]) == 0
    assert all(chunk["reused"] for chunk in read_stats(output))
    assert len(decode(output / f"{SLUG}.mp4")) == 12 * num_chunks - 3
    assert not part_path(output / f"{SLUG}.mp4").exists()
