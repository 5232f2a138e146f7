# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Streaming decoding: chunks, states, memory fall-back, bytes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lingbot_core.decoder import DecoderState, StreamingDecoder, frames_to_uint8
from lingbot_core.errors import ResourceError
from lingbot_core.models.taehv import TAEHVDecoder
from lingbot_core.models.wan_vae import WanVAEDecoder
from tests.seeded_models import golden, random_input, tiny_decoder, wan_decoder

SMALL = (16, 12, 8)


def small_decoders() -> list[WanVAEDecoder | TAEHVDecoder]:
    """One decoder of each kind."""
    return [wan_decoder(8), tiny_decoder(denormalize=True, widths=SMALL)]


class Forgetful(torch.nn.Module):
    """A decoder whose memory does not suffice for more than ``limit`` latent frames."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.inner, self.limit = tiny_decoder(denormalize=True, widths=SMALL), limit
        self.calls: list[int] = []

    def decode(self, latents: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode or give up."""
        self.calls.append(len(latents))
        if len(latents) > self.limit:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.inner.decode(latents, state)


def test_decode_float_when_wan_decoder_one_latent_at_a_time_matches_golden() -> None:
    decoder = StreamingDecoder(wan_decoder(), "wan", latents_per_call=1)
    state = decoder.initial_state()
    for chunk, latents in enumerate(random_input("vae/latent", 12, 16, 4, 6)[:6].split(3)):
        frames, state = decoder.decode_float(latents, state)
        torch.testing.assert_close(frames, golden("vae")[f"decode.chunk{chunk}.pixels"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("module", small_decoders(), ids=lambda module: type(module).__name__)
def test_decode_when_any_latents_per_call_gives_the_same_frames(module: WanVAEDecoder | TAEHVDecoder) -> None:
    latents = random_input("per_call", 6, 16, 4, 6)
    clips = []
    for latents_per_call in (1, 2, 3):
        decoder = StreamingDecoder(module, "test", latents_per_call)
        first, state = decoder.decode_float(latents[:3], decoder.initial_state())
        second, state = decoder.decode_float(latents[3:], state)
        assert (len(first), len(second), state.num_latent_frames) == (9, 12, 6)
        clips.append(torch.cat([first, second]))
    torch.testing.assert_close(clips[1], clips[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(clips[2], clips[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("module", small_decoders(), ids=lambda module: type(module).__name__)
def test_decode_when_state_is_used_again_gives_the_same_bytes(module: WanVAEDecoder | TAEHVDecoder) -> None:
    decoder = StreamingDecoder(module, "test")
    latents = random_input("again", 6, 16, 4, 6)
    _, state = decoder.decode(latents[:3], decoder.initial_state())
    first, _ = decoder.decode(latents[3:], state)
    second, _ = decoder.decode(latents[3:], state.to("cpu"))
    assert first.dtype == torch.uint8 and first.shape == (12, 32, 48, 3)
    assert torch.equal(first, second)


def test_decoder_state_when_initial_is_empty_and_grows_to_a_constant_size() -> None:
    decoder = StreamingDecoder(wan_decoder(8), "test")
    state = decoder.initial_state()
    assert state == DecoderState() and state.num_bytes == 0
    sizes = []
    for latents in random_input("size", 9, 16, 4, 6).split(3):
        _, state = decoder.decode(latents, state)
        sizes.append(state.num_bytes)
    assert sizes[0] > 0 and set(sizes) == {sizes[0]}


def test_decode_when_memory_runs_out_goes_on_with_one_latent_per_call() -> None:
    module = Forgetful(limit=1)
    latents = random_input("memory", 6, 16, 4, 6)
    decoder = StreamingDecoder(module, "test", latents_per_call=3)
    frames, state = decoder.decode_float(latents[:3], decoder.initial_state())
    more, state = decoder.decode_float(latents[3:], state)
    assert module.calls == [3, 1, 1, 1, 1, 1, 1]
    expected, _ = module.inner.decode(latents, {})
    torch.testing.assert_close(torch.cat([frames, more]), expected, atol=1e-5, rtol=0)
    assert state.num_latent_frames == 6


def test_decode_when_one_latent_does_not_fit_says_what_to_do() -> None:
    decoder = StreamingDecoder(Forgetful(limit=0), "test", latents_per_call=3)
    with pytest.raises(ResourceError, match="32x48.*TAEHV"):
        decoder.decode(random_input("memory", 3, 16, 4, 6), decoder.initial_state())


def test_frames_to_uint8_when_out_of_range_clips_and_truncates() -> None:
    values = torch.tensor([-1.5, -1.0, 0.0, 0.999, 1.0, 1.5])
    frames = frames_to_uint8(values.view(1, 1, 1, 6).expand(1, 3, 1, 6))
    assert frames.shape == (1, 1, 6, 3) and frames.is_contiguous()
    assert frames[0, 0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


@pytest.mark.gpu
def test_decode_float_when_on_cuda_matches_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    module = copy.deepcopy(wan_decoder()).cuda()
    decoder = StreamingDecoder(module, "wan")
    assert decoder.latents_per_call == 3
    state = decoder.initial_state()
    for chunk, latents in enumerate(random_input("vae/latent", 12, 16, 4, 6).split(3)):
        frames, state = decoder.decode_float(latents, state.to("cpu"))
        torch.testing.assert_close(frames.cpu(), golden("vae")[f"decode.chunk{chunk}.pixels"], atol=1e-3, rtol=0)
