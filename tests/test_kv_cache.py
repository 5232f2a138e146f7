# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The ring against a list of chunks that is cut as the definition of sink and window says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingbot_core.kernels.attention import attention
from lingbot_core.kv_cache import SinkWindowKVCache

LAYERS, HEADS, HEAD_DIM, TOKENS = 2, 2, 8, 5
WINDOWS_AND_SINKS = [(63, 0), (15, 3), (6, 3), (3, 0)]
"""In latent frames, of which a chunk has three."""


def make_cache(window_chunks: int, sink_chunks: int, tokens: int = TOKENS) -> SinkWindowKVCache:
    cache = SinkWindowKVCache(LAYERS, HEADS, HEAD_DIM, tokens, window_chunks, sink_chunks, torch.float32, "cpu")
    cache.k.fill_(torch.nan)  # as bad as uninitialised memory can be
    cache.v.fill_(torch.nan)
    return cache


def chunk_kv(index: int, branch: int = 0) -> tuple[Tensor, Tensor]:
    """Keys and values of a chunk in all layers, ``[layers, L, N, D]``."""
    generator = torch.Generator().manual_seed(1000 * branch + index)
    k, v = torch.randn(2, LAYERS, TOKENS, HEADS, HEAD_DIM, generator=generator)
    return k, v


def write(cache: SinkWindowKVCache, layer: int, k: Tensor, v: Tensor) -> None:
    """What a pass does in one layer."""
    view = cache.view()
    view.k[layer].index_copy_(0, view.rows, k)
    view.v[layer].index_copy_(0, view.rows, v)


def put(cache: SinkWindowKVCache, index: int, branch: int = 0) -> None:
    cache.begin_chunk(index)
    k, v = chunk_kv(index, branch)
    for layer in range(LAYERS):
        write(cache, layer, k[layer], v[layer])
    cache.commit_chunk()


def visible_indices(index: int, window_chunks: int, sink_chunks: int) -> list[int]:
    """Chunks that chunk ``index`` attends to, oldest first, by definition."""
    return [i for i in range(index + 1) if i < sink_chunks or i > index - window_chunks]


@pytest.mark.parametrize(("window", "sink"), WINDOWS_AND_SINKS)
def test_ring_over_thirty_chunks_holds_what_a_naive_list_holds(window: int, sink: int) -> None:
    window, sink = window // 3, sink // 3
    cache = make_cache(window, sink)
    naive: list[tuple[Tensor, Tensor]] = []
    for index in range(30):
        naive.append(chunk_kv(index))
        cache.begin_chunk(index)
        for layer in range(LAYERS):
            noise = torch.full((TOKENS, HEADS, HEAD_DIM), float(index))
            write(cache, layer, noise, noise)  # an earlier pass
            write(cache, layer, naive[index][0][layer], naive[index][1][layer])
            k, v = cache.view().visible(layer)
            visible = visible_indices(index, window, sink)
            slots = sorted(visible, key=cache.slot)
            assert [cache.slot(i) for i in slots] == list(range(len(visible)))
            assert torch.equal(k, torch.cat([naive[i][0][layer] for i in slots]))
            assert torch.equal(v, torch.cat([naive[i][1][layer] for i in slots]))

            q = torch.randn(TOKENS, HEADS, HEAD_DIM)
            k_in_order, v_in_order = (torch.cat([naive[i][part][layer] for i in visible]) for part in (0, 1))
            expected = attention(q, k_in_order, v_in_order)
            torch.testing.assert_close(attention(q, k, v), expected, atol=1e-5, rtol=1e-5)
        cache.commit_chunk()


