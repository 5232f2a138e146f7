# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The photo as the network sees it: recorded layouts and streams, order of encoding, life of the encoder."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from lingbot_core import image_latents
from lingbot_core.image_latents import ImageLatents, condition_tokens, photo_to_frames
from lingbot_core.models.wan_vae import WanVAEEncoder
from tests.seeded_models import golden, random_input, wan_encoder

CPU = torch.device("cpu")


class Builder:
    """Builds an encoder and counts how often."""

    def __init__(self, encoder: WanVAEEncoder) -> None:
        self.encoder, self.num_built = encoder, 0

    def __call__(self) -> WanVAEEncoder:
        self.num_built += 1
        return self.encoder


def make_photo(height: int = 16, width: int = 16) -> Tensor:
    """A photo of noise."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def make_latents(mode: str = "exact") -> tuple[ImageLatents, Builder]:
    """Latents of a photo by a tiny encoder."""
    builder = Builder(wan_encoder(8))
    return ImageLatents(make_photo(), builder, mode, CPU, torch.float32), builder


@pytest.mark.parametrize("chunk_index", [0, 1])
def test_condition_tokens_when_coded_values_match_golden(chunk_index: int) -> None:
    recorded = golden("i2v_mask_layout")
    tokens = condition_tokens(chunk_index, recorded["coded.image_latent"])
    assert tokens.shape == (18, 80)
    assert torch.equal(tokens, recorded[f"coded.ar{chunk_index}.tokens_144"][:, 64:])


def test_chunk_when_repeating_matches_golden_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = golden("i2v_mask_layout")
    image = random_input("vae/image", 1, 3, 32, 48).tanh()  # the recorded one is not of 8 bits
    monkeypatch.setattr(image_latents, "photo_to_frames", lambda *_: image)
    photo = torch.zeros(32, 48, 3, dtype=torch.uint8)
    latents = ImageLatents(photo, Builder(wan_encoder()), "repeat", CPU, torch.float32)
    for chunk_index in range(7):
        chunk = latents.chunk(chunk_index)
        torch.testing.assert_close(chunk, recorded[f"stream.ar{chunk_index}.latent"], atol=5e-5, rtol=0)
        if chunk_index < 2:
            expected = recorded[f"stream.ar{chunk_index}.tokens_144_zero_noise"][:, 64:]
            torch.testing.assert_close(condition_tokens(chunk_index, chunk), expected, atol=5e-5, rtol=0)


def test_chunk_when_exact_equals_encoding_the_whole_clip() -> None:
    latents, _ = make_latents()
    frames = torch.cat([photo_to_frames(make_photo(), CPU, torch.float32), torch.zeros(4 * 35, 3, 16, 16)])
    whole, _ = wan_encoder(8).encode(frames, {})
    for chunk_index in range(12):
        expected = whole[3 * chunk_index : 3 * chunk_index + 3]
        torch.testing.assert_close(latents.chunk(chunk_index), expected, atol=1e-5, rtol=0)


def test_chunk_when_exact_is_constant_from_latent_29_for_any_photo() -> None:
    latents, _ = make_latents()
    other = ImageLatents(255 - make_photo(), Builder(wan_encoder(8)), "exact", CPU, torch.float32)
    newest, steady = latents.chunk(9), latents.chunk(10)
    assert torch.equal(steady, newest[2:].expand(3, -1, -1, -1))
    assert torch.equal(latents.chunk(500), steady)
    assert torch.equal(other.chunk(10), steady)
    assert not torch.equal(other.chunk(8), latents.chunk(8))


def test_chunk_when_asked_out_of_order_equals_in_order() -> None:
    in_order, _ = make_latents()
    expected = [in_order.chunk(index) for index in range(4)]
    out_of_order, builder = make_latents()
    for index in (2, 0, 3, 1):
        assert torch.equal(out_of_order.chunk(index), expected[index])
    assert builder.num_built == 1


@pytest.mark.parametrize(("mode", "last_chunk"), [("exact", 9), ("repeat", 4)])
def test_encoder_is_built_on_first_need_and_freed_with_its_last_latent(mode: str, last_chunk: int) -> None:
    latents, builder = make_latents(mode)
    assert builder.num_built == 0 and not latents.finished
    latents.chunk(last_chunk - 1)
    assert latents._clip is not None and not latents.finished
    latents.chunk(last_chunk)
    assert latents.finished and latents._clip is None
    latents.chunk(last_chunk + 5)
    latents.chunk(0)
    assert builder.num_built == 1


def test_release_when_more_is_needed_later_encodes_again_and_gives_the_same() -> None:
    undisturbed, _ = make_latents()
    latents, builder = make_latents()
    first = latents.chunk(0)
    latents.release()
    assert latents._clip is None
    assert torch.equal(latents.chunk(0), first)
    assert builder.num_built == 1
    assert torch.equal(latents.chunk(2), undisturbed.chunk(2))
    assert builder.num_built == 2


def test_prefetch_when_on_cpu_does_nothing() -> None:
    latents, builder = make_latents()
    latents.prefetch(3)
    assert builder.num_built == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_photo_to_frames_maps_bytes_to_minus_one_to_one(dtype: torch.dtype) -> None:
    photo = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3)
    frames = photo_to_frames(photo, CPU, dtype)
    assert frames.shape == (1, 3, 1, 1) and frames.dtype == dtype
    torch.testing.assert_close(frames.flatten().float(), torch.tensor([-1.0, -0.6, 1.0]), atol=2e-3, rtol=0)


@pytest.mark.gpu
def test_chunk_when_prefetched_on_cuda_equals_without() -> None:
    encoder = copy.deepcopy(wan_encoder(8)).cuda()
    plain, prefetched = (
        ImageLatents(make_photo(64, 64), Builder(encoder), "exact", torch.device("cuda"), torch.float32)
        for _ in range(2)
    )
    for chunk_index in range(11):
        expected = plain.chunk(chunk_index)
        latents = prefetched.chunk(chunk_index)
        prefetched.prefetch(chunk_index + 1)
        assert torch.equal(latents, expected)
    assert prefetched.finished and prefetched._clip is None
