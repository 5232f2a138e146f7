# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lingbot_core.bench import rollouts
from lingbot_core.cli import main
from lingbot_core.image_latents import ImageLatents
from lingbot_core.stats import ChunkStats
from tests.tiny_engine import build_model

SLUG = "lingbot-world-fast-taehv-window15-sink3"
TINY = ["bench", SLUG, "--size", "tiny", "--device", "cpu", "--pixel-height", "32", "--pixel-width", "48"]


def stats(index: int, diffuse_ms: float, **changes: object) -> ChunkStats:
    """Stats of one chunk with made-up times."""
    made = ChunkStats(
        autoregressive_index=index,
        encode_ms=1.0,
        diffuse_ms=diffuse_ms,
        decode_ms=2.0,
        finalize_ms=diffuse_ms / 4,
        mem_alloc_gib=1.0,
        mem_reserved_gib=2.0,
        mem_peak_gib=3.0,
        wall_ms=2 * diffuse_ms,
        num_frames=12,
        pass_ms=(diffuse_ms / 4,) * 4,
    )
    return replace(made, **changes)


def test_row_is_the_median_and_p90_over_rollouts() -> None:
    measured = [[stats(0, 100.0), stats(1, ms)] for ms in (300.0, 100.0, 200.0)]
    first, second = rollouts.summarise(measured, capacity_chunks=6)
    assert (first.diffuse_ms, first.diffuse_p90_ms) == (100.0, 100.0)
    assert (second.diffuse_ms, second.diffuse_p90_ms) == (200.0, pytest.approx(280.0))
    assert (second.finalize_ms, second.finalize_p90_ms) == (50.0, pytest.approx(70.0))
    assert second.pass_ms == [50.0] * 4
    assert second.fps == 1e3 * 12 / 400


def test_visible_frames_grow_until_the_window_is_full() -> None:
    rows = rollouts.summarise([[stats(index, 1.0) for index in range(5)]], capacity_chunks=3)
    assert [row.visible_latent_frames for row in rows] == [3, 6, 9, 9, 9]


def test_peak_memory_is_the_largest_of_all_rollouts() -> None:
    measured = [[stats(0, 1.0, mem_peak_gib=peak)] for peak in (3.0, 5.0, 4.0)]
    assert rollouts.summarise(measured, 6)[0].peak_gib == 5.0


def test_each_rollout_is_computed_from_scratch() -> None:
    own = rollouts.OwnRollouts(build_model(), 3, (32, 48))
    for _ in range(2):
        measured = own.run()
        assert [chunk.autoregressive_index for chunk in measured] == [0, 1, 2]
        assert not any(chunk.reused for chunk in measured)
        assert all(len(chunk.pass_ms) == 4 for chunk in measured)
    own.close()


def test_one_rollout_is_discarded() -> None:
    lines: list[str] = []
    assert len(rollouts.measure(build_model(), 2, 3, (32, 48), lines.append).known_photo) == 3
    assert ["discarded" in line for line in lines] == [True, False, False, False]


def test_only_a_new_photo_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    encode_one = ImageLatents._encode_one

    def count(latents: ImageLatents, *arguments: object) -> None:
        encoded.append(latents)
        encode_one(latents, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ImageLatents, "_encode_one", count)
    own = rollouts.OwnRollouts(build_model(), 12, (32, 48))
    per_rollout = []
    for run in (own.run, own.run, own.run_new_photo, own.run):
        before = len(encoded)
        per_rollout.append((len(run()), len(encoded) - before))
    own.close()
    assert per_rollout == [(12, 30), (12, 0), (rollouts.NEW_PHOTO_CHUNKS, 30), (12, 0)]
    assert len(set(map(id, encoded))) == 2


@pytest.mark.parametrize(("count", "shown"), [(4, "100.0 |"), (5, "100.0 (100.0) |")])
def test_p90_is_shown_from_five_rollouts_on(count: int, shown: str) -> None:
    times = rollouts.OwnTimes([[stats(0, 100.0)]] * count, [stats(0, 150.0)])
    text = rollouts.rollouts_markdown(times, 6)
    assert f"| {shown} 25.0 25.0 25.0 25.0 |" in text and "| 150.0 | 37.5" in text
    assert ("90th" in text) == (count >= 5)
    assert "| total | wall |" in text and "| 128.0 | 200.0" in text


def test_figures_hold_each_rollout() -> None:
    data = rollouts.rollouts_data(rollouts.OwnTimes([[stats(0, 100.0)], [stats(0, 110.0)]], [stats(0, 150.0)]), 6)
    assert [rollout[0]["total_ms"] for rollout in data["known_photo"]] == [128.0, 140.5]  # pyright: ignore
    assert data["new_photo"][0]["diffuse_ms"] == 150.0  # pyright: ignore


def test_bench_writes_table_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = ["--json", str(tmp_path / "figures.json"), "--results", str(tmp_path / "RESULTS.md")]
    window = ["--window", "6", "--sink", "0"]
    assert main([*TINY, *window, "--rollouts", "1", "--total-blocks", "3", *files]) == 0
    shown = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["window + sink"] == "6 + 0 latent frames"
    assert figures["precision"] == "fp32"
    assert [chunk["visible_latent_frames"] for chunk in figures["chunks"]] == [3, 6, 6]
    written = (tmp_path / "RESULTS.md").read_text()
    assert written.strip() in shown
    assert written.count("\n| 2 | 6 |") == 2, "once for the known photo, once for a new one"
    assert figures["kernels"] == "torch" and figures["CUDA graphs"] == "no"
