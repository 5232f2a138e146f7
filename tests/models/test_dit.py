# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The network against recorded numbers, and its shortcuts against the long way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lingbot_core.kernels.norms import layer_norm_modulate
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.models.dit import LingBotDiT, timestep_sinusoid
from lingbot_core.models.dit_config import DiTConfig, RopeAngles
from lingbot_core.models.tokens import patchify, unpatchify
from lingbot_core.sampler import sample_chunk
from lingbot_core.schedule import Schedule, make_schedule
from tests.golden import dit_tiny

WINDOWS = {"window63_sink0": (63, 0), "window15_sink3": (15, 3), "window6_sink0": (6, 0)}
"""Name in the recordings -> window and sink in latent frames."""


def chunk_passes(
    network: LingBotDiT, cache: SinkWindowKVCache, chunk_index: int, dtype: torch.dtype
) -> tuple[Callable[[Tensor, float], Tensor], Callable[[Tensor], None]]:
    """Denoising pass ``(noisy [L, 64], t) -> flow`` and cache update ``(clean [L, 64])`` of a chunk."""
    condition = dit_tiny.condition_tokens(chunk_index).to(dtype)
    shared = (
        network.encode_camera(dit_tiny.camera_tokens(chunk_index).to(dtype)),
        network.encode_text(dit_tiny.text_embedding(network.config).to(dtype)),
        network.rope(chunk_index, dit_tiny.GRID),
        cache.view(),
    )

    def denoise(noisy: Tensor, t: float) -> Tensor:
        return network(torch.cat([noisy, condition], dim=-1), network.modulation(t), *shared)

    def update_cache(clean: Tensor) -> None:
        network.update_cache(torch.cat([clean, condition], dim=-1), network.modulation(0.0), *shared)

    return denoise, update_cache


@pytest.fixture(scope="module")
def network() -> LingBotDiT:
    return dit_tiny.build_network()


@pytest.mark.parametrize("window", ["window63_sink0", "window15_sink3"])
def test_forward_over_nine_chunks_matches_recording(network: LingBotDiT, window: str) -> None:
    expected = dit_tiny.recorded("dit_tiny_fp32")[f"{window}.flow"]  # [9, 5, T, C, h, w]
    cache = dit_tiny.build_cache(dit_tiny.CONFIG, *WINDOWS[window], torch.float32)
    for chunk_index in range(len(expected)):
        cache.begin_chunk(chunk_index)
        denoise, _ = chunk_passes(network, cache, chunk_index, torch.float32)
        for pass_index, t in enumerate(dit_tiny.TIMESTEPS):
            flow = unpatchify(denoise(dit_tiny.noise_tokens(chunk_index, pass_index), t), dit_tiny.GRID)
            recorded = expected[chunk_index, pass_index]
            torch.testing.assert_close(flow, recorded, atol=5e-5, rtol=0)
            assert dit_tiny.relative_l2(flow, recorded) <= 5e-6, (chunk_index, pass_index)
        cache.commit_chunk()


