# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The comparison with FlashDreams, which is played by a stand-in."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch

from lingbot_core.bench import comparison
from lingbot_core.bench.ceilings import CardRate
from lingbot_core.bench.comparison import Measured, Plan
from lingbot_core.bench.flashdreams import ReferenceChunk
from lingbot_core.cli import main
from lingbot_core.errors import InputError
from lingbot_core.loader import LoadedModel
from tests.bench.test_rollouts import SLUG, TINY, stats
from tests.tiny_engine import build_model

SIZE = (32, 48)


class StandIn:
    """Stands for the adapter: tells what is asked of it."""

    first_chunk_sec = 80.0
    calls: list[str] = []

    def __init__(self, module: object, settings: comparison.ReferenceSettings) -> None:
        assert settings.window_frames == 6 and settings.sink_frames == 3
        self.calls.append("build theirs")

    def run(self, num_chunks: int) -> list[ReferenceChunk]:
        self.calls.append("theirs")
        return [ReferenceChunk(200.0 + index, 50.0, 4.0) for index in range(num_chunks)]

    def close(self) -> None:
        self.calls.append("free theirs")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order."""
    happened: list[str] = []

    class Own(comparison.OwnRollouts):
        def run(self) -> list:
            happened.append("ours")
            return super().run()

        def close(self) -> None:
            happened.append("free ours")
            super().close()

    def rate(*_: object) -> CardRate:
        happened.append("card")
        return CardRate(745.0, 4.29)

    monkeypatch.setattr(StandIn, "calls", happened)
    monkeypatch.setattr(comparison, "FlashDreams", StandIn)
    monkeypatch.setattr(comparison, "OwnRollouts", Own)
    monkeypatch.setattr(comparison, "card_rate", rate)
    monkeypatch.setattr(comparison, "open_checkout", lambda folder: folder)
    return happened


def run(plan: Plan, calls: list[str]) -> Measured:
    """Compare the tiny engine with the stand-in."""

    def build():
        calls.append("build ours")
        return build_model()

    return comparison.compare(Path("checkout"), build, SIZE, plan, lambda _: None)


def test_rollouts_alternate_where_both_fit(calls: list[str]) -> None:
    measured = run(Plan(2, 2, 2, "alternate"), calls)
    assert calls == [
        *["build ours", "card", "ours", "build theirs", "theirs"],
        *["ours", "theirs", "ours", "theirs"],
        *["card", "free ours", "free theirs"],
    ]
    assert [len(measured.own), len(measured.reference)] == [2, 2]
    assert measured.first_chunk_sec == 80.0


def test_engines_take_turns_and_free_their_memory_where_not(calls: list[str]) -> None:
    measured = run(Plan(2, 3, 1, "separate"), calls)
    assert calls == [
        *["build ours", "ours", "card", "ours", "free ours"],
        *["build theirs", "theirs", "card", "theirs", "free theirs"],
        *["build ours", "ours", "card", "ours", "free ours", "card"],
    ]
    assert [len(measured.own), len(measured.reference)] == [2, 1]
    assert [when for when, _ in measured.rates] == ["before ours", "before theirs", "before ours again", "after"]


def test_taking_turns_frees_our_model_before_theirs_is_built(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[weakref.ref] = []

    class Careful(StandIn):
        def __init__(self, *args) -> None:
            assert [model() for model in models] == [None]
            super().__init__(*args)

    def build() -> LoadedModel:
        model = build_model()
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(comparison, "FlashDreams", Careful)
    comparison.compare(Path("checkout"), build, SIZE, Plan(2, 1, 1, "separate"), lambda _: None)
    assert len(models) == 2 and calls.count("theirs") == 2


def test_order_follows_from_free_memory(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison.preflight, "free_memory", lambda _: 10**12)
    assert run(Plan(1, 1, 1), calls).alternated
    monkeypatch.setattr(comparison.preflight, "free_memory", lambda _: 10**6)
    assert not run(Plan(1, 1, 1), calls).alternated


def test_full_size_with_window_15_alternates_on_a_card_of_140_gib_and_not_of_80() -> None:
    model = build_model()
    memory = comparison.replace(
        model.memory,
        config=comparison.reference_settings(model, SIZE).config.lingbot_14b(),
        num_parameters=18_544_332_864,
        bytes_per_value=2,
        vae_base_dim=96,
        capacity_chunks=6,
    )
    model = comparison.replace(model, memory=memory)
    size, weights = (464, 832), 18_544_332_864 * 2
    free_of_h200, free_of_h100 = 139 * 2**30 - weights, 79 * 2**30 - weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison.preflight, "free_memory", lambda _: free_of_h200)
        assert comparison.both_fit(model, size)
        longer = comparison.replace(model, memory=comparison.replace(memory, capacity_chunks=21))
        assert not comparison.both_fit(longer, size)
        patch.setattr(comparison.preflight, "free_memory", lambda _: free_of_h100)
        assert not comparison.both_fit(model, size)


def test_rows_hold_medians_and_ratios() -> None:
    measured = Measured(
        own=[[stats(0, ms), stats(1, 2 * ms)] for ms in (90.0, 100.0, 130.0)],
        reference=[[ReferenceChunk(ms, 40.0, 9.0)] * 2 for ms in (200.0, 210.0)],
        rates=[("before", CardRate(745.0, 4.29))],
        first_chunk_sec=81.25,
    )
    (row,) = comparison.compared_chunks(measured, [1], capacity_chunks=6)
    assert (row.own_diffuse_ms, row.reference_diffuse_ms) == (200.0, 205.0)
    assert row.diffuse_ratio == pytest.approx(200 / 205)
    assert (row.own_finalize_ms, row.finalize_ratio) == (50.0, 1.25)
    text = comparison.comparison_markdown(measured, [row])
    assert "| 1 | 6 | 200.0 | 205.0 | 0.976 | 50.0 | 40.0 | 1.250 |" in text
    assert "compilation included: 81.2 s" in text
    assert "card before: GEMM 745 TFLOP/s, copy 4.29 TB/s" in text


@pytest.mark.parametrize(
    ("plan", "indices"),
    [(Plan(8, 6, 1), (5,)), (Plan(21, 21, 1), (5, 20)), (Plan(3, 3, 1), (2,)), (Plan(8, 8, 1, "auto", (0, 7)), (0, 7))],
)
def test_compared_chunks_are_5_and_the_last_unless_named(plan: Plan, indices: tuple[int, ...]) -> None:
    assert plan.compared() == indices


def test_chunk_that_is_not_measured_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="--compare 6"):
        Plan(8, 6, 1, "auto", (2, 6)).compared()


def test_reference_without_gpu_is_refused_before_a_model_is_built(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingbot_core.bench.random_model", lambda *_, **__: pytest.fail("a model is built"))
    assert main([*TINY, "--reference", "."]) == 2
    assert "FlashDreams needs a GPU" in capsys.readouterr().err


def test_folder_that_is_no_checkout_is_refused_before_a_model_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="not a checkout"):
        comparison.check_reference(tmp_path, torch.device("cuda"))
    assert main(["bench", SLUG, "--size", "tiny", "--device", "cpu", "--reference-chunks", "0"]) == 2
    assert "--reference-chunks 0" in capsys.readouterr().err
