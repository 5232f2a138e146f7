# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lingbot_core.camera.presets import make_preset
from lingbot_core.errors import Cancelled, InputError, WeightsError
from lingbot_core.executor.base import PassProgress, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.journal import Journal
from lingbot_core.loader import LoadedModel
from tests.tiny_engine import assert_same_chunks, bent_path, build_model, make_request, run

NUM_CHUNKS = 8
"""Of a ring of three: five chunks are evicted."""

BEND_CHUNK = 5


@pytest.fixture(scope="module")
def straight():
    """A rollout along a straight path, in one call."""
    return run(LocalExecutor(build_model()), make_request(NUM_CHUNKS))


@pytest.fixture(scope="module")
def bent():
    """The same, bent from ``BEND_CHUNK`` on, in one call by an engine that never saw the straight one."""
    return run(LocalExecutor(build_model()), bent_request())


def bent_request():
    return make_request(NUM_CHUNKS, bent_path(NUM_CHUNKS, BEND_CHUNK))


@pytest.mark.parametrize("snapshot_budget_gib", [0.0, 1.0])
def test_bending_past_eviction_equals_never_having_gone_further(straight, bent, snapshot_budget_gib):
    executor = LocalExecutor(build_model(), snapshot_budget_gib=snapshot_budget_gib)
    assert_same_chunks(run(executor, make_request(NUM_CHUNKS)), straight)
    chunks = run(executor, bent_request())
    assert_same_chunks(chunks, bent)
    assert [chunk.reused for chunk in chunks] == [True] * BEND_CHUNK + [False] * (NUM_CHUNKS - BEND_CHUNK)
    # undoing the bend finds the old branch, and going on from it equals never having left it
    longer = run(executor, make_request(NUM_CHUNKS + 1))
    assert_same_chunks(longer[:NUM_CHUNKS], straight)
    assert [chunk.reused for chunk in longer] == [True] * NUM_CHUNKS + [False]
    assert_same_chunks(longer, run(LocalExecutor(build_model()), make_request(NUM_CHUNKS + 1)))


def test_going_back_past_eviction_replays_one_pass_per_recorded_chunk_unless_a_snapshot_is_there():
    for budget_gib, num_replayed in ((0.0, BEND_CHUNK), (1.0, 0)):
        executor = LocalExecutor(build_model(), snapshot_budget_gib=budget_gib)
        path = make_preset("walk-forward", NUM_CHUNKS)
        run(executor, make_request(BEND_CHUNK, path))
        run(executor, make_request(NUM_CHUNKS, path))
        passes: list[PassProgress] = []
        run(executor, bent_request(), on_progress=passes.append)
        assert sum(progress.replaying for progress in passes) == num_replayed, budget_gib


def test_decoding_as_the_chunks_come_equals_decoding_at_once(straight):
    decoder = build_model().decoder
    latents = torch.cat([chunk.latents for chunk in straight])
    frames, _ = decoder.decode(latents, decoder.initial_state())
    assert np.array_equal(frames.numpy(), np.concatenate([chunk.frames for chunk in straight]))


@pytest.mark.parametrize("decoder", ["taehv", "wan_vae"])
def test_frames_dropped_from_the_journal_are_decoded_again_the_same(tmp_path: Path, decoder):
    request = make_request(3)
    first = run(LocalExecutor(build_model(decoder=decoder), Journal(tmp_path)), request)
    for path in (tmp_path / "frames").iterdir():
        path.unlink()
    again = run(LocalExecutor(build_model(decoder=decoder), Journal(tmp_path)), request)
    assert_same_chunks(again, first)
    assert all(chunk.reused for chunk in again)
    third = run(LocalExecutor(build_model(decoder=decoder), Journal(tmp_path)), make_request(4))
    assert_same_chunks(third, run(LocalExecutor(build_model(decoder=decoder)), make_request(4)))


