# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from lingbot_core.decoder import StreamingDecoder
from lingbot_core.preview import MAX_SIDE, Previewer, latents_to_rgb
from tests.seeded_models import tiny_decoder


def chunk(seed: int, height: int = 4, width: int = 6) -> torch.Tensor:
    """Latents ``[3, 16, height, width]``."""
    return torch.randn(3, 16, height, width, generator=torch.Generator().manual_seed(seed))


def decoder() -> StreamingDecoder:
    return StreamingDecoder(tiny_decoder(denormalize=True, widths=(16, 16, 8)), "tiny")


def test_grey_latents_have_the_colour_of_the_bias() -> None:
    frames = latents_to_rgb(torch.zeros(2, 16, 4, 6))
    assert frames.shape == (2, 4, 6, 3) and frames.dtype == torch.uint8
    expected = [int((1 + bias) * 127.5) for bias in (-0.1835, -0.0868, -0.3360)]
    assert frames[1, 2, 3].tolist() == expected


def test_each_channel_adds_its_colours() -> None:
    latents = torch.zeros(1, 16, 1, 2)
    latents[0, 2, 0, 1] = 1.0
    left, right = latents_to_rgb(latents)[0, 0].float()
    assert torch.allclose(right - left, 127.5 * torch.tensor([0.3568, 0.2548, 0.1747]), atol=1.0)


def test_without_a_decoder_a_preview_is_a_frame_per_latent_frame() -> None:
    assert Previewer(None).frames(None, "a", chunk(0)).shape == (3, 4, 6, 3)


def test_preview_goes_on_behind_its_chunk_and_begins_anew_elsewhere() -> None:
    previewer, exact = Previewer(decoder()), decoder()
    first, state = exact.decode(chunk(0), exact.initial_state())
    second, _ = exact.decode(chunk(1), state)
    assert torch.equal(previewer.frames(None, "a", chunk(0)), first)
    assert torch.equal(previewer.frames("a", "b", chunk(1)), second)
    anew, _ = exact.decode(chunk(1), exact.initial_state())
    assert torch.equal(previewer.frames("other", "c", chunk(1)), anew)
    assert len(second) == 12 and len(anew) == 9


def test_large_frames_are_shrunk_in_proportion() -> None:
    frames = Previewer(decoder()).frames(None, "a", chunk(0, 8, 96))
    assert frames.shape == (9, round(64 * MAX_SIDE / 768), MAX_SIDE, 3)
