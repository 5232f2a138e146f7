# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from lingbot_core.errors import InputError
from nodes.conditioning import CHUNK_KEY, add_event, from_embedding, to_events

DIM = 8


def core_conditioning(num_rows: int = 512, dim: int = DIM):
    """As core CLIP Text Encode makes it."""
    return [[torch.randn(1, num_rows, dim), {"pooled_output": None, "attention_mask": torch.ones(1, num_rows)}]]


def to_quiet_events(conditioning, num_chunks: int = 9):
    warnings: list[str] = []
    return to_events(conditioning, num_chunks, DIM, warnings.append), warnings


def test_from_embedding_when_read_back_gives_the_same_bits():
    embedding = torch.randn(512, DIM).bfloat16()
    conditioning = from_embedding(embedding)
    assert conditioning[0][0].shape == (1, 512, DIM) and conditioning[0][0].dtype == torch.float32
    (event,), warnings = to_quiet_events(conditioning)
    assert event.chunk_index == 0 and event.embedding is not None and not warnings
    assert torch.equal(event.embedding.bfloat16(), embedding)


def test_to_events_when_core_encoding_is_short_pads_with_zeros():
    conditioning = core_conditioning(77)
    (event,), warnings = to_quiet_events(conditioning)
    assert event.embedding is not None and event.embedding.shape == (512, DIM) and not warnings
    assert torch.equal(event.embedding[:77], conditioning[0][0][0]) and not event.embedding[77:].any()


def test_to_events_when_core_encoding_is_long_cuts_it_and_says_so():
    conditioning = core_conditioning(600)
    (event,), warnings = to_quiet_events(conditioning)
    assert event.embedding is not None and torch.equal(event.embedding, conditioning[0][0][0, :512])
    assert "600 tokens" in warnings[0]


def test_add_event_when_chained_in_any_order_gives_events_by_chunk():
    base, snow, rain = (core_conditioning() for _ in range(3))
    schedule = add_event(add_event(base, rain, 6), snow, 3)
    events, warnings = to_quiet_events(schedule)
    assert [event.chunk_index for event in events] == [0, 3, 6] and not warnings
    assert events[1].embedding is not None and torch.equal(events[1].embedding, snow[0][0][0])
    assert CHUNK_KEY not in snow[0][1], "an input was changed"


def test_to_events_when_event_is_beyond_the_end_leaves_it_out_and_says_so():
    events, warnings = to_quiet_events(add_event(core_conditioning(), core_conditioning(), 9))
    assert len(events) == 1 and "chunk 9 is beyond the last chunk, 8" in warnings[0]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "more than one prompt"),
        (core_conditioning() + core_conditioning(), "more than one prompt"),
        (add_event(core_conditioning(), core_conditioning(), 2)[1:], "chunk of its own"),
    ],
)
def test_add_event_when_event_is_not_one_plain_prompt_says_what_to_do(event, message: str):
    with pytest.raises(InputError, match=message):
        add_event(core_conditioning(), event, 4)


def test_add_event_when_chunk_is_taken_raises():
    with pytest.raises(InputError, match="same chunk"):
        add_event(add_event(core_conditioning(), core_conditioning(), 4), core_conditioning(), 4)


@pytest.mark.parametrize(
    ("conditioning", "message"),
    [
        ([], "empty"),
        (core_conditioning(dim=768), "another text encoder"),
        ([[torch.zeros(512, DIM), {}]], "another text encoder"),
        (core_conditioning() + core_conditioning(), "two prompts for chunk 0"),
        (add_event(core_conditioning(), core_conditioning(), 2)[1:], "no prompt for the beginning"),
        (add_event(core_conditioning(), core_conditioning(), 20)[1:], "no prompt for the beginning"),
    ],
)
def test_to_events_when_conditioning_cannot_be_used_says_why(conditioning, message: str):
    with pytest.raises(InputError, match=message):
        to_quiet_events(conditioning)