def test_another_decoder_reuses_latents_and_decodes_its_own_frames(tmp_path: Path):
    request = make_request(2)
    with_taehv = run(LocalExecutor(build_model(), Journal(tmp_path)), request)
    with_vae = run(LocalExecutor(build_model(decoder="wan_vae"), Journal(tmp_path)), request)
    assert all(chunk.reused for chunk in with_vae)
    assert not np.array_equal(with_vae[0].frames, with_taehv[0].frames)
    assert_same_chunks(with_vae, run(LocalExecutor(build_model(decoder="wan_vae")), request))


def test_resuming_from_the_journal_in_a_new_process_equals_not_having_stopped(straight, tmp_path: Path):
    script = (
        "import sys, pathlib, torch; torch.set_num_threads(1)\n"
        "from tests.tiny_engine import *\n"
        "from lingbot_core.executor.local import LocalExecutor\n"
        "from lingbot_core.journal import Journal\n"
        f"path = make_preset('walk-forward', {NUM_CHUNKS})\n"
        "run(LocalExecutor(build_model(), Journal(pathlib.Path(sys.argv[1]))), make_request(5, path))\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=True, timeout=300)
    model = build_model()
    chunks = run(LocalExecutor(model, Journal(tmp_path)), make_request(NUM_CHUNKS))
    assert_same_chunks(chunks, straight)
    assert [chunk.reused for chunk in chunks] == [True] * 5 + [False] * 3
    assert model.text.num_encoded == 0, "the journal knows the text"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("num_passes", [0, 3, 4, 5, 12])
def test_cancelling_at_any_pass_loses_no_finished_chunk(straight, num_passes):
    executor = LocalExecutor(build_model())
    passes: list[PassProgress] = []
    chunks = []
    with pytest.raises(Cancelled, match="Stopped in chunk"):
        stream = executor.stream(
            make_request(NUM_CHUNKS), on_progress=passes.append, cancelled=lambda: len(passes) >= num_passes
        )
        chunks.extend(stream)
    # a chunk whose latents are clean is finished, so a stop before the cache update acts behind it
    assert len(chunks) == (num_passes + 1) // 5
    assert len(passes) == num_passes + (1 if num_passes % 5 == 4 else 0)
    after = run(executor, make_request(NUM_CHUNKS))
    assert_same_chunks(after, straight)
    assert sum(chunk.reused for chunk in after) == len(chunks)


def test_failing_pass_leaves_the_engine_usable(straight, monkeypatch):
    executor = LocalExecutor(build_model())
    run(executor, make_request(5, make_preset("walk-forward", NUM_CHUNKS)))
    network, calls = executor.model.dit, []

    def fail(*args):
        calls.append(args)
        if len(calls) == 3:
            raise RuntimeError("CUDA error")
        return type(network).forward(network, *args)

    monkeypatch.setattr(network, "forward", fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        run(executor, make_request(NUM_CHUNKS))
    monkeypatch.undo()
    assert_same_chunks(run(executor, make_request(NUM_CHUNKS)), straight)


def test_latents_that_are_not_finite_are_refused_and_not_recorded(straight, monkeypatch):
    executor = LocalExecutor(build_model())
    network, calls = executor.model.dit, []

    def overflow(*args):
        calls.append(args)
        flow = type(network).forward(network, *args)
        return flow * float("nan") if len(calls) > 8 else flow

    monkeypatch.setattr(network, "forward", overflow)
    with pytest.raises(WeightsError, match="chunk 2 are not finite"):
        run(executor, make_request(4))
    monkeypatch.undo()
    chunks = run(executor, make_request(NUM_CHUNKS))
    assert [chunk.reused for chunk in chunks[:3]] == [True, True, False]
    assert_same_chunks(chunks, straight)


def test_text_event_changes_its_chunk_and_later_ones_only(straight):
    model = build_model()
    executor = LocalExecutor(model)
    run(executor, make_request(6))
    request = make_request(6, text=(TextEvent(0, "a street"), TextEvent(4, "a storm")))
    chunks = run(executor, request)
    assert [chunk.reused for chunk in chunks] == [True] * 4 + [False] * 2
    assert not torch.equal(chunks[4].latents, straight[4].latents)
    assert model.text.num_encoded == 2  # pyright: ignore[reportAttributeAccessIssue]
    assert_same_chunks(chunks, run(LocalExecutor(build_model()), request))


def test_embedding_given_by_the_caller_is_taken_as_it_is(straight):
    embedding = build_model().text.encode(["a street"])[0]
    model = build_model()
    chunks = run(LocalExecutor(model), make_request(2, text=(TextEvent(0, embedding=embedding),)))
    assert_same_chunks(chunks, straight[:2])
    assert model.text.num_encoded == 0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_chunks": 0}, "nothing to generate"),
        ({"num_chunks": 9}, r"path of 8 chunks for a video of 9"),
        ({"text": ()}, "out of order"),
        ({"text": (TextEvent(1, "late"),)}, "out of order"),
        ({"text": (TextEvent(0, "a"), TextEvent(3, "b"), TextEvent(2, "c"))}, r"\[0, 3, 2\]"),
        ({"text": (TextEvent(0, embedding=torch.zeros(8, 17)),)}, r"wrong shape.*\(8, 17\).*\(8, 16\)"),
    ],
)
def test_request_whose_parts_do_not_fit_gets_one_clear_error(changes, message):
    with pytest.raises(InputError, match=message):
        run(LocalExecutor(build_model()), replace(make_request(8), **changes))