@settings(max_examples=150, deadline=None)
@given(
    window=st.integers(1, 4),
    sink=st.integers(0, 2),
    actions=st.lists(
        st.sampled_from(["put", "put", "put", "abandon", "snapshot", "restore", "reset"]) | st.integers(1, 3),
        min_size=8,
        max_size=24,
    ),
)
def test_ring_after_any_history_shows_only_right_chunks(window: int, sink: int, actions: list[str | int]) -> None:
    cache = make_cache(window, sink)
    path: list[int] = []  # branch of each chunk: a chunk written anew must not show the old one
    saved = (cache.snapshot(), list(path))
    for branch, action in enumerate([*actions, "put", "put"]):
        if action in ("put", "abandon"):
            index = len(path)
            cache.begin_chunk(index)
            for layer in range(LAYERS):
                write(cache, layer, *(x[layer] for x in chunk_kv(index, branch)))
                visible = sorted(visible_indices(index, window, sink), key=cache.slot)
                k = [chunk_kv(i, [*path, branch][i])[0][layer] for i in visible]
                assert torch.equal(cache.view().visible(layer)[0], torch.cat(k))
            if action == "put":
                cache.commit_chunk()
                path.append(branch)
            else:
                cache.abandon_chunk()
        elif action == "snapshot":
            saved = (cache.snapshot(), list(path))
        elif action == "restore":
            cache.k.fill_(torch.nan)
            cache.restore(saved[0])
            path = list(saved[1])
        elif action == "reset":
            cache.reset()
            path = []
        elif isinstance(action, int) and cache.can_truncate(len(path) - action):  # drop that many chunks
            cache.truncate(len(path) - action)
            del path[-action:]
        assert cache.num_chunks == len(path)


def test_can_truncate_while_filling_is_always_so() -> None:
    cache = make_cache(window_chunks=5, sink_chunks=1)
    for index in range(6):
        put(cache, index)
    assert all(cache.can_truncate(target) for target in range(7))
    assert not cache.can_truncate(7)


def test_can_truncate_past_eviction_drops_only_the_newest() -> None:
    cache = make_cache(window_chunks=5, sink_chunks=1)
    for index in range(9):
        put(cache, index)
    assert [target for target in range(12) if cache.can_truncate(target)] == [8, 9]
    cache.truncate(8)
    assert [target for target in range(12) if cache.can_truncate(target)] == [8]
    with pytest.raises(AssertionError):
        cache.truncate(7)


def test_can_truncate_after_abandoned_chunk_counts_it_as_begun() -> None:
    cache = make_cache(window_chunks=2, sink_chunks=0)
    put(cache, 0)
    put(cache, 1)
    cache.begin_chunk(2)  # overwrites chunk 0
    cache.abandon_chunk()
    assert cache.can_truncate(2)
    assert not cache.can_truncate(1)  # chunk 1 would have to see chunk 0
    restored = make_cache(window_chunks=2, sink_chunks=0)
    restored.restore(cache.snapshot())
    assert not restored.can_truncate(1)


def test_snapshot_is_a_copy_of_the_visible_part() -> None:
    cache = make_cache(window_chunks=4, sink_chunks=0)
    put(cache, 0)
    put(cache, 1)
    snapshot = cache.snapshot()
    assert snapshot.k.shape == (LAYERS, 2 * TOKENS, HEADS, HEAD_DIM)
    assert snapshot.num_bytes == cache.num_visible_bytes == cache.num_bytes // 2
    cache.reset()
    put(cache, 0, branch=7)
    assert torch.equal(snapshot.k[:, :TOKENS], chunk_kv(0)[0])
    cache.restore(snapshot)
    assert cache.num_chunks == 2
    assert torch.equal(cache.k[:, : 2 * TOKENS], snapshot.k)


def test_begin_chunk_out_of_order_fails() -> None:
    cache = make_cache(window_chunks=2, sink_chunks=0)
    with pytest.raises(AssertionError):
        cache.begin_chunk(1)
    cache.begin_chunk(0)
    with pytest.raises(AssertionError):
        cache.begin_chunk(0)
    with pytest.raises(AssertionError):
        cache.truncate(0)


def test_view_without_a_begun_chunk_fails() -> None:
    cache = make_cache(window_chunks=2, sink_chunks=0)
    with pytest.raises(AssertionError):
        cache.view()


def test_view_of_a_later_chunk_differs_only_in_what_is_visible() -> None:
    cache = make_cache(window_chunks=2, sink_chunks=1)
    put(cache, 0)
    cache.begin_chunk(1)
    later = cache.view_of(7)
    assert (later.k, later.v, later.rows) == (cache.view().k, cache.view().v, cache.view().rows)
    assert len(later.visible(0)[0]) == 3 * TOKENS and len(cache.view().visible(0)[0]) == 2 * TOKENS
