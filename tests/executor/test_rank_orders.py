# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What rank 0 tells the others, without the others."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch

from lingbot_core.context_parallel import ContextParallel
from lingbot_core.errors import LingBotError
from lingbot_core.executor import rank_group
from lingbot_core.executor.rank_group import Order, RankGroup
from lingbot_core.executor.ranks import LeadingCache


class RecordingGroup(RankGroup):
    """Rank 0 of two, the other of which is a list."""

    def __init__(self) -> None:
        self.sent: list[tuple[Order, ...]] = []
        super().__init__(ContextParallel(0, 2, cast(Any, object())), None, torch.device("cpu"))

    def _send(self, order: Order, *numbers: int) -> None:
        self.sent.append((order, *cast(Any, numbers)))


@pytest.fixture
def group() -> Iterator[RecordingGroup]:
    group = RecordingGroup()
    yield group
    group.close()


def make_cache(group: RankGroup) -> LeadingCache:
    return LeadingCache(group, 2, 4, 8, 6, 2, 1, torch.float32, "cpu")


def test_cache_tells_each_change_before_it_is_made(group: RecordingGroup) -> None:
    cache = make_cache(group)
    for index in range(2):
        cache.begin_chunk(index)
        cache.commit_chunk()
    cache.begin_chunk(2)
    cache.abandon_chunk()
    cache.truncate(1)
    cache.reset()
    begin, commit = Order.BEGIN_CHUNK, (Order.COMMIT_CHUNK,)
    expected = [(begin, 0), commit, (begin, 1), commit, (begin, 2), (Order.ABANDON_CHUNK,), (Order.TRUNCATE, 1)]
    assert group.sent == [*expected, (Order.RESET,)]


def test_snapshot_is_forgotten_by_all_ranks_with_the_order_after_it_is_freed(group: RecordingGroup) -> None:
    cache = make_cache(group)
    cache.begin_chunk(0)
    cache.commit_chunk()
    first, second = cache.snapshot(), cache.snapshot()
    assert first.number != second.number
    assert first.num_bytes == cache.num_visible_bytes == 2 * (2 * 2 * 6 * 2 * 8 * 4), "of both ranks"
    group.sent.clear()
    cache.restore(first)
    number = first.number
    del first
    gc.collect()
    cache.reset()
    assert group.sent == [(Order.RESTORE, number), (Order.DROP, number), (Order.RESET,)]
    cache.restore(second)


def test_after_an_error_in_the_middle_nothing_is_told_and_only_tidying_is_done(group: RecordingGroup) -> None:
    cache = make_cache(group)
    with pytest.raises(MemoryError), group.together(Order.DENOISE, 0):
        raise MemoryError
    assert group.is_broken
    group.sent.clear()
    with pytest.raises(LingBotError, match="out of step"):
        cache.begin_chunk(0)
    assert cache.num_chunks == 0
    cache.reset()
    group.beat()
    assert not group.sent


def test_beat_is_sent_only_after_a_silence_and_never_amid_an_order(
    group: RecordingGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    group.beat()
    assert not group.sent, "the last order was a moment ago"
    monkeypatch.setattr(rank_group, "BEAT_SEC", 0.0)
    with group.together(Order.RESET):
        group.beat()
        assert group.sent == [(Order.RESET,)]
    group.beat()
    assert group.sent == [(Order.RESET,), (Order.BEAT,)]
