# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Quick looks at chunks whose decoder takes its time, in this process and from ranks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from lingbot_core.decoder import StreamingDecoder
from lingbot_core.errors import ResourceError
from lingbot_core.executor.base import ChunkResult, Executor, PassProgress
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.journal import MemoryStore
from lingbot_core.options import ModelOptions
from lingbot_core.preview import Previewer
from lingbot_core.variants import VARIANTS
from tests.tiny_engine import HEIGHT, WIDTH, assert_same_chunks, build_model, make_request, run

NUM_CHUNKS = 3


@pytest.fixture(scope="module", params=["local", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One with the slow decoder."""
    if request.param == "local":
        yield LocalExecutor(build_model(decoder="wan_vae"))
        return
    if sys.platform == "win32":
        pytest.skip("several GPUs need Linux")
    options = ModelOptions(device="cpu", num_gpus=2)
    group = ProcessGroupExecutor(VARIANTS["lingbot-world-fast"], options, models_module="tests.worker_models")
    yield group
    group.close()


def watch(
    executor: Executor, num_chunks: int = NUM_CHUNKS, seed: int = 0
) -> tuple[list[ChunkResult], list[PassProgress]]:
    """All chunks of a request, and what was told that had a preview."""
    told: list[PassProgress] = []
    chunks = run(executor, make_request(num_chunks, seed=seed), on_progress=told.append, previews=True)
    return chunks, [progress for progress in told if progress.preview is not None]


def test_every_chunk_is_shown_once_before_its_cache_update_is_done(executor: Executor) -> None:
    chunks, looks = watch(executor)
    assert [(look.chunk_index, look.pass_index) for look in looks] == [(index, 5) for index in range(NUM_CHUNKS)]
    previewer = build_model(decoder="wan_vae").previewer
    assert previewer is not None
    keys = [None, *(chunk.key for chunk in chunks)]
    for look, before, chunk in zip(looks, keys, chunks, strict=False):
        assert look.preview is not None and look.preview.shape == (*chunk.frames.shape[:1], HEIGHT, WIDTH, 3)
        expected = previewer.frames(before, chunk.key, chunk.latents).numpy()
        assert np.abs(look.preview.astype(int) - expected).max() <= 1
        assert not np.array_equal(look.preview, chunk.frames)


def test_known_chunks_are_not_previewed_and_results_are_the_same_without(executor: Executor) -> None:
    chunks, _ = watch(executor, 2, seed=1)
    assert isinstance(executor, (LocalExecutor, ProcessGroupExecutor))
    executor.store, known = MemoryStore(), executor.store
    assert_same_chunks(run(executor, make_request(2, seed=1)), chunks)
    executor.store = known
    _, looks = watch(executor, 3, seed=1)
    assert [look.chunk_index for look in looks] == [2]


def test_nothing_is_made_unless_it_is_asked_for(executor: Executor) -> None:
    told: list[PassProgress] = []
    run(executor, make_request(1, seed=2), on_progress=told.append)
    assert told and all(progress.preview is None for progress in told)


def test_quick_decoder_needs_no_previews() -> None:
    assert watch(LocalExecutor(build_model()))[1] == []


def test_without_taehv_three_colours_are_shown() -> None:
    model = replace(build_model(decoder="wan_vae"), previewer=Previewer(None))
    _, (look,) = watch(LocalExecutor(model), 1)
    assert look.preview is not None and look.preview.shape == (3, HEIGHT // 8, WIDTH // 8, 3)


def test_preview_that_fails_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_model(decoder="wan_vae")
    expected = run(LocalExecutor(model), make_request(2, seed=0))

    def fail(*_: object) -> None:
        raise ResourceError("The GPU's memory does not suffice.")

    assert model.previewer is not None
    monkeypatch.setattr(model.previewer.decoder, "decode_float", fail)
    chunks, looks = watch(LocalExecutor(model), 2)
    assert looks == [] and "no preview of chunk 1" in caplog.text
    assert_same_chunks(chunks, expected)
    assert isinstance(model.decoder, StreamingDecoder)
