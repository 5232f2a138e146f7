# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The Wan autoencoder against recorded numbers, and as a stream."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lingbot_core.image_latents import STEADY_LATENT
from lingbot_core.models.wan_vae import (
    LATENT_MEAN,
    LATENT_STD,
    StillClip,
    WanVAEConfig,
    WanVAEDecoder,
    WanVAEEncoder,
    denormalize_latents,
    normalize_latents,
)
from tests.seeded_models import golden, random_input, wan_decoder, wan_encoder

TINY = 8


def decode_in_calls(
    decoder: WanVAEDecoder, latents: Tensor, lengths: Sequence[int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Decode a clip in calls of so many latents."""
    state: dict[str, Tensor] = {}
    parts = []
    for part in latents.split(list(lengths)):
        frames, state = decoder.decode(part, state)
        parts.append(frames)
    return torch.cat(parts), state


def encode_in_calls(encoder: WanVAEEncoder, frames: Tensor, lengths: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
    """Encode a clip in calls of so many frames."""
    state: dict[str, Tensor] = {}
    parts = []
    for part in frames.split(list(lengths)):
        latents, state = encoder.encode(part, state)
        parts.append(latents)
    return torch.cat(parts), state


def test_encode_when_photo_and_grey_frames_matches_golden() -> None:
    recorded, encoder = golden("vae"), wan_encoder()
    image = random_input("vae/image", 1, 3, 32, 48).tanh()
    frames, state = torch.cat([image, image.new_zeros(8, 3, 32, 48)]), {}
    for chunk in range(4):
        latents, state = encoder.encode(frames, state)
        torch.testing.assert_close(latents, recorded[f"encode.chunk{chunk}.latent"], atol=5e-5, rtol=0)
        frames = image.new_zeros(12, 3, 32, 48)
    assert len(state) == 24


def test_encode_when_video_matches_golden() -> None:
    recorded = golden("vae")
    video = random_input("vae/video", 21, 3, 32, 48).tanh()
    latents, _ = encode_in_calls(wan_encoder(), video, (1, 4, 4, 12))
    expected = torch.cat([recorded["encode_video.chunk0.latent"], recorded["encode_video.chunk1.latent"]])
    torch.testing.assert_close(latents, expected, atol=5e-5, rtol=0)


def test_decode_when_chunk_after_chunk_matches_golden() -> None:
    recorded, state = golden("vae"), {}
    for chunk, latents in enumerate(random_input("vae/latent", 12, 16, 4, 6).split(3)):
        frames, state = wan_decoder().decode(latents, state)
        torch.testing.assert_close(frames, recorded[f"decode.chunk{chunk}.pixels"], atol=1e-4, rtol=0)
    assert len(state) == 32


def test_latent_statistics_equal_golden() -> None:
    recorded = golden("vae")
    torch.testing.assert_close(torch.tensor(LATENT_MEAN), recorded["latent_mean"], atol=0, rtol=0)
    torch.testing.assert_close(torch.tensor(LATENT_STD), recorded["latent_std"], atol=0, rtol=0)


def test_denormalize_latents_undoes_normalize_latents() -> None:
    latents = random_input("latents", 2, 16, 3, 5)
    torch.testing.assert_close(denormalize_latents(normalize_latents(latents)), latents, atol=1e-6, rtol=0)


@pytest.mark.parametrize("lengths", [(1,) * 7, (2, 5), (3, 3, 1), (1, 2, 4)])
def test_decode_when_split_into_calls_equals_one_call(lengths: tuple[int, ...]) -> None:
    decoder = WanVAEDecoder(WanVAEConfig(base_dim=TINY)).double()
    decoder.load_state_dict(wan_decoder(TINY).state_dict())
    latents = random_input("split", 7, 16, 4, 6)  # normalised in float32
    whole, whole_state = decoder.decode(latents.double(), {})
    frames, state = decode_in_calls(decoder, latents.double(), lengths)
    assert whole.shape == (25, 3, 32, 48)
    torch.testing.assert_close(frames, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, whole_state, atol=1e-12, rtol=0)


@pytest.mark.parametrize("lengths", [(1, 4, 4, 4, 4), (1, 8, 8), (5, 12), (9, 4, 4)])
def test_encode_when_split_into_calls_equals_one_call(lengths: tuple[int, ...]) -> None:
    encoder = WanVAEEncoder(WanVAEConfig(base_dim=TINY)).double()
    encoder.load_state_dict(wan_encoder(TINY).state_dict())
    frames = random_input("split", 17, 3, 32, 48).tanh().double()
    whole, whole_state = encoder.encode(frames, {})
    latents, state = encode_in_calls(encoder, frames, lengths)
    assert whole.shape == (5, 16, 4, 6)
    torch.testing.assert_close(latents, whole, atol=1e-6, rtol=0)  # statistics are applied in float32
    torch.testing.assert_close(state, whole_state, atol=1e-12, rtol=0)


def test_still_clip_equals_encoding_all_of_its_frames() -> None:
    encoder = WanVAEEncoder(WanVAEConfig(base_dim=TINY)).double()
    encoder.load_state_dict(wan_encoder(TINY).state_dict())
    first, ending = random_input("still", 2, 3, 16, 16).tanh().double().split(1)
    num_latents = STEADY_LATENT + 4
    whole, _ = encoder.encode(torch.cat([first, ending.expand(4 * (num_latents - 1), -1, -1, -1)]), {})
    clip = StillClip(encoder, first, ending)
    latents = torch.stack([clip.next_latent() for _ in range(num_latents)])
    torch.testing.assert_close(latents, whole, atol=1e-6, rtol=0)  # statistics are applied in float32
    distances = (whole[1:] - whole[:-1]).abs().amax((1, 2, 3))
    assert distances[STEADY_LATENT - 1] > 1e-9 and (distances[STEADY_LATENT:] < 1e-9).all()


def test_still_clip_runs_a_layer_only_while_it_sees_more_than_the_ending() -> None:
    encoder = copy.deepcopy(wan_encoder(TINY))
    runs: Counter[str] = Counter()
    names = {layer: name for name, layer in encoder.encoder.named_modules()}
    for layer in encoder.encoder.layers:
        layer.register_forward_hook(lambda layer, *_: runs.update([names[layer]]))
    clip = StillClip(encoder, *random_input("still", 2, 3, 16, 16).tanh().split(1))
    for _ in range(STEADY_LATENT + 4):
        clip.next_latent()
    finest, half, deepest = ("downsamples.1", "downsamples.4", "head")
    # the photo reaches frame 10 at full size and frame 18 at half, four frames to a latent; see each layer's reach
    assert (runs["conv1"], runs[finest], runs[half], runs[deepest]) == (2, 4, 6, STEADY_LATENT + 1)
    assert clip._layers == [] and clip._state == {}


def test_still_clip_when_a_call_fails_goes_on_as_if_it_had_not_been_made(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = copy.deepcopy(wan_encoder(TINY))
    frames = random_input("still", 2, 3, 16, 16).tanh().split(1)
    undisturbed, clip = StillClip(encoder, *frames), StillClip(encoder, *frames)

    def fail(*_: object) -> None:
        raise MemoryError

    for index in range(8):
        expected = undisturbed.next_latent()
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(encoder.encoder.head, "forward", fail)
            clip.next_latent()
        assert torch.equal(clip.next_latent(), expected), index


def test_decode_when_a_later_latent_changes_earlier_frames_stay() -> None:
    latents = random_input("causal", 5, 16, 4, 6)
    changed = latents.clone()
    changed[3] += 1
    before, _ = wan_decoder(TINY).decode(latents, {})
    after, _ = wan_decoder(TINY).decode(changed, {})
    first_changed_frame = 1 + 4 * 2
    torch.testing.assert_close(before[:first_changed_frame], after[:first_changed_frame], atol=0, rtol=0)
    assert not torch.equal(before[first_changed_frame], after[first_changed_frame])


def test_state_shares_no_memory_and_keeps_its_size() -> None:
    decoder, encoder = wan_decoder(TINY), wan_encoder(TINY)
    latents = random_input("memory", 6, 16, 4, 6)
    first, first_state = decoder.decode(latents[:3], {})
    copies = {name: tensor.clone() for name, tensor in first_state.items()}
    _, second_state = decoder.decode(latents[3:], first_state)
    _, encoder_state = encoder.encode(first, {})
    for state in (first_state, second_state, encoder_state):
        for tensor in state.values():
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
    torch.testing.assert_close(first_state, copies, atol=0, rtol=0)
    assert {name: tensor.shape for name, tensor in first_state.items()} == {
        name: tensor.shape for name, tensor in second_state.items()
    }


def test_encode_when_stream_goes_on_with_wrong_number_of_frames_fails() -> None:
    frames = torch.zeros(2, 3, 16, 16)
    with pytest.raises(AssertionError):
        wan_encoder(TINY).encode(frames, {})


def test_bf16_follows_float32() -> None:
    decoder = WanVAEDecoder(WanVAEConfig(base_dim=TINY)).bfloat16()
    decoder.load_state_dict(wan_decoder(TINY).state_dict())
    latents = random_input("bf16", 3, 16, 4, 6)
    frames, state = decoder.decode(latents.bfloat16(), {})
    expected, _ = wan_decoder(TINY).decode(latents, {})
    assert {tensor.dtype for tensor in (frames, *state.values())} == {torch.bfloat16}
    assert (frames.float() - expected).norm() < 3e-2 * expected.norm()


def test_halves_at_full_size_have_the_published_number_of_tensors_and_parameters() -> None:
    with torch.device("meta"):
        views = [half(WanVAEConfig()).checkpoint_views() for half in (WanVAEEncoder, WanVAEDecoder)]
    assert len(views[0]) == 84 + 2 and len(views[1]) == 106 + 2
    targets = itertools.chain(*(view.values() for view in views))
    assert sum(view.target.numel() for view in targets) == 126_892_531
