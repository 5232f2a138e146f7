# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files are taken for a Wan 2.1 VAE, and what is said about others."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.wan_vae import Half, diffusers_name, identify
from lingbot_core.models.wan_vae import WanVAEConfig, WanVAEDecoder, WanVAEEncoder

HALVES: tuple[Half, Half] = ("encoder", "decoder")


def native_shapes(base_dim: int = 96) -> dict[str, tuple[int, ...]]:
    """Shapes of a native file."""
    config = WanVAEConfig(base_dim=base_dim)
    with torch.device("meta"):
        halves = WanVAEEncoder(config), WanVAEDecoder(config)
    return {name: view.shape for half in halves for name, view in half.checkpoint_views().items()}


@pytest.mark.parametrize("base_dim", [96, 24, 8])
@pytest.mark.parametrize("half", HALVES)
def test_identify_when_native_takes_every_tensor_of_the_half(half: Half, base_dim: int) -> None:
    layout = identify(native_shapes(base_dim), half)
    assert layout.name == "native" and layout.config == WanVAEConfig(base_dim=base_dim)
    assert len(layout.sources) == (86 if half == "encoder" else 108)
    assert all(source.key == name for name, source in layout.sources.items())


@pytest.mark.parametrize("half", HALVES)
def test_identify_when_prefixed_reads_prefixed_keys(half: Half) -> None:
    layout = identify({f"model.{name}": shape for name, shape in native_shapes().items()}, half)
    assert all(source.key == f"model.{name}" for name, source in layout.sources.items())


@pytest.mark.parametrize("half", HALVES)
def test_identify_when_diffusers_maps_every_tensor(half: Half) -> None:
    shapes = {diffusers_name(name): shape for name, shape in native_shapes().items()}
    assert len(shapes) == 194
    layout = identify(shapes, half)
    assert layout.name == "diffusers" and len(layout.sources) == (86 if half == "encoder" else 108)


@pytest.mark.parametrize(
    ("native", "diffusers"),
    [
        ("conv1.weight", "quant_conv.weight"),
        ("conv2.bias", "post_quant_conv.bias"),
        ("encoder.conv1.weight", "encoder.conv_in.weight"),
        ("encoder.downsamples.3.residual.2.weight", "encoder.down_blocks.3.conv1.weight"),
        ("encoder.downsamples.3.shortcut.bias", "encoder.down_blocks.3.conv_shortcut.bias"),
        ("encoder.downsamples.5.resample.1.weight", "encoder.down_blocks.5.resample.1.weight"),
        ("encoder.downsamples.8.time_conv.weight", "encoder.down_blocks.8.time_conv.weight"),
        ("encoder.middle.1.to_qkv.weight", "encoder.mid_block.attentions.0.to_qkv.weight"),
        ("decoder.middle.2.residual.6.weight", "decoder.mid_block.resnets.1.conv2.weight"),
        ("decoder.upsamples.3.time_conv.weight", "decoder.up_blocks.0.upsamplers.0.time_conv.weight"),
        ("decoder.upsamples.4.residual.0.gamma", "decoder.up_blocks.1.resnets.0.norm1.gamma"),
        ("decoder.upsamples.11.resample.1.bias", "decoder.up_blocks.2.upsamplers.0.resample.1.bias"),
        ("decoder.upsamples.14.residual.3.gamma", "decoder.up_blocks.3.resnets.2.norm2.gamma"),
        ("decoder.head.0.gamma", "decoder.norm_out.gamma"),
        ("decoder.head.2.weight", "decoder.conv_out.weight"),
    ],
)
def test_diffusers_name_follows_autoencoder_kl_wan(native: str, diffusers: str) -> None:
    assert diffusers_name(native) == diffusers


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({"decoder.upsamples.0.upsamples.0.residual.2.weight": (1024, 1024, 3, 3, 3)}, "Wan 2.2"),
        ({"post_quant_conv.weight": (48, 48, 1, 1, 1)}, "Wan 2.2"),
        ({"decoder.3.conv.0.weight": (256, 512, 3, 3), "decoder.1.weight": (256, 16, 3, 3)}, "tiny autoencoder"),
        ({"3.conv.0.weight": (64, 64, 3, 3)}, "tiny autoencoder"),
        ({"blocks.0.self_attn.q.weight": (5120, 5120)}, "diffusion network"),
        ({"decoder.mid.block_1.conv1.weight": (512, 512, 3, 3)}, "another kind of model"),
        ({"decoder.mid_block.resnets.0.norm1.weight": (512,)}, "another kind of model"),
        ({}, "empty file"),
    ],
)
def test_identify_when_another_model_names_it(shapes: dict[str, tuple[int, ...]], named: str) -> None:
    with pytest.raises(WeightsError, match=f"not the VAE of Wan 2.1.*{named}"):
        identify(shapes, "decoder")


def test_identify_when_only_the_other_half_is_there_says_so() -> None:
    shapes = {name: shape for name, shape in native_shapes().items() if not name.startswith("encoder.")}
    assert identify(shapes, "decoder").config == WanVAEConfig()
    with pytest.raises(WeightsError, match="does not hold the Wan 2.1 VAE encoder"):
        identify(shapes, "encoder")


def test_identify_when_a_tensor_is_missing_names_it() -> None:
    shapes = native_shapes()
    del shapes["decoder.upsamples.7.time_conv.bias"]
    with pytest.raises(WeightsError, match="decoder.upsamples.7.time_conv.bias .* missing"):
        identify(shapes, "decoder")


def test_identify_when_a_tensor_has_another_shape_names_it() -> None:
    shapes = native_shapes() | {"conv1.weight": (64, 64, 1, 1, 1)}
    with pytest.raises(WeightsError, match=r"conv1.weight .* wrong shape.*\(64, 64.*\(32, 32"):
        identify(shapes, "encoder")


def test_identify_when_a_tensor_is_unexpected_names_it() -> None:
    with pytest.raises(WeightsError, match="decoder.extra.weight does not belong"):
        identify(native_shapes() | {"decoder.extra.weight": (1,)}, "encoder")