def test_parts_of_a_pass_match_recording(network: LingBotDiT) -> None:
    expected = dit_tiny.recorded("dit_tiny_debug")

    def check(actual: Tensor, name: str) -> None:
        torch.testing.assert_close(actual, expected[name], atol=5e-5, rtol=5e-6, msg=lambda text: f"{name}: {text}")

    cache = dit_tiny.build_cache(dit_tiny.CONFIG, 15, 3, torch.float32)
    cache.begin_chunk(0)
    denoise, _ = chunk_passes(network, cache, 0, torch.float32)
    for pass_index, t in enumerate(dit_tiny.TIMESTEPS):
        denoise(dit_tiny.noise_tokens(0, pass_index), t)
    cache.commit_chunk()
    cache.begin_chunk(1)

    recorded_output: dict[str, Tensor] = {}
    block = network.blocks[0]
    inputs = {  # first argument of a module
        "block1.input": network.blocks[1],
        "block2.input": network.blocks[2],
        "block0.norm3_output": block.cross_attn,
        "head.normed_input": network.head,
    }
    modules = {
        "block0.self_attn_output": block.self_attn,
        "block0.cross_attn_output": block.cross_attn,
        "block0.ffn_output": block.ffn,
        "block0.input": network.patch_embedding,
    }
    hooks = [
        module.register_forward_hook(lambda _, args, out, name=name: recorded_output.update({name: out}))  # pyright: ignore[reportAttributeAccessIssue]
        for name, module in modules.items()
    ]
    hooks += [
        module.register_forward_pre_hook(lambda _, args, name=name: recorded_output.update({name: args[0]}))  # pyright: ignore[reportAttributeAccessIssue]
        for name, module in inputs.items()
    ]
    denoise, _ = chunk_passes(network, cache, 1, torch.float32)
    noise = dit_tiny.noise_tokens(1, 1)
    output = denoise(noise, 976.0)
    for hook in hooks:
        hook.remove()

    # the norm in front of the head runs with the last residual update; the recording has what it was given
    shift, scale = network.modulation(976.0).head
    normed = layer_norm_modulate.torch(expected["head.input"], shift, scale, network.config.eps)
    assert isinstance(normed, Tensor)
    expected["head.normed_input"] = normed
    for name in recorded_output:
        check(recorded_output[name], name)
    check(noise, "network_input_tokens_noise")
    check(output, "network_output_tokens")
    check(network.text_embedding(dit_tiny.text_embedding()), "text_context")
    check(timestep_sinusoid(976.0, 256).float(), "time_sinusoid")
    timestep = network.embed_timestep(976.0)
    check(timestep.e, "time_embedding_e")
    check(timestep.e0, "time_projection_e0")
    camera_tokens = dit_tiny.camera_tokens(1)
    check(network.embed_camera(camera_tokens), "camera_embedding")
    scale, shift = network.encode_camera(camera_tokens).scale_shift[0].unbind(1)
    check(scale, "block0.cam_scale_output")
    check(shift, "block0.cam_shift_output")
    k, v = cache.view().visible(0)
    check(k, "block0.cached_k")
    check(v, "block0.cached_v")


def generate(
    network: LingBotDiT, schedule: Schedule, cache: SinkWindowKVCache, num_chunks: int, dtype: torch.dtype
) -> list[Tensor]:
    """Clean latents of a rollout, ``[T, C, h, w]`` each, from the recorded noise."""
    noise = dit_tiny.recorded("chunk_tiny")["noise"].to(dtype)
    latents = []
    for chunk_index in range(num_chunks):
        cache.begin_chunk(chunk_index)
        denoise, update_cache = chunk_passes(network, cache, chunk_index, dtype)
        draws = iter(noise[chunk_index])
        *_, clean = sample_chunk(
            lambda noisy, step, denoise=denoise: denoise(noisy, schedule.timesteps[step]),
            schedule,
            lambda draws=draws: next(draws),
        )
        update_cache(clean)
        cache.commit_chunk()
        latents.append(unpatchify(clean, dit_tiny.GRID))
    return latents