@pytest.mark.parametrize("change", ["seed", "photo", "schedule", "window"])
def test_anything_that_changes_latents_changes_every_key(straight, change):
    model, request = build_model(), make_request(1)
    if change == "seed":
        request = replace(request, seed=43)
    elif change == "photo":
        request = replace(request, photo=request.photo.flip(0))
    elif change == "schedule":
        model = build_model(schedule="fp32")
    else:
        model = build_model(window_frames=9)
    assert run(LocalExecutor(model), request)[0].key != straight[0].key


@pytest.mark.parametrize("is_exact", [True, False])
def test_another_attention_changes_the_keys_only_if_it_is_inexact(straight, monkeypatch, is_exact):
    other = replace(build_model().attention, name="other", label="Other", is_exact=is_exact)
    monkeypatch.setattr(LoadedModel, "attention", other)
    chunk = run(LocalExecutor(build_model()), make_request(1))[0]
    assert (chunk.key == straight[0].key) == is_exact
    assert chunk.stats.attention == "Other"


def test_bf16_run_resumes_bit_for_bit(tmp_path: Path):
    path = make_preset("walk-forward", 5)
    whole = run(LocalExecutor(build_model(dtype=torch.bfloat16)), make_request(5, path))
    run(LocalExecutor(build_model(dtype=torch.bfloat16), Journal(tmp_path)), make_request(2, path))
    resumed = run(LocalExecutor(build_model(dtype=torch.bfloat16), Journal(tmp_path)), make_request(5, path))
    assert whole[0].latents.dtype == torch.bfloat16
    assert_same_chunks(resumed, whole)


def test_encode_texts_encodes_each_prompt_once_whoever_asks():
    executor = LocalExecutor(build_model())
    text = executor.model.text
    assert not executor.knows_text("a street")
    embeddings = executor.encode_texts(["a street", "snow", "a street"])
    assert text.num_encoded == 2 and executor.knows_text("a street\n")  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.equal(embeddings[0], embeddings[2]) and not torch.equal(embeddings[0], embeddings[1])
    given = make_request(1, text=(TextEvent(0, embedding=embeddings[0]),))
    assert_same_chunks(run(executor, given), run(LocalExecutor(build_model()), make_request(1)))
    assert text.num_encoded == 2  # pyright: ignore[reportAttributeAccessIssue]


def test_num_state_bytes_counts_what_close_frees():
    executor = LocalExecutor(build_model(), snapshot_budget_gib=1.0)
    assert executor.num_state_bytes == 0
    run(executor, make_request(2))
    arena = executor._arena
    assert arena is not None
    assert executor.num_state_bytes > arena.num_bytes + arena.num_snapshot_bytes > arena.cache.num_bytes
    executor.close()
    assert executor.num_state_bytes == 0
    assert len(run(executor, make_request(3))) == 3
