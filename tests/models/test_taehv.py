# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The tiny decoder against recorded numbers, and as a stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lingbot_core.models.taehv import TAEHVConfig, TAEHVDecoder
from tests.seeded_models import fill, golden, random_input, tiny_decoder

SMALL = (16, 12, 8)


def check_stream(decoder: TAEHVDecoder, fixture: str, num_chunks: int) -> dict[str, Tensor]:
    """Decode the golden latents chunk by chunk and compare; returns the state."""
    recorded, state = golden("taehv"), {}
    chunks = random_input("taehv/latent", 12, 16, 4, 6).split(3)
    for index, latents in enumerate(chunks[:num_chunks]):
        frames, state = decoder.decode(latents, state)
        torch.testing.assert_close(frames, recorded[f"{fixture}.chunk{index}.pixels"], atol=1e-4, rtol=0)
    return state


@pytest.mark.parametrize(("fixture", "denormalize"), [("lighttae", True), ("taew2_1", False)])
def test_decode_when_chunk_after_chunk_matches_golden(fixture: str, denormalize: bool) -> None:
    assert len(check_stream(tiny_decoder(denormalize=denormalize), fixture, num_chunks=4)) == 9


def test_decode_when_time_grow_has_too_many_rows_uses_the_last() -> None:
    with_spare_rows = {"decoder.7.conv.weight": (512, 256, 1, 1)}
    decoder = fill(TAEHVDecoder(TAEHVConfig(), denormalize=True), with_spare_rows)
    check_stream(decoder, "lighttae_tgrow512", num_chunks=2)


def test_raw_output_matches_golden_before_the_clamp(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = golden("taehv")["lighttae.chunk0.unclamped"]
    monkeypatch.setattr(Tensor, "clamp_", lambda self, *_: self)
    frames, _ = tiny_decoder(denormalize=True).decode(random_input("taehv/latent", 12, 16, 4, 6)[:3], {})
    torch.testing.assert_close(frames, recorded, atol=1e-4, rtol=0)


@pytest.mark.parametrize("lengths", [(1,) * 7, (2, 5), (3, 3, 1)])
def test_decode_when_split_into_calls_equals_one_call(lengths: tuple[int, ...]) -> None:
    decoder = TAEHVDecoder(TAEHVConfig(SMALL), denormalize=False).double()
    decoder.load_state_dict(tiny_decoder(denormalize=False, widths=SMALL).state_dict())
    latents = random_input("split", 7, 16, 4, 6).double()
    whole, whole_state = decoder.decode(latents, {})
    assert whole.shape == (25, 3, 32, 48)
    state: dict[str, Tensor] = {}
    start = 0
    for part in latents.split(list(lengths)):
        frames, state = decoder.decode(part, state)
        torch.testing.assert_close(frames, whole[start : start + len(frames)], atol=1e-12, rtol=0)
        start += len(frames)
    assert start == len(whole)
    torch.testing.assert_close(state, whole_state, atol=1e-12, rtol=0)


def test_state_shares_no_memory_and_is_not_written() -> None:
    decoder = tiny_decoder(denormalize=True, widths=SMALL)
    latents = random_input("memory", 6, 16, 4, 6)
    _, state = decoder.decode(latents[:3], {})
    copies = {name: tensor.clone() for name, tensor in state.items()}
    decoder.decode(latents[3:], state)
    torch.testing.assert_close(state, copies, atol=0, rtol=0)
    for tensor in state.values():
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_decoder_at_full_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        views = TAEHVDecoder(TAEHVConfig(), denormalize=True).checkpoint_views()
    assert len(views) == 64
    assert sum(view.target.numel() for view in views.values()) == 9_844_611