@pytest.mark.parametrize(
    ("tensor", "schedule"),
    [
        ("window63_sink0.clean", "fp32"),
        ("window15_sink3.clean", "fp32"),
        ("window6_sink0.clean", "fp32"),
        ("window63_sink0.clean_bf16_schedule_values", "bf16"),
        ("window15_sink3.clean_bf16_schedule_values", "bf16"),
    ],
)
def test_rollout_in_fp32_matches_recording(network: LingBotDiT, tensor: str, schedule: str) -> None:
    expected = dit_tiny.recorded("chunk_tiny")[tensor]
    cache = dit_tiny.build_cache(network.config, *WINDOWS[tensor.partition(".")[0]], torch.float32)
    latents = generate(network, make_schedule(schedule), cache, len(expected), torch.float32)
    torch.testing.assert_close(torch.stack(latents), expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("window", ["window63_sink0", "window15_sink3"])
def test_rollout_in_bf16_matches_recording(window: str) -> None:
    expected = dit_tiny.recorded("chunk_tiny")[f"{window}.clean_bf16_run"]
    network = dit_tiny.build_network(dtype=torch.bfloat16)
    cache = dit_tiny.build_cache(network.config, *WINDOWS[window], torch.bfloat16)
    latents = generate(network, make_schedule("bf16"), cache, len(expected), torch.bfloat16)
    for chunk_index, (actual, recorded) in enumerate(zip(latents, expected, strict=True)):
        assert actual.dtype == torch.bfloat16
        assert dit_tiny.relative_l2(actual, recorded) <= 2e-2, chunk_index


def test_update_cache_writes_what_forward_writes(network: LingBotDiT) -> None:
    caches = [dit_tiny.build_cache(dit_tiny.CONFIG, 6, 0, torch.float32) for _ in range(2)]
    for chunk_index in range(3):
        clean = dit_tiny.noise_tokens(chunk_index, 4)
        for cache, is_short in zip(caches, (True, False), strict=True):
            cache.begin_chunk(chunk_index)
            denoise, update_cache = chunk_passes(network, cache, chunk_index, torch.float32)
            update_cache(clean) if is_short else denoise(clean, 0.0)
            cache.commit_chunk()
    assert torch.equal(caches[0].k, caches[1].k) and torch.equal(caches[0].v, caches[1].v)


def test_update_cache_replayed_from_chunk_zero_rebuilds_the_cache(network: LingBotDiT) -> None:
    cache, replayed = (dit_tiny.build_cache(dit_tiny.CONFIG, 6, 0, torch.float32) for _ in range(2))
    latents = generate(network, make_schedule("bf16"), cache, 5, torch.float32)  # the first three are evicted
    for chunk_index, clean in enumerate(latents):
        replayed.begin_chunk(chunk_index)
        chunk_passes(network, replayed, chunk_index, torch.float32)[1](patchify(clean))
        replayed.commit_chunk()
    assert torch.equal(replayed.k, cache.k) and torch.equal(replayed.v, cache.v)


def test_update_cache_skips_last_block_and_head(network: LingBotDiT) -> None:
    cache = dit_tiny.build_cache(dit_tiny.CONFIG, 6, 0, torch.float32)
    cache.begin_chunk(0)
    _, update_cache = chunk_passes(network, cache, 0, torch.float32)
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in network.named_modules()
    ]
    update_cache(dit_tiny.noise_tokens(0, 0))
    for hook in hooks:
        hook.remove()
    assert [name for name in called if name.startswith(("blocks.2.", "head"))] == ["blocks.2.self_attn.qkv"]


def test_encode_camera_when_given_a_buffer_overwrites_it(network: LingBotDiT) -> None:
    buffer = network.encode_camera(dit_tiny.camera_tokens(0))
    expected = network.encode_camera(dit_tiny.camera_tokens(1)).scale_shift
    assert network.encode_camera(dit_tiny.camera_tokens(1), out=buffer) is buffer
    assert torch.equal(buffer.scale_shift, expected)


