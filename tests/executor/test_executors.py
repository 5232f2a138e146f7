# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What every executor has to do, in this process and with two ranks (CPU, Gloo)."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lingbot_core.camera.presets import make_preset
from lingbot_core.errors import Cancelled, InputError, LingBotError
from lingbot_core.executor.base import Executor, PassProgress, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.journal import Journal, MemoryStore, RecordStore
from lingbot_core.options import ModelOptions
from lingbot_core.timeline import chunk_pixel_frames
from lingbot_core.variants import VARIANTS
from tests.tiny_engine import (
    HEIGHT,
    WIDTH,
    CountingTextEncoder,
    assert_same_chunks,
    bent_path,
    build_model,
    make_request,
    run,
)

NUM_CHUNKS = 6
"""Of a ring of three: three chunks are evicted."""

BEND_CHUNK = 4

VARIANT = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]

Make = Callable[..., Executor]
"""``make(store)``: an executor that knows nothing but what is in the store."""


@pytest.fixture(scope="module", params=["local", "processes"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes executors of one kind; those with processes share them."""
    if request.param == "local":
        yield lambda store=None: LocalExecutor(build_model(), store)
        return
    if sys.platform == "win32":
        pytest.skip("several GPUs need Linux")
    options = ModelOptions(device="cpu", num_gpus=2)
    executor = ProcessGroupExecutor(VARIANT, options, models_module="tests.worker_models")

    def with_store(store: RecordStore | None = None) -> Executor:
        executor.store = store if store is not None else MemoryStore()
        return executor

    yield with_store
    executor.close()


@pytest.fixture(scope="module")
def straight(make: Make):
    """A rollout along a straight path, in one call."""
    return run(make(), make_request(NUM_CHUNKS))


def path_request(num_chunks: int):
    """A shorter request along the path of the whole rollout."""
    return make_request(num_chunks, make_preset("walk-forward", NUM_CHUNKS))


def test_latents_of_two_ranks_are_those_of_one(straight):
    alone = run(LocalExecutor(build_model()), make_request(NUM_CHUNKS))
    assert [chunk.key for chunk in straight] == [chunk.key for chunk in alone]
    for chunk, other in zip(straight, alone, strict=True):
        assert (chunk.latents - other.latents).norm() <= 5e-6 * other.latents.norm()
        assert np.abs(chunk.frames.astype(int) - other.frames).max() <= 1


def test_info_and_memory_are_told(make: Make):
    executor = make()
    model = build_model()
    info = executor.info
    assert (info.device, info.dtype, info.decoder) == (model.device, model.dtype, model.decoder.identity)
    assert info.text_dim == 16 and info.memory.frame_size == (HEIGHT, WIDTH)
    weights = sum(weight.nbytes for weight in model.dit.parameters())
    run(executor, make_request(1))
    assert executor.num_bytes >= weights and executor.num_bytes >= executor.num_state_bytes > 0


@pytest.mark.parametrize("num_passes", [0, 3, 5, 12])
def test_cancelling_loses_no_finished_chunk(make: Make, straight, num_passes: int):
    executor = make()
    passes: list[PassProgress] = []
    chunks = []
    with pytest.raises(Cancelled, match="Stopped in chunk"):
        stream = executor.stream(
            make_request(NUM_CHUNKS), on_progress=passes.append, cancelled=lambda: len(passes) >= num_passes
        )
        chunks.extend(stream)
    assert (num_passes + 1) // 5 <= len(chunks) <= 5 and len(passes) >= num_passes
    after = run(executor, make_request(NUM_CHUNKS))
    assert_same_chunks(after, straight)
    assert sum(chunk.reused for chunk in after) == len(chunks)


def test_callback_that_raises_leaves_the_engine_usable(make: Make, straight):
    executor = make()

    def fail(progress: PassProgress) -> None:
        if progress.chunk_index == 2:
            raise KeyError("the page is gone")

    with pytest.raises(KeyError, match="the page is gone"):
        run(executor, make_request(NUM_CHUNKS), on_progress=fail)
    after = run(executor, make_request(NUM_CHUNKS))
    assert_same_chunks(after, straight)
    assert sum(chunk.reused for chunk in after) >= 2


def test_bending_past_eviction_equals_never_having_gone_further(make: Make, straight):
    request = make_request(NUM_CHUNKS, bent_path(NUM_CHUNKS, BEND_CHUNK))
    bent = run(make(), request)
    executor = make()
    assert_same_chunks(run(executor, make_request(NUM_CHUNKS)), straight)
    chunks = run(executor, request)
    assert_same_chunks(chunks, bent)
    assert [chunk.reused for chunk in chunks] == [True] * BEND_CHUNK + [False] * (NUM_CHUNKS - BEND_CHUNK)
    assert_same_chunks(run(executor, make_request(NUM_CHUNKS + 1))[:NUM_CHUNKS], straight)


def test_frames_dropped_from_the_journal_are_decoded_again_the_same(make: Make, tmp_path: Path):
    request = make_request(3)
    first = run(make(Journal(tmp_path)), request)
    before = [np.array(chunk.frames) for chunk in first]
    for path in (tmp_path / "frames").iterdir():
        path.unlink()
    again = run(make(Journal(tmp_path)), request)
    assert all(chunk.reused for chunk in again)
    assert all(np.array_equal(chunk.frames, frames) for chunk, frames in zip(again, before, strict=True))
    assert len(list((tmp_path / "frames").iterdir())) == 3


def test_text_event_changes_its_chunk_and_later_ones_only(make: Make, straight):
    executor = make()
    run(executor, make_request(4))
    request = make_request(4, text=(TextEvent(0, "a street"), TextEvent(3, "a storm")))
    chunks = run(executor, request)
    assert [chunk.reused for chunk in chunks] == [True] * 3 + [False]
    assert not torch.equal(chunks[3].latents, straight[3].latents)
    assert_same_chunks(chunks, run(make(), request))


def test_encoding_is_kept_and_can_be_given(make: Make, straight):
    executor = make()
    assert not executor.knows_text("a street")
    embeddings = executor.encode_texts(["a street", "snow", "a street"])
    assert executor.knows_text("a street\n") and executor.knows_text("snow")
    assert torch.equal(embeddings[0], embeddings[2]) and not torch.equal(embeddings[0], embeddings[1])
    assert torch.equal(executor.encode_texts(["a street"])[0], embeddings[0])
    given = make_request(1, text=(TextEvent(0, embedding=embeddings[0]),))
    assert_same_chunks(run(make(), given), straight[:1])


def test_text_encoder_stays_until_a_request_runs_and_is_counted(make: Make, straight):
    executor = make()
    executor.close()
    executor.start()
    before = executor.num_bytes
    for prompt in ("snow", "rain", "wind"):
        executor.encode_texts([prompt])
        assert executor.holds_text_encoder and executor.num_bytes == before + CountingTextEncoder.BYTES
        assert executor.num_state_bytes >= CountingTextEncoder.BYTES
    held = []
    stream = executor.stream(make_request(1), on_progress=lambda _: held.append(executor.holds_text_encoder))
    assert_same_chunks(list(stream), straight[:1])
    assert not executor.holds_text_encoder and not (isinstance(executor, LocalExecutor) and any(held))
    executor.encode_texts(["hail"])
    assert executor.holds_text_encoder
    executor.close()
    assert not executor.holds_text_encoder


def test_prompt_that_is_too_long_is_told_whether_or_not_it_was_encoded_before(make: Make):
    executor, warnings = make(), []
    for _ in range(2):
        executor.encode_texts(["snow", "a " * 60], on_warning=warnings.append)
    assert warnings == ["The prompt has 120 characters: too long."] * 2


def test_encoding_when_cancelled_ends_soon_and_the_next_one_works(make: Make, straight):
    executor = make()
    executor.start()
    began_sec = time.monotonic()
    with pytest.raises(Cancelled, match="a prompt was encoded"):
        executor.encode_texts(["slow"], cancelled=lambda: time.monotonic() > began_sec + 0.5)
    with pytest.raises(Cancelled):
        run(
            executor,
            make_request(1, text=(TextEvent(0, "slow"),)),
            cancelled=lambda: time.monotonic() > began_sec + 1.5,
        )
    assert time.monotonic() - began_sec < 3 and not executor.knows_text("slow")
    assert len(executor.encode_texts(["snow"], cancelled=lambda: False)) == 1
    assert_same_chunks(run(executor, make_request(1)), straight[:1])


def test_request_that_does_not_fit_gets_one_clear_error_and_the_next_one_runs(make: Make, straight):
    executor = make()
    request = replace(make_request(3), text=(TextEvent(0, embedding=torch.zeros(8, 17)),))
    with pytest.raises(InputError, match=r"wrong shape.*\(8, 17\).*\(8, 16\)"):
        run(executor, request)
    assert_same_chunks(run(executor, make_request(2)), straight[:2])


def test_stream_gives_every_chunk_in_order_with_its_frames(make: Make, straight):
    assert [chunk.index for chunk in straight] == list(range(NUM_CHUNKS))
    for chunk in straight:
        assert chunk.frames.shape == (chunk_pixel_frames(chunk.index), HEIGHT, WIDTH, 3)
        assert chunk.frames.dtype == np.uint8 and chunk.latents.shape == (3, 16, HEIGHT // 8, WIDTH // 8)
        assert torch.isfinite(chunk.latents).all() and not chunk.reused
        stats = chunk.stats.as_dict()
        assert list(stats)[:10] == [
            "autoregressive_index",
            "encode_ms",
            "diffuse_ms",
            "decode_ms",
            "finalize_ms",
            "total_ms",
            "total_ms_wo_finalize",
            "mem_alloc_gib",
            "mem_reserved_gib",
            "mem_peak_gib",
        ]
        assert len(chunk.stats.pass_ms) == 4 and sum(chunk.stats.pass_ms) <= chunk.stats.diffuse_ms
    assert len({chunk.latents.sum().item() for chunk in straight}) == NUM_CHUNKS


@pytest.mark.parametrize("store", ["memory", "journal"])
def test_rollout_in_many_calls_equals_one_call_bit_for_bit(make: Make, straight, tmp_path: Path, store):
    executor = make(Journal(tmp_path) if store == "journal" else None)
    for num_chunks in (1, 2, 5, 5, NUM_CHUNKS):
        chunks = run(executor, make_request(num_chunks, make_preset("walk-forward", NUM_CHUNKS)))
    assert_same_chunks(chunks, straight)
    assert [chunk.reused for chunk in chunks] == [True] * 5 + [False] * (NUM_CHUNKS - 5)


def test_longer_rollout_of_a_longer_preset_keeps_the_shorter_one(make: Make):
    executor = make()
    run(executor, make_request(2))
    assert [chunk.reused for chunk in run(executor, make_request(3))] == [True, True, False]


def test_redoing_the_newest_chunk_past_eviction_needs_no_replay(make: Make, straight):
    executor = make()
    run(executor, make_request(NUM_CHUNKS))
    passes: list[PassProgress] = []
    request = make_request(NUM_CHUNKS, bent_path(NUM_CHUNKS, NUM_CHUNKS - 1))
    chunks = run(executor, request, on_progress=passes.append)
    assert not any(progress.replaying for progress in passes) and len(passes) == 5
    assert_same_chunks(chunks, run(make(), request))


def test_damaged_record_is_skipped_with_a_warning_and_made_again(make: Make, straight, tmp_path: Path, caplog):
    run(make(Journal(tmp_path)), make_request(NUM_CHUNKS))
    path = tmp_path / "chunks" / f"{straight[4].key}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        chunks = run(make(Journal(tmp_path)), make_request(NUM_CHUNKS))
    assert str(path) in caplog.text
    assert_same_chunks(chunks, straight)
    assert sum(chunk.reused for chunk in chunks) == 4


def test_consumer_that_stops_listening_leaves_the_engine_usable(make: Make, straight):
    executor = make()
    stream = executor.stream(make_request(NUM_CHUNKS))
    next(stream)
    next(stream)
    stream.close()
    assert_same_chunks(run(executor, make_request(NUM_CHUNKS)), straight)


def test_second_request_while_one_runs_is_refused_in_one_sentence(make: Make):
    executor = make()
    stream = executor.stream(make_request(2))
    next(stream)
    with pytest.raises(LingBotError, match="already running"):
        next(executor.stream(make_request(1)))
    stream.close()


def test_inference_mode_does_not_leak_to_the_consumer(make: Make):
    stream = make().stream(make_request(1))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()


def test_close_frees_state_and_the_next_request_goes_on_from_the_journal(make: Make, straight, tmp_path: Path):
    executor = make(Journal(tmp_path))
    run(executor, make_request(4, make_preset("walk-forward", NUM_CHUNKS)))
    executor.close()
    chunks = run(executor, make_request(NUM_CHUNKS))
    assert_same_chunks(chunks, straight)
    assert sum(chunk.reused for chunk in chunks) == 4