@pytest.mark.parametrize("head_dim", [48, 128])
def test_rope_when_chunk_is_far_away_stays_in_dtype_and_distinct(head_dim: int) -> None:
    config = DiTConfig(dim=2 * head_dim, ffn_dim=8, num_heads=2, num_layers=1, text_dim=8, text_len=4)
    network = dit_tiny.build_network(config, torch.bfloat16)
    near, far = network.rope(0, dit_tiny.GRID), network.rope(1000, dit_tiny.GRID)
    assert isinstance(near, RopeAngles) and near.cos.shape == (dit_tiny.NUM_TOKENS, head_dim // 2)
    assert near.cos.dtype == near.sin.dtype == torch.bfloat16
    assert not torch.equal(near.cos, far.cos)


def test_forward_with_head_dim_128_matches_float64() -> None:
    config = replace(dit_tiny.CONFIG, dim=256, num_heads=2)
    flows = []
    for dtype in (torch.float32, torch.float64):
        network = dit_tiny.build_network(config, dtype)
        cache = dit_tiny.build_cache(config, 6, 0, dtype)
        for chunk_index in range(2):
            cache.begin_chunk(chunk_index)
            denoise, update_cache = chunk_passes(network, cache, chunk_index, dtype)
            flow = denoise(dit_tiny.noise_tokens(chunk_index, 1).to(dtype), 976.0)
            update_cache(flow)
            cache.commit_chunk()
        flows.append(flow)
    assert dit_tiny.relative_l2(*flows) <= 5e-6


def error_against_float64(config: DiTConfig, device: str) -> float:
    """Relative error of a bf16 network's flow in the second chunk, given the same bf16 weights in float64."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = LingBotDiT(config).to(torch.bfloat16)
    network.to_empty(device=device)
    for parameter in network.parameters():
        parameter.normal_(std=parameter.shape[-1] ** -0.5)
    inputs = [torch.randn(dit_tiny.NUM_TOKENS, size) for size in (144, 144, 1536)]
    text = torch.randn(config.text_len, config.text_dim)
    flows = []
    for dtype in (torch.bfloat16, torch.float64):
        network.to(dtype)
        first, second, camera_tokens = (x.to(torch.bfloat16).to(device, dtype) for x in inputs)
        camera = network.encode_camera(camera_tokens)
        context = network.encode_text(text.to(torch.bfloat16).to(device, dtype))
        cache = SinkWindowKVCache(
            config.num_layers, config.num_heads, config.head_dim, dit_tiny.NUM_TOKENS, 2, 0, dtype, device
        )
        cache.begin_chunk(0)
        rope = network.rope(0, dit_tiny.GRID)
        network.update_cache(first, network.modulation(0.0), camera, context, rope, cache.view())
        cache.commit_chunk()
        cache.begin_chunk(1)
        rope = network.rope(1, dit_tiny.GRID)
        flows.append(network(second, network.modulation(976.0), camera, context, rope, cache.view()).cpu())
    return dit_tiny.relative_l2(*flows)


def test_forward_in_bf16_is_close_to_float64() -> None:
    assert error_against_float64(replace(dit_tiny.CONFIG, num_layers=1), "cpu") <= 2e-2


@pytest.mark.gpu
def test_forward_of_a_full_width_block_in_bf16_on_gpu_is_close_to_float64() -> None:
    assert error_against_float64(replace(DiTConfig.lingbot_14b(), num_layers=1), "cuda") <= 1e-2


def test_checkpoint_views_of_the_published_network_cover_its_checkpoint() -> None:
    with torch.device("meta"):
        network = LingBotDiT(DiTConfig.lingbot_14b())
    views = network.checkpoint_views()
    assert len(views) == 1421
    assert sum(view.target.numel() for view in views.values()) == 18_544_332_864
    assert sum(parameter.numel() for parameter in network.parameters()) == 18_544_332_864
    assert not list(network.buffers())
    assert views["patch_embedding.weight"].shape == (5120, 36, 1, 2, 2)
    assert views["head.modulation"].shape == (1, 2, 5120)
    assert views["blocks.39.modulation"].shape == (1, 6, 5120)
    assert views["blocks.0.self_attn.k.weight"].shape == (5120, 5120)


def test_checkpoint_views_put_together_fill_every_parameter_once() -> None:
    network = dit_tiny.build_network()
    for parameter in network.parameters():
        parameter.zero_()
    for view in network.checkpoint_views().values():
        assert view.target.numel() == torch.Size(view.shape).numel()
        view.target.add_(1)
    assert all(bool((parameter == 1).all()) for parameter in network.parameters())


def test_head_view_takes_rows_of_the_checkpoint_in_its_order() -> None:
    network = dit_tiny.build_network()
    view = network.checkpoint_views()["head.head.bias"]
    view.target.copy_(torch.arange(64.0).view(view.target.shape))
    latents = unpatchify(network.head.head.bias.expand(dit_tiny.NUM_TOKENS, -1), dit_tiny.GRID)
    # checkpoint row of (row, column, channel) is (row * 2 + column) * 16 + channel
    assert latents[0, 5, 1, 0] == (1 * 2 + 0) * 16 + 5
    assert torch.equal(patchify(latents)[0], network.head.head.bias)
